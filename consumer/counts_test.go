package consumer

import (
	"testing"
	"time"
)

func TestNextPoll(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	soon := now.Add(time.Second)
	tests := []struct {
		name   string
		change func(*counts)
		want   int
		again  time.Time
	}{
		{"a full batch goes at once", func(*counts) {}, 10, time.Time{}},
		{"so does the next", func(n *counts) { n.polls, n.reserved = 1, 10 }, 10, time.Time{}},
		{"one poll per ten slots", func(n *counts) { n.slots, n.limit, n.polls, n.reserved = 55, 55, 6, 45 }, 0, time.Time{}},
		{"a partial batch goes when none is out", func(n *counts) { n.running = 47 }, 3, time.Time{}},
		{"a partial batch waits for the one that is out", func(n *counts) { n.running, n.polls, n.reserved = 37, 1, 10 }, 0, time.Time{}},
		{"slots are not promised twice", func(n *counts) { n.polls, n.reserved, n.running = 1, 10, 40 }, 0, time.Time{}},
		{"untried messages go first", func(n *counts) { n.untried = 50 }, 0, time.Time{}},
		{"refused messages go first", func(n *counts) { n.refusedReady = 50 }, 0, time.Time{}},
		{"every other slot is for an untried message", func(n *counts) { n.running, n.againReady = 50, 50 }, 1, time.Time{}},
		{"but one of them here is enough", func(n *counts) { n.running, n.againReady, n.untried = 50, 50, 1 }, 0, time.Time{}},
		{"on an empty queue one is out", func(n *counts) { n.maxPolls, n.polls, n.reserved = 1, 1, 10 }, 0, time.Time{}},
		{"on an empty queue one goes", func(n *counts) { n.maxPolls = 1 }, 10, time.Time{}},
		{"none before the start", func(n *counts) { n.begun = false }, 0, time.Time{}},
		{"none at a stop", func(n *counts) { n.stopping = true }, 0, time.Time{}},
		{"none while paused", func(n *counts) { n.paused = true }, 0, time.Time{}},
		{"none with ten unanswered acks per slot", func(n *counts) { n.acks = 500 }, 0, time.Time{}},
		{"one with fewer", func(n *counts) { n.acks = 499 }, 10, time.Time{}},
		{"none with a thousand waiting", func(n *counts) { n.waiting = 1000 }, 0, time.Time{}},
		{"none with 64 MiB waiting", func(n *counts) { n.bytes = 64 << 20 }, 0, time.Time{}},
		{"heads only with a thousand waiting on a FIFO queue", func(n *counts) { n.fifo, n.waiting = true, 1000 }, 1, time.Time{}},
		{"heads only with 64 MiB waiting on a FIFO queue", func(n *counts) { n.fifo, n.bytes = true, 64<<20 }, 1, time.Time{}},
		{"and several at a time", func(n *counts) { n.fifo, n.waiting, n.polls, n.reserved = true, 1000, 4, 4 }, 1, time.Time{}},
		{"none with two thousand waiting on a FIFO queue", func(n *counts) { n.fifo, n.waiting = true, 2000 }, 0, time.Time{}},
		{"ten per slot may wait on a FIFO queue", func(n *counts) { n.fifo, n.waiting, n.slots, n.limit = true, 2999, 300, 300 }, 10, time.Time{}},
		{"fewer after an outage", func(n *counts) { n.limit = 2 }, 2, time.Time{}},
		{"no more than the rate allows", func(n *counts) { n.perSecond = 3.5 }, 3, time.Time{}},
		{"nor what is here already", func(n *counts) { n.perSecond, n.untried = 3.5, 2 }, 1, time.Time{}},
		{"one when the rate is low", func(n *counts) { n.perSecond = 0.1 }, 1, time.Time{}},
		{"fewer on a slow line", func(n *counts) { n.most = 2 }, 2, time.Time{}},
		{"none before a backoff is over", func(n *counts) { n.retryAt = soon }, 0, soon},
		{"one message while something is down", func(n *counts) { n.condition = Down }, 1, time.Time{}},
		{"none before its probe is due", func(n *counts) { n.condition, n.probeAt = Down, soon }, 0, soon},
		{"no second one before it was tried", func(n *counts) { n.condition, n.untried = Down, 1 }, 0, time.Time{}},
		{"no second poll either", func(n *counts) { n.condition, n.polls, n.reserved = Down, 1, 1 }, 0, time.Time{}},
		{"none without a slot for it", func(n *counts) { n.condition, n.running = Down, 50 }, 0, time.Time{}},
		{"another one while the last is tried", func(n *counts) { n.condition, n.running = Down, 49 }, 1, time.Time{}},
		{"none while something is closed", func(n *counts) { n.condition = Closed }, 0, time.Time{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := counts{slots: 50, limit: 50, begun: true, maxPolls: 100, most: batchSize, maxBytes: 64 << 20}
			test.change(&n)
			if got, again := n.nextPoll(now); got != test.want || !again.Equal(test.again) {
				t.Errorf("%d, again at %s; want %d, again at %s", got, again, test.want, test.again)
			}
		})
	}
}

