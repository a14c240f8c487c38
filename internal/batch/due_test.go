package batch

import (
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	const ms = time.Millisecond
	partial := load{waiting: 1, inFlight: 1, limit: 8, since: 2 * ms, pace: 8 * ms}
	change := func(do func(*load)) load {
		l := partial
		do(&l)
		return l
	}
	for _, c := range []struct {
		name string
		load load
		now  bool
		wait time.Duration
	}{
		{"nothing waits", load{limit: 8, pace: 8 * ms, since: 9 * ms}, false, 0},
		{"partial beside a call", partial, false, 6 * ms},
		{"partial, pace kept", change(func(l *load) { l.since = 8 * ms }), true, 0},
		{"partial, pace kept, others may join", change(func(l *load) { l.since, l.joining = 8*ms, true }), false, 0},
		{"partial, no call in flight", change(func(l *load) { l.inFlight = 0 }), true, 0},
		{"partial, no call in flight, others may join", change(func(l *load) { l.inFlight, l.joining = 0, true }), false, 0},
		{"partial, no call in flight, busy", change(func(l *load) { l.inFlight, l.busy = 0, true }), false, 6 * ms},
		{"partial at the limit", change(func(l *load) { l.inFlight, l.since = 8, 9*ms }), false, 0},
		{"partial at the end", change(func(l *load) { l.closing, l.joining = true, true }), true, 0},
		{"full beside a call", change(func(l *load) { l.full = true }), true, 0},
		{"full while others may join", change(func(l *load) { l.full, l.joining = true, true }), true, 0},
		{"full at the limit", change(func(l *load) { l.full, l.inFlight = true, 8 }), false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if now, wait := c.load.due(); now != c.now || wait != c.wait {
				t.Errorf("due() = %t, %s; want %t, %s", now, wait, c.now, c.wait)
			}
		})
	}
}

func TestFlight(t *testing.T) {
	start := time.Now()
	t.Run("account", func(t *testing.T) {
		var f flight
		f.begin(start, 4)
		f.begin(start.Add(time.Second), 3)
		at := start.Add(3 * time.Second)
		if l := f.load(at, 9); l.inFlight != 2 || l.since != 2*time.Second || !l.busy {
			t.Errorf("3 of 9 items in the last call: %+v", l)
		}
		f.end(time.Second)
		if l := f.load(at, 10); l.inFlight != 1 || l.since != 2*time.Second || l.busy {
			t.Errorf("3 of 10 items in the last call: %+v", l)
		}
		f.begin(at, 1)
		if l := f.load(at, 2); l.busy {
			t.Errorf("a lone item: %+v", l)
		}
	})
	pace := func(took ...time.Duration) time.Duration {
		var f flight
		for _, d := range took {
			f.begin(start, 1)
			f.end(d)
		}
		return f.pace()
	}
	const ms = time.Millisecond
	after := func(d time.Duration, n int, rest ...time.Duration) (took []time.Duration) {
		for range n {
			took = append(took, rest...)
		}
		return append([]time.Duration{d}, took...)
	}
	for _, c := range []struct {
		name string
		took []time.Duration
		want time.Duration
	}{
		{"first call", nil, firstPace},
		{"instant", after(time.Microsecond, 3, time.Microsecond), minPace},
		{"constant", after(6*ms, 20, 6*ms), 8 * ms},
		{"slow calls do not count", after(6*ms, recent-1, time.Second), 8 * ms},
		{"lasting change", after(6*ms, recent, time.Second), time.Second * paceNum / paceDen},
		{"the fastest counts wherever it stands", after(9*ms, 5, 60*ms, 6*ms, 30*ms), 8 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pace(c.took...); got != c.want {
				t.Errorf("pace %s, want %s", got, c.want)
			}
		})
	}
}
