package backoff

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelay(t *testing.T) {
	p := Policy{First: 100 * time.Millisecond, Max: time.Second}
	lowest := func() float64 { return 0 }
	highest := func() float64 { return math.Nextafter(1, 0) }
	for name, tc := range map[string]struct {
		policy Policy
		try    int
		whole  time.Duration // the longest pause that may be drawn
	}{
		"first":     {p, 0, 100 * time.Millisecond},
		"doubled":   {p, 3, 800 * time.Millisecond},
		"at most":   {p, 4, time.Second},
		"very late": {p, math.MaxInt, time.Second},
		"no doubling beyond the range of a duration": {Policy{First: 1, Max: math.MaxInt64 / 2}, 200, math.MaxInt64 / 2},
		"zero": {Policy{}, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.policy.Delay(tc.try, lowest); got != tc.whole/2 {
				t.Errorf("least delay is %s, want %s", got, tc.whole/2)
			}
			most := tc.policy.Delay(tc.try, highest)
			if most > tc.whole || most < tc.whole/4*3 {
				t.Errorf("greatest delay is %s, want about %s and not more", most, tc.whole)
			}
			if drawn := tc.policy.Delay(tc.try, nil); drawn < tc.whole/2 || drawn > tc.whole {
				t.Errorf("drawn delay is %s, want %s to %s", drawn, tc.whole/2, tc.whole)
			}
		})
	}
}

func TestSleep(t *testing.T) {
	stop := errors.New("stop")
	for name, tc := range map[string]struct {
		d, ends time.Duration // ends: the time until the context ends; negative: before the call
		err     error
		slept   time.Duration
	}{
		"to the end":         {time.Minute, time.Hour, nil, time.Minute},
		"cut short":          {time.Hour, time.Minute, stop, time.Minute},
		"zero":               {0, time.Hour, nil, 0},
		"zero, ended before": {0, -1, stop, 0},
		"negative":           {-time.Second, time.Hour, nil, 0},
		"ended before":       {time.Hour, -1, stop, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tc.ends < 0 {
					cancel(stop)
				} else {
					defer time.AfterFunc(tc.ends, func() { cancel(stop) }).Stop()
				}
				start := time.Now()
				err := Sleep(ctx, tc.d)
				if !errors.Is(err, tc.err) {
					t.Errorf("Sleep returned %v, want %v", err, tc.err)
				}
				if slept := time.Since(start); slept != tc.slept {
					t.Errorf("slept %s, want %s", slept, tc.slept)
				}
			})
		})
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Policy{First: time.Second, Max: time.Minute}
		start := time.Now()
		if err := p.Wait(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if slept := time.Since(start); slept < 2*time.Second || slept > 4*time.Second {
			t.Errorf("slept %s, want 2s to 4s", slept)
		}
	})
}
