package consumer

import (
	"testing"
	"testing/synctest"
	"time"
)

// A refused message serves as a probe, too, if no other message was handled before.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(Config{Concurrency: 1}, func(State) {})
		a.begin()
		defer a.end()
		a.report("target", Down)
		d := &delivery{ticket: ticket{answers: make(chan answer, 1)}, end: Disposition{Action: Park, refused: true}}
		if got := a.ask(d, refused, time.Second, false); got != admitted {
			t.Errorf("the answer is %v, want %v", got, admitted)
		}
	})
}

// The held message that has waited longest is the next probe.
func TestLongestHeldIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(Config{Concurrency: 1}, func(State) {})
		a.begin()
		defer a.end()
		a.pause(true)
		a.report("target", Down)
		probed := make(chan string, 4)
		for _, id := range []string{"second", "third", "fourth"} {
			d := &delivery{Message: Message{ID: id}, ticket: ticket{answers: make(chan answer, 1)}, end: Disposition{Action: Hold}}
			wait := time.Duration(0)
			if id == "fourth" {
				wait = time.Minute // it asks before the fifth message and wakes after it
			}
			go func() {
				a.ask(d, again, wait, false)
				probed <- d.ID
				a.release(d)
			}()
			time.Sleep(time.Second)
		}
		first := &delivery{Message: Message{ID: "first"}, ticket: ticket{answers: make(chan answer, 1)}, end: Disposition{Action: Park, refused: true}}
		go func() {
			a.ask(first, refused, 0, false)
			probed <- first.ID
			a.release(first)
		}()
		time.Sleep(2 * time.Minute)
		a.mu.Lock()
		first.ticket.since = first.ticket.since.Add(-time.Hour) // it has waited longest, in another line
		a.mu.Unlock()
		a.pause(false)
		for _, want := range []string{"first", "second", "third", "fourth"} {
			if got := <-probed; got != want {
				t.Errorf("%s is probed, want %s", got, want)
			}
		}
	})
}

// At a bound, held messages go back first, in the order of receipt. Then goes the message with the
// latest due time.
func TestGoesBackBefore(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	held := func(number int) *delivery { return &delivery{number: number, end: Disposition{Action: Hold}} }
	parked := func(due time.Duration) *delivery {
		return &delivery{end: Disposition{Action: Park}, ticket: ticket{due: now.Add(due)}}
	}
	for _, test := range []struct {
		name        string
		first, then *delivery
	}{
		{"held, not parked", held(9), parked(time.Hour)},
		{"held for longer", held(1), held(2)},
		{"due later", parked(time.Hour), parked(time.Minute)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !goesBackBefore(test.first, test.then) || goesBackBefore(test.then, test.first) {
				t.Error("it stays")
			}
		})
	}
}

// After a failed receive, one receive is sent at a time. It asks for half as many messages, at
// least one.
func TestPollFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(Config{Concurrency: 100, MaxWaitingBytes: defaultWaitingBytes}, func(State) {})
		a.begin()
		defer a.end()
		a.maxPolls = 10
		for _, want := range []int{10, 5, 2, 1, 1} {
			if n := a.beginPoll(); n != want {
				t.Fatalf("a receive asks for %d, want %d", n, want)
			}
			if n := a.beginPoll(); want < 10 && n > 0 {
				t.Errorf("a second receive goes beside one for %d", want)
			} else if n > 0 {
				a.pollFailed(n, false, func() float64 { return 0 })
			}
			a.pollFailed(want, true, func() float64 { return 0 })
			time.Sleep(time.Minute)
		}
	})
}

// Handlers from before an outage do not use up the one slot that is free after it.
func TestRampBesideLongHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(Config{Concurrency: 10}, func(State) {})
		a.begin()
		defer a.end()
		a.update(func(time.Time) { a.running = 2 })
		a.report("target", Down)
		a.report("target", Up)
		if a.limit != 3 {
			t.Errorf("%d slots may be taken beside two long handlers, want 3", a.limit)
		}
	})
}
