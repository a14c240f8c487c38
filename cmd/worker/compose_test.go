package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oasdiff/yaml"
)

const composeFile = "../../examples/compose/compose.yaml"

// compose is what is looked at of a compose file.
type compose struct {
	Services map[string]struct {
		Image       string
		Build       *struct{ Context, Dockerfile string }
		Environment map[string]string
		Volumes     []string
		NetworkMode string         `json:"network_mode"`
		DependsOn   map[string]any `json:"depends_on"`
		StopGrace   string         `json:"stop_grace_period"`
	}
}

func readCompose(t *testing.T) compose {
	t.Helper()
	text, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if _, err := yaml.Unmarshal(text, &c, yaml.DecodeOpts{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComposeFileRefersToWhatIsThere(t *testing.T) {
	c, dir := readCompose(t), filepath.Dir(composeFile)
	for _, name := range []string{"worker", "producer", "app", "emulators"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	there := func(service, path string) {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
	for name, s := range c.Services {
		if (s.Image == "") == (s.Build == nil) {
			t.Errorf("%s: wants either an image or a build", name)
		}
		if s.Build != nil {
			there(name, filepath.Join(s.Build.Context, s.Build.Dockerfile))
		}
		for _, v := range s.Volumes {
			host, _, _ := strings.Cut(v, ":")
			there(name, host)
		}
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		if other, ok := strings.CutPrefix(s.NetworkMode, "service:"); ok {
			if _, there := c.Services[other]; !there {
				t.Errorf("%s shares the network of %s, which is not there", name, other)
			}
		}
	}
}

// A variable that is misspelt would just be ignored.
func TestComposeFileSetsWhatTheWorkerReads(t *testing.T) {
	worker := readCompose(t).Services["worker"]
	for key, value := range worker.Environment {
		t.Setenv(key, value)
	}
	c := settings(t)
	shown := c.shown()
	defaults := config{}.shown()
	for key := range worker.Environment {
		flag, ours := strings.CutPrefix(key, "SQSONCE_")
		flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
		if value, known := shown[flag]; ours && (!known || value == defaults[flag]) {
			t.Errorf("%s sets nothing: --%s is %v", key, flag, value)
		}
	}
	if worker.StopGrace != fmt.Sprint(c.StopTimeout) {
		t.Errorf("stop_grace_period %s, SQSONCE_STOP_TIMEOUT %s", worker.StopGrace, c.StopTimeout)
	}
}
