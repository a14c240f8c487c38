package workercmd

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// A signal ends a start in which AWS does not answer, with the exit code of a shutdown and before
// the checks of queue and table time out.
func TestSignalDuringTheStart(t *testing.T) {
	for _, wait := range []string{"0s", "1h"} {
		t.Run("wait at start "+wait, func(t *testing.T) {
			o := newOutside(t)
			asked, over := make(chan struct{}, 100), make(chan struct{})
			silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				asked <- struct{}{}
				<-over
			}))
			defer silent.Close()
			defer close(over)
			t.Setenv("AWS_ENDPOINT_URL_SQS", silent.URL)
			t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", silent.URL)
			p := start(t, "--queue-url", o.queueURL, "--table", "t", "--wait-at-start", wait)
			<-asked
			p.signals <- syscall.SIGTERM
			if code := p.exit(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if text := p.stderr.String(); strings.Contains(text, "cannot start") {
				t.Errorf("it has waited for the start to fail: %s", text)
			}
		})
	}
}

// full is a log whose reader has stopped.
type full struct {
	slog.Handler
	read chan struct{} // closed when reading resumes
}

func (full) Enabled(context.Context, slog.Level) bool { return true }

func (f full) Handle(context.Context, slog.Record) error {
	<-f.read
	return nil
}

func TestSignals(t *testing.T) {
	t.Run("stop begins before it is logged", testStopBeginsBeforeItIsLogged)
}

func testStopBeginsBeforeItIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		asked, release := followSignals(t.Context(), signals)
		log := full{read: make(chan struct{})}
		w := &worker{log: slog.New(log)}
		stopped, obeyed := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(obeyed)
			w.obey(t.Context(), func() { close(stopped) }, asked)
		}()
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		<-stopped
		<-asked.hurried.Done()
		if got := signalOf(asked.hurried); got != "terminated" {
			t.Errorf("ended by %q", got)
		}
		close(log.read)
		<-obeyed
		release()
	})
}
