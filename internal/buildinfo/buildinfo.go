// Package buildinfo says which version of sqsonce a binary is.
package buildinfo

import (
	"cmp"
	"runtime/debug"
	"slices"
)

// stamped is the version that the release build sets:
// -ldflags "-X github.com/sqsonce/sqsonce/internal/buildinfo.stamped=v1.2.3".
var stamped string

// Version is the version of the running binary: "v1.2.3", or with the commit behind it where the Go
// command has recorded one. A build without either is "(devel)".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(stamped, "unknown")
	}
	return describe(stamped, info)
}

// describe is the version that a release has stamped, else that of the main module: a tag, for go
// install and for a build of a tagged checkout; a pseudo-version, for a build of another commit,
// with "+dirty" when files have changed; "(devel)" without version control.
// https://go.dev/doc/go1.24#go-command
func describe(stamped string, info *debug.BuildInfo) string {
	version := cmp.Or(stamped, info.Main.Version, "(devel)")
	i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "vcs.revision" })
	if i < 0 {
		return version
	}
	return version + " " + info.Settings[i].Value
}
