package dedupe_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func explode() { panic("ouch") }

func TestHandler(t *testing.T) {
	t.Run("panic is recorded with the handlers frames only", testAPanicIsRecordedWithTheHandlersFramesOnly)
	t.Run("panic is raised again by choice once it is recorded", testAPanicIsRaisedAgainByChoiceOnceItIsRecorded)
	t.Run("handler that ends its goroutine has failed", testAHandlerThatEndsItsGoroutineHasFailed)
	t.Run("handler that mutates its input completes the name it was called for", testAHandlerThatMutatesItsInputCompletesTheNameItWasCalledFor)
	t.Run("result belongs to its caller alone", testAResultBelongsToItsCallerAlone)
	t.Run("result that is not stored is given to its own caller and marked for others", testAResultThatIsNotStoredIsGivenToItsOwnCallerAndMarkedForOthers)
	t.Run("handlers error decides the record", testHandlersErrorDecidesTheRecord)
	t.Run("caller that has stopped starts nothing", testACallerThatHasStoppedStartsNothing)
	t.Run("stop between claim and handler releases or on the last delivery rejects", testAStopBetweenClaimAndHandlerReleasesOrOnTheLastDeliveryRejects)
	t.Run("handler that returns the cause of its stop is released", testAHandlerThatReturnsTheCauseOfItsStopIsReleased)
	t.Run("final write is tried for the settling time after a stop and twelve hours without one", testAFinalWriteIsTriedForTheSettlingTimeAfterAStopAndTwelveHoursWithoutOne)
	t.Run("final write ends when another attempt holds the name", testFinalWriteEndsWhenAnotherAttemptHoldsTheName)
}

func testAPanicIsRecordedWithTheHandlersFramesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) {
			explode()
			return "", nil
		})
		r := b.record(t)
		for _, text := range []string{r.Error, err.Error()} {
			if !strings.HasPrefix(text, "panic: ouch\n") || !strings.Contains(text, "dedupe_test.explode") || !strings.Contains(text, "guard_handler_test.go") {
				t.Errorf("got %q", text)
			}
			if strings.Contains(text, "runtime.") || strings.Contains(text, "panic.go") || strings.Contains(text, "tRunner") {
				t.Errorf("not trimmed: %q", text)
			}
		}
		if r.Status != protocol.Retrying {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testAPanicIsRaisedAgainByChoiceOnceItIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		b.cfg.Repanic = true
		g := b.guard(t)
		func() {
			defer func() {
				if p := recover(); p != "ouch" {
					t.Errorf("recovered %v", p)
				}
			}()
			_, _ = g.Do(t.Context(), key, func(context.Context) (string, error) { explode(); return "", nil })
		}()
		if r := b.record(t); r.Status != protocol.Retrying || !strings.Contains(r.Error, "ouch") {
			t.Errorf("record %s: %s", r.Status, r.Error)
		}
		if _, err := g.Do(t.Context(), key, returns("", nil)); err != nil { // the name's turn is over
			t.Error(err)
		}
	})
}

func testAHandlerThatEndsItsGoroutineHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g := b.guard(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = g.Do(t.Context(), key, func(context.Context) (string, error) { runtime.Goexit(); return "", nil })
		})
		wg.Wait()
		if r := b.record(t); r.Status != protocol.Retrying || !strings.Contains(r.Error, "Goexit") {
			t.Errorf("record %s: %s", r.Status, r.Error)
		}
		if _, err := g.Do(t.Context(), key, returns("", nil)); err != nil {
			t.Error(err)
		}
	})
}

type order struct {
	Name   string
	Amount int
}

