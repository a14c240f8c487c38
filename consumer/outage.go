package consumer

import "time"

// Condition is what is known of something that handlers depend on.
type Condition int

// The conditions, from the best to the worst.
const (
	// Up: as far as is known. Nothing is held back.
	Up Condition = iota
	// Down: messages are tried one by one, as probes.
	Down
	// Closed: nothing is received and nothing is tried; who reports it finds out when it is
	// up again.
	Closed
)

// rampStep is when concurrency rises by one after an outage, without a success.
const rampStep = 5 * time.Second

// probeEvery is the time between two probes with untried messages, and between two with
// messages that were tried before, when something has been down for so long. Probes of
// 12 hours, which is what SQS lets a message be held, find room among what may wait here:
// 60 + 108 + 710.
func probeEvery(down time.Duration) time.Duration {
	switch {
	case down < time.Minute:
		return time.Second
	case down < 10*time.Minute:
		return 5 * time.Second
	default:
		return time.Minute
	}
}

// probeLag is how far probes may lie behind their times: those that were late, because
// the slots were taken, follow at once. Late probes must not add up to a rush.
const probeLag = 5 * time.Second

// nextProbe is when a probe is due after one that was due at last and begins now.
func nextProbe(last, downSince, now time.Time) time.Time {
	next := last.Add(probeEvery(now.Sub(downSince)))
	if earliest := now.Add(-probeLag); next.Before(earliest) {
		return earliest
	}
	return next
}

// setCondition looks at what is known. The caller holds mu.
func (a *admission) setCondition(now time.Time) {
	worst := Up
	if a.failing {
		worst = Down
	}
	for _, is := range a.reported {
		worst = max(worst, is)
	}
	was := a.condition
	a.condition = worst
	if worst == was {
		return
	}
	switch worst {
	case Up:
		// Whatever was held has its own trouble if it fails again.
		a.outages++
		// One slot beside handlers that have been at work since before: they may take hours.
		a.limit, a.rampAt = min(a.running+1, a.slots), now.Add(rampStep)
	case Down:
		a.downSince, a.probeAt, a.heldAt = now, now, now.Add(probeEvery(0)/2)
		a.limit = a.slots
	default: // Closed: nothing is begun, not even probes
	}
}

// report takes in what the user of the pool knows.
func (a *admission) report(dependency string, is Condition) {
	a.update(func(time.Time) {
		if is <= Up {
			delete(a.reported, dependency)
		} else {
			a.reported[dependency] = min(is, Closed)
		}
	})
}