func TestNextLine(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	soon, later := now.Add(time.Second), now.Add(time.Minute)
	tests := []struct {
		name  string
		n     counts
		want  line
		again time.Time
	}{
		{"none waits", counts{}, nowhere, time.Time{}},
		{"no slot is free", counts{untried: 1, running: 10}, nowhere, time.Time{}},
		{"an untried message", counts{untried: 1}, fresh, time.Time{}},
		{"a refused message goes first", counts{refusedReady: 1, againReady: 1, untried: 1}, refused, time.Time{}},
		{"a message that was here before", counts{againReady: 1, untried: 1}, again, time.Time{}},
		{"takes turns with an untried one", counts{againReady: 1, untried: 1, turn: true}, fresh, time.Time{}},
		{"if there is one", counts{againReady: 1, turn: true}, again, time.Time{}},
		{"the rate is used up", counts{untried: 1, startAt: soon}, nowhere, soon},
		{"the rate does not matter at a stop", counts{untried: 1, startAt: soon, stopping: true}, fresh, time.Time{}},
		{"paused", counts{untried: 1, paused: true}, nowhere, time.Time{}},
		{"closed", counts{untried: 1, againReady: 1, condition: Closed}, nowhere, time.Time{}},
		{"closed at a stop, untried", counts{untried: 1, againReady: 1, condition: Closed, stopping: true}, fresh, time.Time{}},
		{"closed at a stop, tried", counts{againReady: 1, condition: Closed, stopping: true}, nowhere, time.Time{}},
		{"down, untried probe due", counts{untried: 1, againReady: 1, condition: Down, heldAt: soon}, fresh, time.Time{}},
		{"down, held probe due", counts{untried: 1, againReady: 1, condition: Down, probeAt: soon}, again, time.Time{}},
		{"down, refused probe due", counts{refusedReady: 1, condition: Down}, again, time.Time{}},
		{"down, the untried probe is the next", counts{untried: 1, againReady: 1, condition: Down, probeAt: soon, heldAt: later}, nowhere, soon},
		{"down, the held probe is the next", counts{untried: 1, againReady: 1, condition: Down, probeAt: later, heldAt: soon}, nowhere, soon},
		{"down, the held probe has none to try", counts{untried: 1, condition: Down, probeAt: later, heldAt: soon}, nowhere, later},
		{"down, the untried probe has none to try", counts{againReady: 1, condition: Down, probeAt: soon, heldAt: later}, nowhere, later},
		{"down, the rate does not matter", counts{untried: 1, condition: Down, startAt: later}, fresh, time.Time{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.n.slots, test.n.limit = 10, 10
			if got, again := test.n.nextLine(now); got != test.want || !again.Equal(test.again) {
				t.Errorf("line %d, again at %s; want %d, again at %s", got, again, test.want, test.again)
			}
		})
	}
}
