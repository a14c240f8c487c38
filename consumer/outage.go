package consumer

import "time"

// Condition is the state of a dependency of the handler, for [Consumer.Report].
type Condition int

// The conditions, from best to worst.
const (
	// Up means that no trouble is known. It is the zero value.
	Up Condition = iota
	// Down means that messages are tried one by one, as probes.
	Down
	// Closed means that no message is received or tried. The reporter itself must find out when the
	// dependency is up again.
	Closed
)

// rampStep is the interval at which concurrency rises by one after an outage without a success.
const rampStep = 5 * time.Second

// probeEvery returns the interval between two probes of the same kind, untried or tried before, for
// the length of the outage. In the 12 hours for which SQS lets a message be held there are at most
// 60 + 108 + 710 probes of a kind. They fit into the bound on waiting messages.
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

// probeLag is how far probes may lag behind their schedule. Probes that were late, because all
// slots were taken, follow at once. The bound keeps them from becoming a burst.
const probeLag = 5 * time.Second

// nextProbe returns when the next probe is due, after a probe that was due at last and starts now.
func nextProbe(last, downSince, now time.Time) time.Time {
	next := last.Add(probeEvery(now.Sub(downSince)))
	if earliest := now.Add(-probeLag); next.Before(earliest) {
		return earliest
	}
	return next
}

// setCondition derives the worst condition and carries out a change of it. The caller holds mu.
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
		// A message held before now that fails again is likely the cause itself.
		a.outages++
		// Handlers from before the outage may run for hours. One more slot lets messages start
		// beside them.
		a.limit, a.rampAt = min(a.running+1, a.slots), now.Add(rampStep)
	case Down:
		a.downSince, a.probeAt, a.heldAt = now, now, now.Add(probeEvery(0)/2)
		a.limit = a.slots
	default: // Closed: no message is started, not even as a probe
	}
}

// report sets the condition of a dependency.
func (a *admission) report(dependency string, is Condition) {
	a.update(func(time.Time) {
		if is <= Up {
			delete(a.reported, dependency)
		} else {
			a.reported[dependency] = min(is, Closed)
		}
	})
}
