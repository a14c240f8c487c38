package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
)

// patience bounds every wait for a condition. It is no expectation: a wait that it ends has failed.
const patience = 60 * time.Second

// bin is where TestMain puts the binaries.
var bin string

func TestMain(m *testing.M) { os.Exit(withBinaries(m.Run)) }

func withBinaries(run func() int) int {
	dir, err := os.MkdirTemp("", "sqsonce-lambda")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for module, packages := range map[string][]string{".": {"."}, filepath.Join("..", ".."): {"./cmd/worker", "./cmd/producer"}} {
		build := exec.Command("go", append([]string{"build", "-o", dir + string(filepath.Separator)}, packages...)...)
		build.Dir = module
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %v: %v\n%s", packages, err, out)
			return 1
		}
	}
	bin = dir
	return run()
}

// process is a binary that runs.
type process struct {
	t     *testing.T
	name  string
	out   transcript.Buffer
	ended chan struct{} // closed when it has ended
	err   error         // set before ended closes
}

// start runs a binary, with no other settings of AWS and ours than env. It is killed at the end of
// the test at the latest.
func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	ctx, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = append(cmd.Env, env...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "AWS_") && !strings.HasPrefix(pair, "SQSONCE_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	p := &process{t: t, name: name, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		kill()
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.out.String())
		}
	})
	return p
}

// end waits until the process has ended well and returns its output.
func (p *process) end() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended", p.name)
	}
	if p.err != nil {
		p.t.Errorf("%s: %v", p.name, p.err)
	}
	return p.out.String()
}

// match waits until the process has printed something that fits the pattern, and returns its first
// group.
func (p *process) match(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(p.t, p.name+" prints "+pattern, func() bool {
		found = re.FindStringSubmatch(p.out.String())
		select {
		case <-p.ended:
			if found == nil {
				p.t.Fatalf("%s has ended: %v", p.name, p.err)
			}
		default:
		}
		return found != nil
	})
	return found[1]
}

// eventually waits until a condition holds.
func eventually(t *testing.T, condition string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not within %s: %s", patience, condition)
		}
	}
}
