package workercmd

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// posts records the times of requests at a target.
type posts struct {
	mu sync.Mutex
	at []time.Time // guarded by mu
}

func (p *posts) note() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Now())
	return len(p.at) == 1
}

func (p *posts) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.at)
}

// gap returns the time between the first and the second request.
func (p *posts) gap() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[1].Sub(p.at[0])
}

func TestMatrix(t *testing.T) {
	t.Run("outcome at the target decides", testOutcomeAtTheTargetDecides)
	t.Run("request of unknown outcome is not met by a second one", testRequestOfUnknownOutcomeIsNotMetByASecondOne)
	t.Run("unknown outcome is held where that was asked for", testUnknownOutcomeIsHeldWhereThatWasAskedFor)
	t.Run("request carries what the contract says", testRequestCarriesWhatTheContractSays)
}

// For each answer of a target: the treatment of the message, its record, and the time of the next
// request.
func testOutcomeAtTheTargetDecides(t *testing.T) {
	t.Parallel()
	const timeout = 30 * time.Second
	const slack = 3 * time.Second // for SQS's whole seconds, a poll, and latencies
	type want struct {
		deleted  bool            // deleted at once
		dead     string          // reason in the dead-letter queue
		status   protocol.Status // status of the record
		attempts int
		from, to time.Duration // bounds of the gap; zero: no second request
		result   string
	}
	status := func(code int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(code)
		}
	}
	large := `"` + strings.Repeat("x", 2<<20) + `"`
	done := want{deleted: true, status: protocol.Completed, attempts: 1}
	bad := want{dead: "rejected", status: protocol.Rejected, attempts: 1}
	again := want{status: protocol.Retrying, attempts: 1, to: 10*time.Second + slack} // a backoff with full jitter
	after := func(d time.Duration) want {
		return want{status: protocol.Retrying, attempts: 1, from: d, to: d + slack}
	}
	refused := func(d time.Duration) want { return want{status: protocol.Retrying, from: d, to: d + slack} }
	late := want{status: protocol.Retrying, attempts: 1, from: timeout, to: timeout + 10*time.Second + slack} // and a backoff
	left := want{status: protocol.InProgress, attempts: 1, from: timeout, to: timeout + 2*time.Second + slack}
	withResult := func(result string) want {
		w := done
		w.result = result
		return w
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc // answers the first request; the second gets 204
		want   want
	}{
		"200 with a body": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"total":3}`)) }, withResult(`{"total":3}`)},
		"204":             {status(204), done},
		"201 with text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte("thanks"))
		}, withResult("thanks")},
		"2 MiB": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(large))
		}, withResult(fmt.Sprintf(`"size":%d,"sha256":"%x"`, len(large), sha256.Sum256([]byte(large))))},
		"2 MiB that break off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(large)+1))
			_, _ = w.Write([]byte(large))
			_ = http.NewResponseController(w).Flush()
			hangUp(w)
		}, left},
		"301":         {status(301, "Location", "/elsewhere"), again},
		"302":         {status(302, "Location", "/elsewhere"), again},
		"307":         {status(307, "Location", "/elsewhere/"), again},
		"400":         {status(400), bad},
		"401":         {status(401), again},
		"403":         {status(403), again},
		"404":         {status(404), again},
		"405":         {status(405), again},
		"408":         {status(408), again},
		"409":         {status(409), again},
		"409 in time": {status(409, "Retry-After", "40"), after(40 * time.Second)},
		"410":         {status(410), bad},
		"413":         {status(413), bad},
		"415":         {status(415), bad},
		"422":         {status(422), bad},
		"423":         {status(423), again},
		"425":         {status(425), again},
		"429 seconds": {status(429, "Retry-After", "120"), refused(2 * time.Minute)},
		"429 date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		}, refused(89 * time.Second)},
		"429":         {status(429), want{status: protocol.Retrying, to: slack}},
		"500":         {status(500), again},
		"503":         {status(503), again},
		"503 minutes": {status(503, "Retry-After", "300"), refused(5 * time.Minute)},
		"time-out":    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, late},
		"reset": {func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(4 * time.Second)
			hangUp(w)
		}, left},
		"half a body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"half":`))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(7 * time.Second)
			hangUp(w)
		}, left},
		"slow drip": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		}, late},
		"slow but whole": {func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(timeout - time.Second)
			_, _ = w.Write([]byte("true"))
		}, withResult("true")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked posts
				b := newInBubble(t, 10, func(w http.ResponseWriter, r *http.Request) {
					if asked.note() {
						tc.answer(w, r)
						return
					}
					w.WriteHeader(http.StatusNoContent)
				}, "--target-timeout", timeout.String())
				b.begin()
				defer b.end()
				b.send(body("a"))
				if !b.await(time.Hour, func() bool {
					r := b.record("a")
					return r.Status != "" && (r.Status != protocol.InProgress || r.Error != "")
				}) {
					t.Fatal("no outcome within an hour")
				}
				r := b.record("a")
				if r.Status != tc.want.status || r.Attempts != tc.want.attempts {
					t.Errorf("record is %s after %d attempts, want %s after %d (%s)", r.Status, r.Attempts, tc.want.status, tc.want.attempts, r.Error)
				}
				if !strings.Contains(string(r.Result), tc.want.result) || tc.want.result == "" && len(r.Result) > 0 {
					t.Errorf("result is %.100s, want %s", r.Result, tc.want.result)
				}
				if !b.await(time.Hour, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Fatal("message still there after an hour")
				}
				dead := b.dead()
				switch {
				case tc.want.dead != "":
					if len(dead) != 1 || attribute(dead[0], "sqsonce.reason") != tc.want.dead || attribute(dead[0], "sqsonce.name") != "a" {
						t.Errorf("dead letters are %v", dead)
					}
				case len(dead) != 0:
					t.Errorf("dead-lettered: %v", dead[0].MessageAttributes)
				}
				if tc.want.to == 0 {
					if asked.count() != 1 {
						t.Errorf("asked %d times", asked.count())
					}
					return
				}
				if asked.count() != 2 || asked.gap() < tc.want.from || asked.gap() > tc.want.to {
					t.Errorf("asked %d times, the second after %s, want %s to %s", asked.count(), asked.gap(), tc.want.from, tc.want.to)
				}
				if r := b.record("a"); r.Status != protocol.Completed || r.Attempts != tc.want.attempts+1 {
					t.Errorf("in the end the record is %s after %d attempts", r.Status, r.Attempts)
				}
			})
		})
	}
}

