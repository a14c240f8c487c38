package emulators

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const (
	startTimeout  = 3 * time.Minute // for a cold Node on a busy machine; an ended process is noticed at once
	startAttempts = 3               // a free port can be taken before the server gets to it
)

// startChild starts the program as a child that ends with this process. It returns its endpoint
// once the child has printed it.
func startChild(p Program) (string, error) {
	var failures []error
	for range startAttempts {
		endpoint, err := tryChild(p)
		if err == nil {
			return endpoint, nil
		}
		failures = append(failures, err)
		if !errors.Is(err, errEnded) {
			break
		}
	}
	return "", errors.Join(failures...)
}

var errEnded = errors.New("ended before it answered")

func tryChild(p Program) (string, error) {
	// The server lives as long as the process, not as the test that started it.
	cmd, err := p.cmd(context.Background(), 0, true)
	if err != nil {
		return "", err
	}
	// Never written: the end of its standard input tells the child that this process has ended.
	if _, err := cmd.StdinPipe(); err != nil {
		return "", fmt.Errorf("start %s: %w", p.Name, err)
	}
	output := newOutput()
	cmd.Stdout, cmd.Stderr = output, output
	dieWithParent(cmd)

	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel sends the parent's death signal when the thread that started the child ends,
		// so that thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return "", fmt.Errorf("start %s: %w", p.Name, err)
	}

	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case endpoint := <-output.endpoint:
		return endpoint, nil
	case err := <-ended:
		return "", fmt.Errorf("%s %w: %w\n%s", p.Name, errEnded, err, output)
	case <-timeout.C:
		if err := cmd.Process.Kill(); err != nil {
			return "", fmt.Errorf("stop %s: %w", p.Name, err)
		}
		return "", fmt.Errorf("%s did not answer within %v: %w\n%s", p.Name, startTimeout, <-ended, output)
	}
}

// output keeps the first maxOutput bytes of a child's output, and sends the address in it to
// endpoint.
type output struct {
	endpoint chan string // one value, once the address was printed

	mu    sync.Mutex
	text  bytes.Buffer // guarded by mu
	found bool         // guarded by mu
}

// maxOutput bounds the kept output. The reason of a failed start is at its beginning.
const maxOutput = 64 << 10

func newOutput() *output { return &output{endpoint: make(chan string, 1)} }

// Write never fails, because an error would end the child.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p[:min(len(p), maxOutput-o.text.Len())])
	if !o.found {
		if endpoint := endpointIn(o.text.Bytes()); endpoint != "" {
			o.found = true
			o.endpoint <- endpoint
		}
	}
	return len(p), nil
}

// String returns the kept output.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
