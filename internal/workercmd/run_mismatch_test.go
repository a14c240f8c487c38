package workercmd

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// mismatchCase is two payloads of one name, and the end of the second.
type mismatchCase struct {
	args   []string
	answer http.HandlerFunc // answers the first payload
	again  time.Duration    // delay of the second payload
	status protocol.Status
	hits   int32
	dead   string   // reason of the second message's copy; empty: it is deleted
	says   []string // texts in its error
}

// The treatment of a message whose name was used with another payload depends on --on-mismatch and
// on the status of the name.
func TestMismatch(t *testing.T) {
	for name, tc := range map[string]mismatchCase{
		"dead-letter, completed": {
			nil, answering(http.StatusOK), time.Minute, protocol.Completed, 1, "mismatch",
			[]string{"the whole body, which is compared (setting fingerprint), differs", "record is COMPLETED", "producer forget \"o-1\", then redrive"},
		},
		"dead-letter, in progress": {
			nil, slow(40*time.Second, http.StatusOK), 10 * time.Second, protocol.Completed, 1, "mismatch",
			[]string{"record is IN_PROGRESS", "producer resolve \"o-1\" --retry, then redrive"},
		},
		"dead-letter, rejected": {
			nil, answering(http.StatusUnprocessableEntity), time.Minute, protocol.Rejected, 1, "mismatch",
			[]string{"record is REJECTED", "producer resolve \"o-1\" --retry, then redrive"},
		},
		"dead-letter, a part compared": {
			[]string{"--fingerprint", "n"}, answering(http.StatusOK), time.Minute, protocol.Completed, 1, "mismatch",
			[]string{`"n" in the body, which is compared (setting fingerprint), differs`},
		},
		"suppress, completed":   {suppress(), answering(http.StatusOK), time.Minute, protocol.Completed, 1, "", nil},
		"suppress, in progress": {suppress(), slow(40*time.Second, http.StatusOK), 10 * time.Second, protocol.Completed, 1, "", nil},
		"suppress, in progress, then rejected": {
			suppress(), slow(40*time.Second, http.StatusUnprocessableEntity), 10 * time.Second, protocol.Rejected, 1, "rejected", []string{way("o-1"), "422"},
		},
		"suppress, rejected": {suppress(), answering(http.StatusUnprocessableEntity), time.Minute, protocol.Rejected, 1, "rejected", []string{way("o-1"), "422"}},
		"suppress, unknown": {
			suppress("--on-unknown", "hold"), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			time.Minute, protocol.Unknown, 1, "unknown outcome", []string{"is unknown", `producer resolve "o-1" --completed`, way("o-1")},
		},
	} {
		t.Run(name, tc.check)
	}
}

func (tc mismatchCase) check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hits atomic.Int32
		b := newInBubble(t, 5, func(w http.ResponseWriter, r *http.Request) {
			hits.Add(1)
			tc.answer(w, r)
		}, append([]string{"--target-timeout", "50s"}, tc.args...)...)
		b.begin()
		b.send(`{"name":"o-1","n":1}`)
		time.Sleep(tc.again)
		b.send(`{"name":"o-1","n":2}`)
		if !b.await(10*time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Error("messages are left")
		}
		b.end()
		if r := b.record("o-1"); r.Status != tc.status || hits.Load() != tc.hits {
			t.Errorf("%s after %d requests", r.Status, hits.Load())
		}
		second := ""
		for _, m := range b.dead() {
			if strings.Contains(*m.Body, `"n":2`) {
				second = attribute(m, "sqsonce.reason")
				for _, want := range tc.says {
					if text := attribute(m, "sqsonce.error"); !strings.Contains(text, want) {
						t.Errorf("%q is not in %s", want, text)
					}
				}
			}
		}
		if second != tc.dead {
			t.Errorf("the second message is dead-lettered with %q, want %q", second, tc.dead)
		}
	})
}

// way returns the remedy in a dead letter's error.
func way(name string) string {
	return `to run it again: producer resolve "` + name + `" --retry, then redrive`
}

func suppress(more ...string) []string { return append([]string{"--on-mismatch", "suppress"}, more...) }

func answering(status int) http.HandlerFunc { return slow(0, status) }

func slow(d time.Duration, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(d)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "as asked")
	}
}
