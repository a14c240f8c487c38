package batch

import (
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		load load
		now  bool
		wait time.Duration
	}{
		{"nothing waits", load{limit: 8, slow: 50 * ms}, false, 0},
		{"lone item", load{waiting: 1, limit: 8, slow: 50 * ms}, true, 0},
		{"full beside a call", load{waiting: 10, full: true, inFlight: 1, limit: 8, slow: 50 * ms}, true, 0},
		{"full at the limit", load{waiting: 10, full: true, inFlight: 8, limit: 8, slow: 50 * ms}, false, 0},
		{"partial beside a call", load{waiting: 1, inFlight: 1, limit: 8, youngest: 20 * ms, slow: 50 * ms}, false, 30 * ms},
		{"partial beside a slow call", load{waiting: 1, inFlight: 1, limit: 8, youngest: 50 * ms, slow: 50 * ms}, true, 0},
		{"partial beside slow calls at the limit", load{waiting: 1, inFlight: 8, limit: 8, youngest: 80 * ms, slow: 50 * ms}, false, 0},
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
	calls := func(f *flight, took time.Duration, n int) {
		for range n {
			f.end(f.begin(start), start.Add(took))
		}
	}
	t.Run("age of the youngest call", func(t *testing.T) {
		var f flight
		older := f.begin(start)
		younger := f.begin(start.Add(time.Second))
		at := start.Add(3 * time.Second)
		if l := f.load(at); l.inFlight != 2 || l.youngest != 2*time.Second {
			t.Errorf("%+v", l)
		}
		f.end(younger, at)
		if l := f.load(at); l.inFlight != 1 || l.youngest != 3*time.Second {
			t.Errorf("without the younger: %+v", l)
		}
		f.end(older, at)
		if l := f.load(at); l.inFlight != 0 || l.youngest != 0 {
			t.Errorf("without both: %+v", l)
		}
	})
	t.Run("fast calls", func(t *testing.T) {
		var f flight
		calls(&f, 5*time.Millisecond, 100)
		if f.slow() != minSlow {
			t.Errorf("slow from %s, want the minimum", f.slow())
		}
	})
	t.Run("one call in thirty hangs", func(t *testing.T) {
		var f flight
		for range 20 {
			calls(&f, 5*time.Millisecond, 29)
			calls(&f, 2500*time.Millisecond, 1)
		}
		if f.slow() != minSlow {
			t.Errorf("slow from %s, want the minimum", f.slow())
		}
	})
	t.Run("lasting change", func(t *testing.T) {
		var f flight
		calls(&f, 5*time.Millisecond, 100)
		calls(&f, time.Second, 24)
		if slow := f.slow(); slow < time.Second || slow > slowFactor*time.Second {
			t.Errorf("slow from %s where calls take 1s", slow)
		}
	})
}
