package dynamo_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// dated is a wire whose server's clock is off by ahead.
func dated(ahead *time.Duration) *wire {
	return &wire{delay: latency, hook: func(_ call, _ int, forward func() *http.Response) (*http.Response, error) {
		resp := forward()
		resp.Header.Set("Date", time.Now().Add(*ahead).UTC().Format(http.TimeFormat))
		return resp, nil
	}}
}

func TestClock(t *testing.T) {
	t.Run("services clock counts only where ours is wrong", testTheServicesClockCountsOnlyWhereOursIsWrong)
	t.Run("correction stays until an answer speaks against it", testACorrectionStaysUntilAnAnswerSpeaksAgainstIt)
	t.Run("answer that is overtaken tells no time", testAnAnswerThatIsOvertakenTellsNoTime)
	t.Run("clock that is set right is trusted again", testAClockThatIsSetRightIsTrustedAgain)
	t.Run("answer without a date changes nothing", testAnAnswerWithoutADateChangesNothing)
}

func testTheServicesClockCountsOnlyWhereOursIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		ahead time.Duration
		wrong bool
	}{
		"equal":                      {0, false},
		"within the skew margin":     {1900 * time.Millisecond, false},
		"behind, within the margin":  {-1900 * time.Millisecond, false},
		"a second beyond it":         {3100 * time.Millisecond, true},
		"a second beyond it, behind": {-4100 * time.Millisecond, true},
		"four minutes":               {4 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				s := newStore(t, dated(&tc.ahead).client(), dynamo.Config{
					Table: "t", Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				for v := range protocol.Version(20) { // at different times of a second
					if err := s.Swap(t.Context(), v, record("a", v+1)); err != nil {
						t.Fatal(err)
					}
					off := time.Until(s.Now())
					if want := tc.ahead; v >= 2 && tc.wrong && (off < want-time.Second || off > want+time.Second) || (v < 2 || !tc.wrong) && off != 0 {
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

func testACorrectionStaysUntilAnAnswerSpeaksAgainstIt(t *testing.T) {
	const (
		answers = 30
		slow    = 20 // the answer that takes long, either way
		long    = 2800 * time.Millisecond
	)
	for name, ahead := range map[string]time.Duration{
		"little more than the margin": 2600 * time.Millisecond,
		"little more, behind":         -2600 * time.Millisecond,
		"much":                        4500 * time.Millisecond,
		"much, behind":                -4500 * time.Millisecond,
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

// They were dated before our clock was set, which the later calls have shown.
func testAnAnswerThatIsOvertakenTellsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const overtaken = 3 // as many as move the clock when they agree
		ahead := time.Duration(0)
		release := make(chan struct{})
		w := dated(&ahead)
		date := w.hook
		w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
			resp, err := date(c, n, forward)
			if n < overtaken {
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
		for range overtaken {
			go get()
		}
		time.Sleep(2 * latency) // virtual
		synctest.Wait()         // the answers are on their way
		ahead = time.Minute     // our clock is set back
		if err := s.ReadClock(t.Context()); err != nil {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		if off := time.Until(s.Now()); off < ahead-time.Second || off > ahead+time.Second {
			t.Errorf("off by %s, want about %s", off, ahead)
		}
	})
}

func testAClockThatIsSetRightIsTrustedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		ahead := 10 * time.Second
		s := newStore(t, dated(&ahead).client(), dynamo.Config{Table: "t", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			if err := s.ReadClock(t.Context()); err != nil {
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

// One wrong Date (of a proxy, say) moves nothing, and neither do two.
func TestWrongDates(t *testing.T) {
	for name, tc := range map[string]struct {
		wrong  int           // answers in a row that are off, among many that are right
		by     time.Duration // how much
		status int           // of those answers
		moved  bool
	}{
		"one":                        {1, time.Minute, 200, false},
		"one, behind":                {1, -time.Minute, 200, false},
		"two":                        {2, time.Minute, 200, false},
		"three":                      {3, time.Minute, 200, true},
		"three, of errors":           {3, time.Minute, 500, false},
		"three, of refusals":         {3, time.Minute, 400, false},
		"more than five minutes":     {9, 5*time.Minute + 2*time.Second, 200, false},
		"more than five, behind":     {9, -time.Hour, 200, false},
		"half a century, no battery": {9, 50 * 365 * 24 * time.Hour, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ahead := time.Duration(0)
				w := dated(&ahead)
				date := w.hook
				w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
					resp, err := date(c, n, forward)
					if ahead != 0 && tc.status != 200 {
						failed := refuse(map[int]string{400: "ValidationException", 500: "InternalServerError"}[tc.status])
						failed.Header.Set("Date", resp.Header.Get("Date"))
						resp = failed
					}
					return resp, err
				}
				var log strings.Builder
				s := newStore(t, w.client(), dynamo.Config{Table: "t", Logger: slog.New(slog.NewTextHandler(&log, nil))})
				version := protocol.Version(0)
				swap := func(n int) {
					for range n {
						version++
						_ = s.Swap(t.Context(), version-1, record("a", version)) // only the answer's date matters here
						time.Sleep(137 * time.Millisecond)                       // virtual
					}
				}
				swap(50)
				ahead = tc.by
				swap(tc.wrong)
				off := time.Until(s.Now())
				if moved := off != 0; moved != tc.moved {
					t.Errorf("off by %s", off)
				}
				if beyond := tc.by.Abs() > 5*time.Minute; strings.Count(log.String(), "level=ERROR") != map[bool]int{true: 1}[beyond] {
					t.Errorf("logged:\n%s", log.String())
				}
			})
		})
	}
}

func TestReadClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Minute
		w := dated(&ahead)
		s := newStore(t, w.client(), dynamo.Config{Table: "t", Logger: slog.New(slog.DiscardHandler)})
		if err := s.ReadClock(t.Context()); err != nil {
			t.Error(err)
		}
		if off := time.Until(s.Now()); off < ahead-time.Second || off > ahead+time.Second {
			t.Errorf("off by %s", off)
		}
		w.expectOps(t, "GetItem", "GetItem", "GetItem")
		w.hook = func(call, int, func() *http.Response) (*http.Response, error) {
			return refuse("AccessDeniedException"), nil
		}
		if err := s.ReadClock(t.Context()); !errors.Is(err, dynamo.ErrDenied) {
			t.Errorf("got %v", err)
		}
	})
}

func testAnAnswerWithoutADateChangesNothing(t *testing.T) {
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
