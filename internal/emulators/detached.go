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

// pollInterval is how often a server that is not our child is looked at.
const pollInterval = 20 * time.Millisecond

// StartDetached starts p so that it outlives this process, on port of
// 127.0.0.1 (0: a free one), and returns its endpoint once it answers. Its
// process id and its output are kept in dir. A server that an earlier
// call left running there is taken as it is, whatever its port.
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
	// A session of its own: neither an interrupt at the terminal nor its end reaches the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start %s: %w", p.Name, err)
	}
	pid := []byte(strconv.Itoa(cmd.Process.Pid) + "\n")
	if err := os.WriteFile(p.path(dir, "pid"), pid, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("start %s: %w", p.Name, err), cmd.Process.Kill())
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // the server may outlive us: on success nobody waits for it
	endpoint, err := p.awaitEndpoint(ctx, dir, ended)
	if err != nil {
		return "", errors.Join(err, StopDetached(context.WithoutCancel(ctx), p, dir))
	}
	return endpoint, nil
}

// awaitEndpoint waits until the log in dir has the server's address.
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

// StopDetached ends the server that [StartDetached] has left in dir, and
// returns once it has ended. It is no error when none runs.
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

// running returns the process id that dir has of p, and whether that process
// is there and is p.
func (p Program) running(dir string) (pid int, ok bool) {
	text, err := os.ReadFile(p.path(dir, "pid"))
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || syscall.Kill(pid, 0) != nil {
		return 0, false
	}
	// After a restart of the machine the number may be somebody else's. Without
	// a /proc the number alone has to do. A zombie's command line is empty.
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err != nil || bytes.Contains(command, []byte(p.Name))
}

func (p Program) path(dir, kind string) string { return filepath.Join(dir, p.Name+"."+kind) }
