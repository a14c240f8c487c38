package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// guarded is a breaker over a target that answers with the status in a
// message's body, after a while.
type guarded struct {
	*Breaker
	posts atomic.Int32
	down  atomic.Bool // as last told
}

func newGuarded(t *testing.T) (g *guarded, stop func()) { return newGuardedHolding(t, false) }

func newGuardedHolding(t *testing.T, hold bool) (g *guarded, stop func()) {
	g = &guarded{}
	target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		g.posts.Add(1)
		body, _ := io.ReadAll(r.Body)
		var status, seconds int
		_, _ = fmt.Sscanf(string(body), "%d %d", &status, &seconds)
		time.Sleep(time.Duration(seconds) * time.Second)
		if status == 0 {
			breakOff(t, w)
			return
		}
		w.WriteHeader(status)
	})
	g.Breaker = NewBreaker(target, hold, g.down.Store)
	return g, stop
}

// post sends a message that is answered so.
func (g *guarded) post(t *testing.T, id string, status int) kind {
	return g.postSlow(t, id, status, 0)
}

func (g *guarded) postSlow(t *testing.T, id string, status, seconds int) kind {
	_, err := g.Post(t.Context(), Request{Name: id, MessageID: id, Body: fmt.Sprintf("%d %d", status, seconds)})
	return kindOf(err)
}

// trip makes the target known to be down.
func (g *guarded) trip(t *testing.T) {
	for i := range tripAfter {
		g.post(t, strconv.Itoa(i), http.StatusNotFound)
	}
	if !g.Down() || !g.down.Load() {
		t.Fatalf("%d messages answered by 404, and the target is not down", tripAfter)
	}
}

func TestTargetThatFailsSeveralMessagesIsDown(t *testing.T) {
	for _, status := range []int{301, 401, 403, 404, 405, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			g, stop := newGuarded(t)
			defer stop()
			for i := range tripAfter {
				got := g.post(t, strconv.Itoa(i), status)
				if last := i == tripAfter-1; last != (got == notSent) || last != g.Down() || last != g.down.Load() {
					t.Errorf("%d: after %d messages the outcome is %q, down %t, told %t", status, i+1, got, g.Down(), g.down.Load())
				}
			}
			time.Sleep(retryAfterTrip + 1)
			if got := g.post(t, "probe", status); got != notSent {
				t.Errorf("%d: outcome of a probe is %q", status, got)
			}
			time.Sleep(retryAfterTrip + 1)
			if got := g.post(t, "probe", 200); got != done || g.Down() || g.down.Load() {
				t.Errorf("%d: after a success the outcome is %q, down %t, told %t", status, got, g.Down(), g.down.Load())
			}
			if got := g.post(t, "other", status); got == notSent {
				t.Errorf("%d: not counted although the target is up", status)
			}
		})
	}
}

func TestTargetThatAnswersIsNotDown(t *testing.T) {
	for _, status := range []int{200, 400, 408, 409, 413, 422, 425, 429} {
		synctest.Test(t, func(t *testing.T) {
			g, stop := newGuarded(t)
			defer stop()
			for i := range 3 * tripAfter {
				g.post(t, strconv.Itoa(i), status)
			}
			if g.Down() || g.down.Load() {
				t.Errorf("down after answers of %d", status)
			}
		})
	}
}

func TestOneMessageThatAlwaysFailsIsItsOwnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGuarded(t)
		defer stop()
		for range 10 * tripAfter {
			if got := g.post(t, "poison", 500); got != retry {
				t.Fatalf("outcome is %q", got)
			}
		}
	})
}

func TestSuccessBetweenFailuresKeepsTheTargetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGuarded(t)
		defer stop()
		for i := range 10 * tripAfter {
			if got := g.post(t, strconv.Itoa(i), 404); got != retryDown {
				t.Fatalf("outcome is %q", got)
			}
			if i%(tripAfter-1) == 0 {
				g.post(t, "good", 200)
			}
		}
	})
}

func TestUnknownOutcomesSayNothingOfTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGuarded(t)
		defer stop()
		for i := range 3 * tripAfter {
			if got := g.post(t, strconv.Itoa(i), 0); got != unknown {
				t.Fatalf("outcome is %q", got)
			}
		}
	})
}

// What becomes of requests at a target that is down is not the messages' fault,
// however it shows: only who wants to hold them is told that nobody knows.
func TestUnknownOutcomeAtATargetThatIsDownIsNotCountedUnlessHeld(t *testing.T) {
	for hold, want := range map[bool]kind{false: notSent, true: unknown} {
		synctest.Test(t, func(t *testing.T) {
			g, stop := newGuardedHolding(t, hold)
			defer stop()
			g.trip(t)
			time.Sleep(retryAfterTrip + 1)
			_, err := g.Post(t.Context(), Request{Name: "probe", MessageID: "probe", Body: "0 2"})
			if got := kindOf(err); got != want || !g.Down() {
				t.Errorf("hold %t: outcome of a probe that broke off is %q, down %t", hold, got, g.Down())
			}
			if e, ok := errors.AsType[*UnknownOutcomeError](err); !ok || e.RetryAfter() != defaultTimeout-2*time.Second {
				t.Errorf("hold %t: error is %v, want one that knows the rest of the timeout", hold, err)
			}
			time.Sleep(retryAfterTrip + 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = g.Post(ctx, Request{Name: "probe", MessageID: "probe", Body: "0 2"})
			if got := kindOf(err); got != unknown {
				t.Errorf("hold %t: outcome of a probe that was given up is %q", hold, got)
			}
			time.Sleep(time.Second) // the target's handler ends
		})
	}
}

func TestOneProbeIsOutAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGuarded(t)
		defer stop()
		g.trip(t)
		time.Sleep(retryAfterTrip + 1)
		before := g.posts.Load()
		outcome := make(chan kind)
		go func() { outcome <- g.postSlow(t, "probe", 404, 1) }()
		synctest.Wait()
		for i := range 5 {
			if got := g.post(t, strconv.Itoa(i), 200); got != notSent {
				t.Errorf("outcome beside a probe is %q", got)
			}
		}
		if got := <-outcome; got != notSent {
			t.Errorf("outcome of the probe is %q", got)
		}
		if n := g.posts.Load() - before; n != 1 {
			t.Errorf("target was asked %d times, want once", n)
		}
	})
}

// A probe may be long at work because the target is well again.
func TestProbeThatTakesLongIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGuarded(t)
		defer stop()
		g.trip(t)
		time.Sleep(retryAfterTrip + 1)
		outcomes := make(chan kind)
		go func() { outcomes <- g.postSlow(t, "first", 200, 20) }()
		time.Sleep(probePatience)
		go func() { outcomes <- g.postSlow(t, "second", 200, 25) }()
		synctest.Wait()
		if got := g.post(t, "third", 200); got != notSent {
			t.Errorf("outcome beside two probes is %q", got)
		}
		if got := <-outcomes; got != done || g.Down() {
			t.Errorf("outcome of the first is %q, down %t", got, g.Down())
		}
		if got := g.post(t, "fourth", 200); got != done {
			t.Errorf("outcome after the first is %q", got)
		}
		<-outcomes
	})
}

func TestProbeGivenUpByItsCallerProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGuarded(t)
		defer stop()
		g.trip(t)
		time.Sleep(retryAfterTrip + 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Post(ctx, Request{Name: "n", MessageID: "n", Body: "200 0"}); kindOf(err) == done {
			t.Fatal("done without a request")
		}
		if !g.Down() {
			t.Error("up after nothing")
		}
		time.Sleep(retryAfterTrip + 1)
		if got := g.post(t, "probe", 200); got != done || g.Down() {
			t.Errorf("outcome of the next probe is %q, down %t", got, g.Down())
		}
	})
}
