package emulators

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pollInterval is the time between two checks of a server that is not a child of this process.
const pollInterval = 20 * time.Millisecond

// StartDetached starts p on port of 127.0.0.1 (0: a free port) so that it outlives this process. It
// returns the endpoint once the server has printed it. dir keeps the process id and the output. If
// an earlier call has left a server running in dir, StartDetached returns its endpoint, on any
// port.
func StartDetached(ctx context.Context, p Program, dir string, port int) (string, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("start %s: %w", p.Name, err)
	}
	if _, ok := p.running(dir); ok {
		return p.awaitEndpoint(ctx, dir, nil)
	}
	cmd, err := p.cmd(context.WithoutCancel(ctx), port, false)
	if err != nil {
		return "", err
	}
	log, err := os.Create(p.path(dir, "log"))
	if err != nil {
		return "", fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = log.Close() }() // the server holds a descriptor of its own
	cmd.Stdout, cmd.Stderr = log, log
	// In its own session the server gets neither the terminal's interrupt nor its hangup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start %s: %w", p.Name, err)
	}
	pid := []byte(strconv.Itoa(cmd.Process.Pid) + "\n")
	if err := os.WriteFile(p.path(dir, "pid"), pid, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("start %s: %w", p.Name, err), cmd.Process.Kill())
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // not joined: the server outlives this process
	endpoint, err := p.awaitEndpoint(ctx, dir, ended)
	if err != nil {
		return "", errors.Join(err, StopDetached(context.WithoutCancel(ctx), p, dir))
	}
	return endpoint, nil
}

// awaitEndpoint waits for the server's address in the log in dir.
func (p Program) awaitEndpoint(ctx context.Context, dir string, ended <-chan error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(p.path(dir, "log"))
		if err != nil {
			return "", fmt.Errorf("start %s: %w", p.Name, err)
		}
		if endpoint := endpointIn(text); endpoint != "" {
			return endpoint, nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			text, _ := os.ReadFile(p.path(dir, "log")) // as much as there is
			return "", fmt.Errorf("%s %w: %w\n%s", p.Name, errEnded, err, text)
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not answer: %w\n%s", p.Name, ctx.Err(), text)
		}
	}
}

// StopDetached ends the server that [StartDetached] has started in dir, and returns after its end.
// It succeeds if no server runs.
func StopDetached(ctx context.Context, p Program, dir string) error {
	pid, ok := p.running(dir)
	if ok {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s, process %d: %w", p.Name, pid, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for ok {
		select {
		case <-tick.C:
			_, ok = p.running(dir)
		case <-ctx.Done():
			return fmt.Errorf("stop %s, process %d: still running: %w", p.Name, pid, ctx.Err())
		}
	}
	if err := os.Remove(p.path(dir, "pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	return nil
}

// running returns the process id of p in dir, and whether that process exists and is p.
func (p Program) running(dir string) (pid int, ok bool) {
	text, err := os.ReadFile(p.path(dir, "pid"))
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || syscall.Kill(pid, 0) != nil {
		return 0, false
	}
	// After a restart of the machine the id may belong to another process, so the command line is
	// checked where there is a /proc. A zombie's command line is empty.
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err != nil || bytes.Contains(command, []byte(p.Name))
}

func (p Program) path(dir, kind string) string { return filepath.Join(dir, p.Name+"."+kind) }
