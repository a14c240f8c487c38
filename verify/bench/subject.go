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

// Subject is a program that drains a queue.
type Subject struct {
	Name    string
	Package string // package to build
	Module  string // directory of its module, relative to this package; empty: this module
	Overlay string // file for go build -overlay; empty: none
	Admin   bool   // serves /metrics at SQSONCE_ADMIN_ADDR; otherwise it prints its allocations on SIGTERM
}

// The subjects.
var (
	Worker   = Subject{Name: "sqsonce", Package: "github.com/sqsonce/sqsonce/cmd/worker", Module: "../..", Admin: true}
	HandLoop = Subject{Name: "loop by hand", Package: "github.com/sqsonce/sqsonce/verify/bench/loop"}
	Floor    = Subject{Name: "floor", Package: "github.com/sqsonce/sqsonce/verify/bench/floor"}
	GoCloud  = Subject{Name: "go-cloud, no dedupe", Package: "github.com/sqsonce/sqsonce/verify/bench/gocloud", Module: "gocloud"}
)

// Build builds the subject's program in dir.
func (s Subject) Build(ctx context.Context, dir string) (file string, err error) {
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
	mallocs int
	peakRSS int
}

var (
	printedMallocs = regexp.MustCompile(`(?m)^mallocs (\d+)$`)
	servedMallocs  = regexp.MustCompile(`(?m)^go_memstats_mallocs_total (\S+)$`)
)

// end ends the process, and returns its usage.
func (p *process) end(ctx context.Context) (usage, error) {
	var u usage
	signal, find, text := syscall.SIGTERM, printedMallocs, ""
	if p.subject.Admin {
		var err error
		if text, err = p.metrics(ctx); err != nil {
			return u, err
		}
		signal, find = syscall.SIGKILL, servedMallocs // a graceful stop would wait for the long poll
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return u, fmt.Errorf("bench: end %s: %w", p.subject.Name, err)
	}
	<-p.ended
	return p.used(find, text+p.out.String())
}

func (p *process) used(mallocs *regexp.Regexp, text string) (usage, error) {
	found := mallocs.FindStringSubmatch(text)
	if found == nil {
		return usage{}, fmt.Errorf("bench: %s does not tell its allocations:\n%s", p.subject.Name, text)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return usage{}, fmt.Errorf("bench: allocations of %s: %w", p.subject.Name, err)
	}
	state := p.cmd.ProcessState
	u := usage{cpu: state.UserTime() + state.SystemTime(), mallocs: int(n)}
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.peakRSS = int(r.Maxrss) * maxRSSUnit
	}
	return u, nil
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

// maxRSSUnit is the unit of the resident set size on Linux, in bytes.
const maxRSSUnit = 1 << 10
