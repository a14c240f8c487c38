package dynamo_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// dated is a wire whose server's clock is off by ahead.
func dated(ahead *time.Duration) *wire {
	return &wire{delay: latency, hook: func(_ call, _ int, forward func() *http.Response) (*http.Response, error) {
		resp := forward()
		resp.Header.Set("Date", time.Now().Add(*ahead).UTC().Format(http.TimeFormat))
		return resp, nil
	}}
}

func TestTheServicesClockCountsOnlyWhereOursIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		ahead time.Duration
		wrong bool
	}{
		"equal":                       {0, false},
		"within the skew margin":      {1900 * time.Millisecond, false},
		"behind, within the margin":   {-1900 * time.Millisecond, false},
		"a second beyond it":          {3100 * time.Millisecond, true},
		"a second beyond it, behind":  {-4100 * time.Millisecond, true},
		"an hour":                     {time.Hour, true},
		"a time zone, the wrong way":  {-2 * time.Hour, true},
		"half a century, a dead cell": {50 * 365 * 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				s := newStore(t, dated(&tc.ahead).client(), dynamo.Config{
					Table: "t", Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				for v := range dedupe.Version(20) { // at different times of a second
					if err := s.Swap(t.Context(), v, record("a", v+1)); err != nil {
						t.Fatal(err)
					}
					off := time.Until(s.Now())
					if want := tc.ahead; tc.wrong && (off < want-time.Second || off > want+time.Second) || !tc.wrong && off != 0 {
						t.Fatalf("off by %s, want about %s", off, want)
					}
					time.Sleep(137 * time.Millisecond) // virtual
				}
				if warned := strings.Count(log.String(), "level=WARN"); tc.wrong && warned != 1 || !tc.wrong && warned != 0 {
					t.Errorf("%d warnings:\n%s", warned, log.String())
				}
			})
		})
	}
}

func TestACorrectionStaysUntilAnAnswerSpeaksAgainstIt(t *testing.T) {
	const (
		answers = 30
		slow    = 20 // the answer that takes long, either way
		long    = 2800 * time.Millisecond
	)
	for name, ahead := range map[string]time.Duration{
		"little more than what counts": 2600 * time.Millisecond,
		"little more, behind":          -2600 * time.Millisecond,
		"much":                         4500 * time.Millisecond,
		"much, behind":                 -4500 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				w := dated(&ahead)
				date := w.hook
				w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
					if n == slow && ahead < 0 {
						time.Sleep(long) // virtual, on the way there
					}
					resp, err := date(c, n, forward)
					if n == slow && ahead > 0 {
						time.Sleep(long) // virtual, on the way back
					}
					return resp, err
				}
				s := newStore(t, w.client(), dynamo.Config{Table: "t", Logger: slog.New(slog.NewTextHandler(&log, nil))})
				corrected := false
				for n := range answers { // at different times of a second
					if _, err := s.Get(t.Context(), "test#a"); err != nil {
						t.Fatal(err)
					}
					off := time.Until(s.Now())
					if corrected = corrected || off != 0; corrected && (off < ahead-time.Second || off > ahead+time.Second) {
						t.Errorf("off by %s after answer %d, want about %s", off, n, ahead)
					}
					time.Sleep(137 * time.Millisecond) // virtual
				}
				if warned := strings.Count(log.String(), "level=WARN"); !corrected || warned != 1 || strings.Contains(log.String(), "agrees") {
					t.Errorf("corrected: %t\n%s", corrected, log.String())
				}
			})
		})
	}
}

// It was dated before our clock was set, which the later call has shown.
func TestAnAnswerThatIsOvertakenTellsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		release := make(chan struct{})
		w := dated(&ahead)
		date := w.hook
		w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
			resp, err := date(c, n, forward)
			if n == 0 {
				<-release
			}
			return resp, err
		}
		s := newStore(t, w.client(), dynamo.Config{Table: "t", Batch: dynamo.BatchOff, Logger: slog.New(slog.DiscardHandler)})
		get := func() {
			if _, err := s.Get(t.Context(), "test#a"); err != nil {
				t.Error(err)
			}
		}
		go get()
		time.Sleep(2 * latency) // virtual
		synctest.Wait()         // the answer is on its way
		ahead = time.Minute     // our clock is set back
		get()
		close(release)
		synctest.Wait()
		if off := time.Until(s.Now()); off < ahead-time.Second || off > ahead+time.Second {
			t.Errorf("off by %s, want about %s", off, ahead)
		}
	})
}

func TestAClockThatIsSetRightIsTrustedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		ahead := 10 * time.Second
		s := newStore(t, dated(&ahead).client(), dynamo.Config{Table: "t", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			if _, err := s.Get(t.Context(), "test#a"); err != nil {
				t.Fatal(err)
			}
			ahead = 0
		}
		if off := time.Until(s.Now()); off != 0 {
			t.Errorf("still off by %s", off)
		}
		if !strings.Contains(log.String(), "agrees") {
			t.Errorf("not said:\n%s", log.String())
		}
	})
}

// Most that a challenger ever hears are conflicts, and whether a lease has
// lapsed is judged right after one.
func TestAConflictTellsTheTimeToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for mode, batching := range modes {
			w := &wire{hook: func(call, int, func() *http.Response) (*http.Response, error) {
				resp := respond(http.StatusBadRequest, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",`+
					`"Item":{"id":{"S":"test#a"},"format":{"N":"1"}}}`)
				resp.Header.Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
				return resp, nil
			}}
			s := newStore(t, w.client(), dynamo.Config{Table: "t", Batch: batching, Logger: slog.New(slog.DiscardHandler)})
			if _, conflict := errors.AsType[*dedupe.ConflictError](s.Swap(t.Context(), 1, record("a", 2))); !conflict {
				t.Fatal("no conflict")
			}
			if off := time.Until(s.Now()); off > -time.Minute+time.Second || off < -time.Minute-time.Second {
				t.Errorf("%s: off by %s", mode, off)
			}
		}
	})
}

func TestAnAnswerWithoutADateChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, (&wire{}).client(), dynamo.Config{Table: "t"})
		if _, err := s.Get(t.Context(), "test#a"); err != nil {
			t.Fatal(err)
		}
		if off := time.Until(s.Now()); off != 0 {
			t.Errorf("off by %s", off)
		}
	})
}
