package buildinfo

import (
	"runtime/debug"
	"testing"
)

// TestDescribe: the version by each way to build and to install.
func TestDescribe(t *testing.T) {
	const commit = "0d4b7d2f9c3f4f1f8a0e6d5c4b3a2918f7e6d5c4"
	vcs := []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: commit}}
	for name, tc := range map[string]struct {
		stamped, module string
		settings        []debug.BuildSetting
		want            string
	}{
		"go install of a release":  {module: "v1.2.3", want: "v1.2.3"},
		"go install of a commit":   {module: "v1.2.4-0.20261130160000-0d4b7d2f9c3f", want: "v1.2.4-0.20261130160000-0d4b7d2f9c3f"},
		"build of a tag":           {module: "v1.2.3", settings: vcs, want: "v1.2.3 " + commit},
		"build of a commit":        {module: "v1.2.4-0.20261130160000-0d4b7d2f9c3f+dirty", settings: vcs, want: "v1.2.4-0.20261130160000-0d4b7d2f9c3f+dirty " + commit},
		"build without git":        {module: "(devel)", want: "(devel)"},
		"go run":                   {want: "(devel)"},
		"a release":                {stamped: "v1.2.3", module: "v1.2.3", settings: vcs, want: "v1.2.3 " + commit},
		"a release without a tag":  {stamped: "v1.2.4-next", module: "(devel)", want: "v1.2.4-next"},
		"a release of a dirty tag": {stamped: "v1.2.3", module: "v1.2.3+dirty", settings: vcs, want: "v1.2.3 " + commit},
	} {
		t.Run(name, func(t *testing.T) {
			info := &debug.BuildInfo{Main: debug.Module{Version: tc.module}, Settings: tc.settings}
			if got := describe(tc.stamped, info); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	was := stamped
	defer func() { stamped = was }()
	stamped = "v9.8.7"
	if got := Version(); len(got) < 6 || got[:6] != stamped {
		t.Errorf("%q is not what the release has stamped", got)
	}
}