// hangUp closes the connection of a request.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func TestRefusedConnectionCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInBubble(t, 2, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("X-Sqsonce-Attempt"); got != "1" {
				t.Errorf("attempt %s", got)
			}
			if got := r.Header.Get("X-Aws-Sqsd-Receive-Count"); got != "1" {
				t.Errorf("receive %s", got)
			}
			w.WriteHeader(http.StatusNoContent)
		})
		b.target.refuse(true)
		b.begin()
		defer b.end()
		b.send(body("a"))
		time.Sleep(10 * time.Minute)
		if r := b.record("a"); r.Attempts != 0 {
			t.Errorf("record is %s after %d attempts", r.Status, r.Attempts)
		}
		b.target.refuse(false)
		if !b.await(10*time.Second, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Error("not handled within 10 s")
		}
		if r := b.record("a"); r.Status != protocol.Completed || r.Attempts != 1 {
			t.Errorf("record is %s after %d attempts", r.Status, r.Attempts)
		}
	})
}

// The target may still handle a request whose connection broke. It gets no second request before
// --target-timeout has passed: not for the message, not for a duplicate, and not by another worker
// after a shutdown.
func testRequestOfUnknownOutcomeIsNotMetByASecondOne(t *testing.T) {
	const timeout = 30 * time.Second
	late := func(t *testing.T, asked *posts) {
		if asked.count() != 2 || asked.gap() < timeout {
			t.Errorf("asked %d times, the second after %s, want %s at least", asked.count(), asked.gap(), timeout)
		}
	}
	t.Run("by a duplicate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked posts
			b := newInBubble(t, 10, func(w http.ResponseWriter, _ *http.Request) {
				if asked.note() {
					time.Sleep(2 * time.Second)
					hangUp(w)
				}
			}, "--target-timeout", timeout.String())
			b.begin()
			defer b.end()
			b.send(body("a"))
			time.Sleep(3 * time.Second)
			b.send(body("a"))
			if !b.await(10*time.Minute, func() bool { return b.record("a").Status == protocol.Completed }) {
				t.Fatal("not done within ten minutes")
			}
			late(t, &asked)
		})
	})
	t.Run("after a stop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const drain = 2 * time.Second
			sent := time.Now()
			b := newInBubble(t, 10, func(http.ResponseWriter, *http.Request) { time.Sleep(timeout) },
				"--target-timeout", timeout.String(), "--drain-timeout", drain.String())
			b.begin()
			b.send(body("a"))
			time.Sleep(time.Second)
			b.stop()
			if err := <-b.done; err != nil {
				t.Fatal(err)
			}
			if r := b.record("a"); r.Status != protocol.InProgress || r.Attempts != 0 {
				t.Errorf("record is %s after %d attempts", r.Status, r.Attempts)
			}
			visible := func() bool { v, _ := counts(t, b.back.queue, b.back.queueURL); return v == "1" }
			if !b.await(timeout+5*time.Second, visible) || time.Since(sent) < timeout {
				t.Errorf("visible %t, %s after it was sent, want after %s", visible(), time.Since(sent), timeout)
			}
			b.target.close()
		})
	})
}