func testAHandlerThatMutatesItsInputCompletesTheNameItWasCalledFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		h := dedupe.Wrap(b.guard(t),
			func(o *order) (dedupe.Key, error) { return dedupe.Key{Name: o.Name}, nil },
			func(_ context.Context, o *order) (string, error) { o.Name, o.Amount = "other", 0; return "", nil })
		if err := h(t.Context(), &order{Name: key.Name}); err != nil {
			t.Fatal(err)
		}
		if r := b.record(t); r.Status != protocol.Completed {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testAResultBelongsToItsCallerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		g, err := dedupe.New[dedupe.Payload](b.store, b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		buffer := []byte(`"ok"`)
		do := func() []byte {
			res, err := g.Do(t.Context(), key, func(context.Context) (dedupe.Payload, error) { return dedupe.Payload{Data: buffer}, nil })
			if err != nil {
				t.Fatal(err)
			}
			return res.Value.Data
		}
		for range 3 {
			copy(do(), "XXXX") // changes its own copy
		}
		if got := do(); string(got) != `"ok"` || string(b.record(t).Result) != `"ok"` {
			t.Errorf("got %s, recorded %s", got, b.record(t).Result)
		}
	})
}

type panicsInJSON struct{}

func (panicsInJSON) MarshalJSON() ([]byte, error) { panic("no") }

func testAResultThatIsNotStoredIsGivenToItsOwnCallerAndMarkedForOthers(t *testing.T) {
	for name, result := range map[string]any{"TooLarge": strings.Repeat("x", 5000), "NotEncodable": func() {}, "Panics": panicsInJSON{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				g, err := dedupe.New[any](b.store, b.cfg)
				if err != nil {
					t.Fatal(err)
				}
				first, err := g.Do(t.Context(), key, func(context.Context) (any, error) { return result, nil })
				if err != nil || first.Value == nil || !first.Omitted {
					t.Errorf("first: %+v, %v", first, err)
				}
				again, err := g.Do(t.Context(), key, func(context.Context) (any, error) { t.Error("ran"); return nil, nil })
				if err != nil || again.Value != nil || !again.Omitted || !again.Replayed {
					t.Errorf("again: %+v, %v", again, err)
				}
				var marker struct {
					Omitted string
					Size    int
					SHA256  string
				}
				if err := json.Unmarshal(b.record(t).Result, &marker); err != nil || marker.Omitted == "" || len(marker.SHA256) != 64 {
					t.Errorf("marker %s, %v", b.record(t).Result, err)
				}
			})
		})
	}
}

type behaves struct{ down, unavailable, unknown bool }

func (behaves) Error() string          { return "behaves" }
func (b behaves) Down() bool           { return b.down }
func (b behaves) Unavailable() bool    { return b.unavailable }
func (b behaves) OutcomeUnknown() bool { return b.unknown }

func testHandlersErrorDecidesTheRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		err      error
		hold     bool
		last     bool
		status   protocol.Status
		attempts int
	}{
		"down is released, not counted":             {behaves{down: true}, false, false, protocol.Retrying, 0},
		"down is released on the last delivery too": {behaves{down: true}, true, true, protocol.Retrying, 0},
		"an open breaker is released, not counted":  {behaves{unavailable: true}, false, true, protocol.Retrying, 0},
		"an unknown outcome is tried again":         {behaves{unknown: true}, false, false, protocol.Retrying, 1},
		"an unknown outcome is parked under hold":   {behaves{unknown: true}, true, false, protocol.Unknown, 1},
		"and so it is on the last delivery":         {behaves{unknown: true}, true, true, protocol.Unknown, 1},
		"a failure is tried again, also under hold": {errNetwork, true, false, protocol.Retrying, 1},
		"a failure on the last delivery is final":   {errNetwork, false, true, protocol.Rejected, 1},
		"a permanent failure is final":              {permanent{}, true, false, protocol.Rejected, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hold = tc.hold
				k := key
				k.LastDelivery = tc.last
				_, err := b.guard(t).Do(t.Context(), k, returns("", tc.err))
				r := b.record(t)
				if r.Status != tc.status || r.Attempts != tc.attempts || !errors.Is(err, tc.err) {
					t.Errorf("record %s with %d attempts, error %v", r.Status, r.Attempts, err)
				}
				counted, ok := errors.AsType[interface {
					error
					AttemptsCounted() int
				}](err)
				if tc.attempts > 0 && (!ok || counted.AttemptsCounted() != tc.attempts) {
					t.Errorf("the error does not know its attempts: %v", err)
				}
				down, ok := errors.AsType[interface {
					error
					Unavailable() bool
				}](err)
				if released := tc.attempts == 0; released != (ok && down.Unavailable()) {
					t.Errorf("unavailable is told as %v", err)
				}
			})
		})
	}
}

func testACallerThatHasStoppedStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.guard(t).Do(ctx, key, func(context.Context) (string, error) { t.Error("ran"); return "", nil })
		if r := b.record(t); !errors.Is(err, context.Canceled) || r.Status != "" {
			t.Errorf("record %s, error %v", r.Status, err)
		}
	})
}

func testAStopBetweenClaimAndHandlerReleasesOrOnTheLastDeliveryRejects(t *testing.T) {
	for name, last := range map[string]bool{"Released": false, "Rejected": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.cfg.Hold = true // it was not begun: its outcome is known
				ctx, cancel := context.WithCancel(t.Context())
				b.store.after = func(r protocol.Record) error {
					if isClaim(r) {
						cancel()
					}
					return nil
				}
				k := key
				k.LastDelivery = last
				_, err := b.guard(t).Do(ctx, k, func(context.Context) (string, error) { t.Error("ran"); return "", nil })
				want, attempts := protocol.Retrying, 0
				if last {
					want, attempts = protocol.Rejected, 1
				}
				if r := b.record(t); r.Status != want || r.Attempts != attempts || !errors.Is(err, context.Canceled) {
					t.Errorf("record %s with %d attempts, error %v", r.Status, r.Attempts, err)
				}
			})
		})
	}
}

func testAHandlerThatReturnsTheCauseOfItsStopIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		drained := errors.New("drain time is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := b.guard(t).Do(ctx, key, func(ctx context.Context) (string, error) {
			cancel(drained)
			return "", context.Cause(ctx)
		})
		if r := b.record(t); r.Status != protocol.Retrying || r.Attempts != 0 || !errors.Is(err, drained) || !errors.Is(err, context.Canceled) {
			t.Errorf("record %s with %d attempts, error %v", r.Status, r.Attempts, err)
		}
	})
}

func testAFinalWriteIsTriedForTheSettlingTimeAfterAStopAndTwelveHoursWithoutOne(t *testing.T) {
	for name, tc := range map[string]struct {
		stop bool
		want time.Duration
	}{"Stopped": {true, 3 * time.Second}, "NotStopped": {false, 12 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				b.store.before = func(r protocol.Record) error {
					if r.Status == protocol.Completed {
						return errNetwork
					}
					return nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var start time.Time
				_, err := b.guard(t).Do(ctx, key, func(context.Context) (string, error) {
					start = time.Now()
					if tc.stop {
						cancel()
					}
					return "", nil
				})
				if took := time.Since(start); took != tc.want || !errors.Is(err, dedupe.ErrUnavailable) {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

func testFinalWriteEndsWhenAnotherAttemptHoldsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		outage := time.Now().Add(time.Minute)
		b.store.before = func(r protocol.Record) error {
			first := r.Status == protocol.Completed && string(r.Result) == `"first"`
			if (first || isRenewal(r)) && time.Now().Before(outage) {
				return errNetwork
			}
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(40 * time.Second)
			if _, err := b.guard(t).Do(t.Context(), key, returns("second", nil)); err != nil {
				t.Error(err)
			}
		})
		_, err := b.guard(t).Do(t.Context(), key, returns("first", nil))
		if !errors.Is(err, dedupe.ErrLeaseLost) {
			t.Errorf("got %v", err)
		}
		wg.Wait()
		if r := b.record(t); string(r.Result) != `"second"` {
			t.Errorf("recorded %s", r.Result)
		}
	})
}
