package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Subject is a program that drains a queue: in Go, or a script for Node.
type Subject struct {
	Name    string
	Package string   // package to build
	Module  string   // directory of its module, relative to this package; empty: this module
	Overlay string   // file for go build -overlay; empty: none
	Admin   bool     // serves /metrics at SQSONCE_ADMIN_ADDR; otherwise it prints its allocations on SIGTERM
	Script  string   // script in the folder node, in place of a package; its allocations are not known
	Env     []string // settings of its own
	Redis   bool     // keeps its names in Redis, at REDIS_SOCKET

	Guarantees string // for a name, in the words of the table
}

// The subjects.
var (
	Worker = Subject{
		Name: "sqsonce", Package: "github.com/sqsonce/sqsonce/cmd/worker", Module: "../..", Admin: true,
		Guarantees: "finished work is not run again for 30 days; a lease, renewed, with a fence; payloads are compared",
	}
	HandLoop = Subject{
		Name: "loop by hand", Package: "github.com/sqsonce/sqsonce/verify/bench/loop",
		Guarantees: "finished work is not run again for 30 days; a lock of 30 s, not renewed, without a fence",
	}
	Floor = Subject{
		Name: "floor", Package: "github.com/sqsonce/sqsonce/verify/bench/floor",
		Guarantees: "none: the calls alone, on the happy path",
	}
	GoCloud = Subject{
		Name: "go-cloud, no dedupe", Package: "github.com/sqsonce/sqsonce/verify/bench/gocloud", Module: "gocloud",
		Guarantees: "none: a duplicate runs again",
	}
	Powertools = Subject{
		Name: "sqs-consumer + Powertools", Script: "powertools.mjs", Env: []string{"MODE=single"},
		Guarantees: "finished work is not run again for 30 days; a lock of 30 s, not renewed, without a fence",
	}
	PowertoolsBatch = Subject{
		Name: "the same, in batches", Script: "powertools.mjs", Env: []string{"MODE=batch"},
		Guarantees: "the same; a message waits for the slowest of its ten",
	}
	Toolkit = Subject{
		Name: "message-queue-toolkit", Script: "toolkit.mjs", Redis: true,
		Guarantees: "finished work is not run again for 40 s; a lock, renewed, without a fence; all in the memory of Redis",
	}
)

// nodeModules is installed from a lock file of its own. Tests without these subjects do without it.
const nodeModules = "node/node_modules/.package-lock.json"

// Build builds the subject's program in dir.
func (s Subject) Build(ctx context.Context, dir string) (file string, err error) {
	if s.Script != "" {
		if _, err := os.Stat(nodeModules); err != nil {
			return "", fmt.Errorf("bench: %s is not installed, run make bench-deps: %w", s.Name, err)
		}
		return filepath.Join("node", s.Script), nil
	}
	file = filepath.Join(dir, strings.ReplaceAll(s.Name, " ", "-"))
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", s.Overlay, "-o", file, s.Package) //nolint:gosec // one of the packages above
	cmd.Dir = s.Module
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", s.Package, err, out)
	}
	return file, nil
}

// process is a running subject.
type process struct {
	subject Subject
	cmd     *exec.Cmd
	out     bytes.Buffer  // read only after the end
	ended   chan struct{} // closed after the end
	admin   string
}

// startProcess starts a program. It is killed when ctx ends.
func startProcess(ctx context.Context, s Subject, file string, env ...string) (*process, error) {
	p := &process{subject: s, cmd: exec.CommandContext(ctx, file), ended: make(chan struct{})}
	env = append(env, s.Env...)
	if s.Script != "" {
		p.cmd = exec.CommandContext(ctx, "node", file) //nolint:gosec // one of the scripts above
	}
	if s.Admin {
		port, err := emulators.FreePort(ctx)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		p.admin = fmt.Sprintf("127.0.0.1:%d", port)
		env = append(env, "SQSONCE_ADMIN_ADDR="+p.admin)
	}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", s.Name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // usually an error, because the process was killed
	}()
	return p, nil
}

// early returns an error if the process has ended, because it would drain nothing more.
func (p *process) early() error {
	select {
	case <-p.ended:
		return fmt.Errorf("bench: %s has ended: %s\n%s", p.subject.Name, p.cmd.ProcessState, &p.out)
	default:
		return nil
	}
}

// usage is the resource usage of a process.
type usage struct {
	cpu     time.Duration
	mallocs int // 0: not known
	peakRSS int // bytes
}

var (
	printedMallocs = regexp.MustCompile(`(?m)^mallocs (\d+)$`)
	servedMallocs  = regexp.MustCompile(`(?m)^go_memstats_mallocs_total (\S+)$`)
	highWater      = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
)

// end ends the process, and returns its usage.
func (p *process) end(ctx context.Context) (usage, error) {
	var u usage
	var err error
	if u.peakRSS, err = p.peak(); err != nil {
		return u, err
	}
	signal, find, text := syscall.SIGTERM, printedMallocs, ""
	switch {
	case p.subject.Admin:
		if text, err = p.metrics(ctx); err != nil {
			return u, err
		}
		signal, find = syscall.SIGKILL, servedMallocs // a graceful stop would wait for the long poll
	case p.subject.Script != "":
		signal, find = syscall.SIGKILL, nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return u, fmt.Errorf("bench: end %s: %w", p.subject.Name, err)
	}
	<-p.ended
	u.cpu = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	if find == nil {
		return u, nil
	}
	u.mallocs, err = p.allocated(find, text+p.out.String())
	return u, err
}

// peak returns the largest resident set of the process so far, in bytes. The figure of getrusage
// would include that of the harness before exec.
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func (p *process) peak() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("bench: memory of %s: %w", p.subject.Name, err)
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		return 0, fmt.Errorf("bench: memory of %s: no VmHWM in\n%s", p.subject.Name, status)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 0, fmt.Errorf("bench: memory of %s: %w", p.subject.Name, err)
	}
	return kilobytes << 10, nil
}

func (p *process) allocated(mallocs *regexp.Regexp, text string) (int, error) {
	found := mallocs.FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("bench: %s does not tell its allocations:\n%s", p.subject.Name, text)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0, fmt.Errorf("bench: allocations of %s: %w", p.subject.Name, err)
	}
	return int(n), nil
}

func (p *process) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("bench: metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("bench: metrics: %w", err)
	}
	return string(text), nil
}