// With hold, only an operator can run a name with an unknown outcome again.
func testUnknownOutcomeIsHeldWhereThatWasAskedFor(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"time-out": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"reset":    func(w http.ResponseWriter, _ *http.Request) { hangUp(w) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked posts
				b := newInBubble(t, 10, func(w http.ResponseWriter, r *http.Request) {
					asked.note()
					answer(w, r)
				}, "--on-unknown", "hold")
				b.begin()
				defer b.end()
				b.send(body("a"))
				if !b.await(time.Hour, func() bool { return b.depth(b.dlqURL) == 1 }) {
					t.Fatal("not dead-lettered within an hour")
				}
				if r := b.record("a"); r.Status != protocol.Unknown || asked.count() != 1 {
					t.Errorf("record is %s, asked %d times", r.Status, asked.count())
				}
				if dead := b.dead(); attribute(dead[0], "sqsonce.reason") != "unknown outcome" {
					t.Errorf("dead letter is %v", dead[0].MessageAttributes)
				}
			})
		})
	}
}

func testRequestCarriesWhatTheContractSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		headers := make(chan http.Header, 1)
		b := newInBubble(t, 10, func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header.Clone() },
			"--target-token", "ticket", "--target-secret", "whsec_c2VjcmV0")
		b.begin()
		defer b.end()
		name := "Ünï \"code\" 100%"
		sendWith(t, b.back.queue, b.back.queueURL, fmt.Sprintf(`{"name":"x","total":%d}`, 3), map[string]string{
			"sqsonce.name": name, "traceparent": parent, "contentType": "application/vnd.order+json", "Tenant": "acme",
		})
		h := <-headers
		record := b.record(name)
		for key, want := range map[string]string{
			"Idempotency-Key": `"%C3%9Cn%C3%AF \"code\" 100%25"`, "X-Sqsonce-Name": `%C3%9Cn%C3%AF "code" 100%25`,
			"X-Sqsonce-Fence": fmt.Sprint(record.Fence), "X-Sqsonce-Attempt": "1",
			"X-Aws-Sqsd-Msgid": record.MessageID, "X-Aws-Sqsd-Queue": localQueue, "X-Aws-Sqsd-Receive-Count": "1",
			"X-Aws-Sqsd-Attr-Tenant": "acme", "Traceparent": parent, "Content-Type": "application/vnd.order+json",
			"Authorization": "Bearer ticket", "Webhook-Id": record.MessageID,
		} {
			if got := h.Get(key); got != want {
				t.Errorf("%s is %s, want %s", key, got, want)
			}
		}
		for _, key := range []string{"X-Aws-Sqsd-First-Received-At", "Webhook-Timestamp", "Webhook-Signature"} {
			if h.Get(key) == "" {
				t.Errorf("no %s", key)
			}
		}
	})
}
