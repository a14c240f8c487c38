package workercmd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestLogpipe(t *testing.T) {
	t.Run("stop with a full log", testStopWithAFullLog)
}

// A worker whose handlers block in the logger, because its log is not read, still stops on a
// signal.
func testStopWithAFullLog(t *testing.T) {
	var posts atomic.Int32 // under way
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		defer posts.Add(-1)
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer target.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	const slots = 3
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--local", "--addr", "127.0.0.1:0", "--queue-addr", "127.0.0.1:0",
		"--admin-addr", "127.0.0.1:0", "--log-format", "json", "--debug", "--target-url", target.URL, "--concurrency", fmt.Sprint(slots))
	cmd.Env = append(os.Environ(), asWorker+"=1")
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close() // the process has its own copy
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	defer p.kill()
	adminURL := p.printed(t, `admin\s+(http://[^/\s]+)`)
	queueURL := p.printed(t, `queue (http://[^\s)]+)`)
	client := anySDK(queueURL)
	long := strings.Repeat("long-name-", 90) // a few of these fill a pipe
	for i := range 150 {
		send(t, client, queueURL, body(long+fmt.Sprint(i)))
	}
	idle := 0 // samples in which all slots were taken and no request was at the target
	wait(t, "handlers that wait in the logger", func() bool {
		if idle++; posts.Load() > 0 || sum(scrape(t, adminURL), "sqsonce_slots_taken", "messaging_system", "aws_sqs") < slots {
			idle = 0
		}
		return idle == 50
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, "end of the worker", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
