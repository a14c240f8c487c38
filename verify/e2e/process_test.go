package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
)

// patience bounds every wait for a condition. A test that reaches it has failed.
const patience = 60 * time.Second

// bin is the folder with the binaries that TestMain has built.
var bin string

func TestMain(m *testing.M) { os.Exit(withBinaries(m.Run)) }

func withBinaries(run func() int) int {
	dir, err := os.MkdirTemp("", "sqsonce-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/worker", "./cmd/producer")
	build.Dir = filepath.Join("..", "..") // the root module
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binaries: %v\n%s", err, out)
		return 1
	}
	bin = dir
	return run()
}

// process is a running binary.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  transcript.Buffer
	done chan struct{} // closed when it has ended
	err  error         // set before done closes
}

// start starts a binary. For the worker that is the binary in SQSONCE_TEST_WORKER, if it is set.
// The end of the test kills the process, and logs its output if the test has failed.
func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	program := filepath.Join(bin, name)
	if other := os.Getenv("SQSONCE_TEST_WORKER"); name == "worker" && other != "" {
		program = other
	}
	return startProgram(t, env, program, args...)
}

// startProgram is start for the program at a path.
func startProgram(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Env = append(bareEnvironment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails if it has ended
		<-p.done
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", name, strings.Join(args, " "), p.out.String())
		}
	})
	return p
}

// bareEnvironment returns the environment without settings of AWS and sqsonce.
func bareEnvironment() []string {
	env := []string{"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "AWS_") && !strings.HasPrefix(pair, "SQSONCE_") {
			env = append(env, pair)
		}
	}
	return env
}

// run runs a binary to its end and returns its output and its exit code.
func run(t *testing.T, env []string, name string, args ...string) (string, int) {
	t.Helper()
	p := start(t, env, name, args...)
	return p.end()
}

// end waits for the end of the process.
func (p *process) end() (string, int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended:\n%s", p.cmd.Path, p.out.String())
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		return p.out.String(), exit.ExitCode()
	}
	if p.err != nil {
		p.t.Fatal(p.err)
	}
	return p.out.String(), 0
}

// match waits until the output of the process matches the pattern, and returns the first group.
func (p *process) match(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found string
	eventually(p.t, "a line like "+pattern, func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("ended early: %v\n%s", p.err, p.out.String())
		default:
		}
		if m := re.FindStringSubmatch(p.out.String()); m != nil {
			found = m[1]
			return true
		}
		return false
	})
	return found
}

// terminate sends SIGTERM, as a platform does to stop a process.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// eventually waits until a condition holds, and fails the test if it does not within patience.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}
