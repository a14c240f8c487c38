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
	t.Run("request follows the contract", testRequestFollowsTheContract)
}

const (
	matrixTimeout = 30 * time.Second
	matrixSlack   = 3 * time.Second // for SQS's whole seconds, a poll, and latencies
)

// targetAnswer is an answer of a target, and the end of its message.
type targetAnswer struct {
	answer http.HandlerFunc // answers the first request; the second gets 204
	want   ending
}

// ending is the end of a message: its record after the first request, and the time of the second.
type ending struct {
	dead     string          // reason in the dead-letter queue
	status   protocol.Status // status of the record
	attempts int
	from, to time.Duration // bounds of the gap; zero: no second request
	result   string
}

var (
	rejected  = ending{dead: "rejected", status: protocol.Rejected, attempts: 1}
	retried   = ending{status: protocol.Retrying, attempts: 1, to: 10*time.Second + matrixSlack}                                      // a backoff with full jitter
	cutOff    = ending{status: protocol.Retrying, attempts: 1, from: matrixTimeout, to: matrixTimeout + 10*time.Second + matrixSlack} // and a backoff
	leftAlone = ending{status: protocol.InProgress, attempts: 1, from: matrixTimeout, to: matrixTimeout + 2*time.Second + matrixSlack}
)

func completed(result string) ending {
	return ending{status: protocol.Completed, attempts: 1, result: result}
}

func retriedAfter(d time.Duration) ending {
	return ending{status: protocol.Retrying, attempts: 1, from: d, to: d + matrixSlack}
}

func refusedFor(d time.Duration) ending {
	return ending{status: protocol.Retrying, from: d, to: d + matrixSlack}
}

func answerWith(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

func testOutcomeAtTheTargetDecides(t *testing.T) {
	t.Parallel()
	for _, answers := range []map[string]targetAnswer{emptyAnswers(), otherAnswers()} {
		for name, tc := range answers {
			t.Run(name, tc.check)
		}
	}
}

// emptyAnswers lists answers without a body.
func emptyAnswers() map[string]targetAnswer {
	return map[string]targetAnswer{
		"204":         {answerWith(204), completed("")},
		"301":         {answerWith(301, "Location", "/elsewhere"), retried},
		"302":         {answerWith(302, "Location", "/elsewhere"), retried},
		"307":         {answerWith(307, "Location", "/elsewhere/"), retried},
		"400":         {answerWith(400), rejected},
		"401":         {answerWith(401), retried},
		"403":         {answerWith(403), retried},
		"404":         {answerWith(404), retried},
		"405":         {answerWith(405), retried},
		"408":         {answerWith(408), retried},
		"409":         {answerWith(409), retried},
		"409 in time": {answerWith(409, "Retry-After", "40"), retriedAfter(40 * time.Second)},
		"410":         {answerWith(410), rejected},
		"413":         {answerWith(413), rejected},
		"415":         {answerWith(415), rejected},
		"422":         {answerWith(422), rejected},
		"423":         {answerWith(423), retried},
		"425":         {answerWith(425), retried},
		"429 seconds": {answerWith(429, "Retry-After", "120"), refusedFor(2 * time.Minute)},
		"429":         {answerWith(429), refusedFor(0)},
		"500":         {answerWith(500), retried},
		"503":         {answerWith(503), retried},
		"503 minutes": {answerWith(503, "Retry-After", "300"), refusedFor(5 * time.Minute)},
	}
}

// otherAnswers lists answers with a body, and answers that do not come or break off.
func otherAnswers() map[string]targetAnswer {
	large := `"` + strings.Repeat("x", 2<<20) + `"`
	return map[string]targetAnswer{
		"200 with a body": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"total":3}`)) }, completed(`{"total":3}`)},
		"201 with text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte("thanks"))
		}, completed("thanks")},
		"2 MiB": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(large))
		}, completed(fmt.Sprintf(`"size":%d,"sha256":"%x"`, len(large), sha256.Sum256([]byte(large))))},
		"2 MiB that break off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(large)+1))
			_, _ = w.Write([]byte(large))
			_ = http.NewResponseController(w).Flush()
			hangUp(w)
		}, leftAlone},
		"429 date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		}, refusedFor(89 * time.Second)},
		"time-out": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, cutOff},
		"reset": {func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(4 * time.Second)
			hangUp(w)
		}, leftAlone},
		"half a body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"half":`))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(7 * time.Second)
			hangUp(w)
		}, leftAlone},
		"slow drip": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		}, cutOff},
		"slow but whole": {func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(matrixTimeout - time.Second)
			_, _ = w.Write([]byte("true"))
		}, completed("true")},
	}
}

func (tc targetAnswer) check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked posts
		b := newInBubble(t, 10, func(w http.ResponseWriter, r *http.Request) {
			if asked.note() {
				tc.answer(w, r)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}, "--target-timeout", matrixTimeout.String())
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

func testRequestFollowsTheContract(t *testing.T) {
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
