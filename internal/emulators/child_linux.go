package emulators

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when we are gone, also when we
// were killed ourselves.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
