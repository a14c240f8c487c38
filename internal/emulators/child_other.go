//go:build !linux

package emulators

import "os/exec"

// dieWithParent does nothing. Of the two servers only fauxqs runs here, and it ends with its
// standard input.
func dieWithParent(*exec.Cmd) {}
