package producercmd

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// full is a log whose reader has stopped.
type full struct {
	once    sync.Once
	waiting chan struct{} // closed when a write blocks
	read    chan struct{} // closed when reading resumes
}

func (f *full) Write(line []byte) (int, error) {
	f.once.Do(func() { close(f.waiting) })
	<-f.read
	return len(line), nil
}

// A server whose requests block in the logger, because its log is not read, still stops on a
// signal.
func TestServeFullLog(t *testing.T) {
	r := realRig(t, "producer-full-log")
	log := &full{waiting: make(chan struct{}), read: make(chan struct{})}
	defer close(log.read)
	signals := make(chan os.Signal, 1)
	out, lines := newPipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(context.Background(), append([]string{"serve", "--addr", "127.0.0.1:0"}, r.backend...), stdio{strings.NewReader(""), out, log}, signals)
	}()
	url := ""
	for l := range lines {
		if rest, ok := strings.CutPrefix(l, "producer at "); ok {
			url, _, _ = strings.Cut(rest, " ")
			break
		}
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get(strings.TrimSuffix(url, "/") + "/queue")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-log.waiting
	signals <- syscall.SIGTERM
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
