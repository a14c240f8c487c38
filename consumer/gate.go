package consumer

import (
	"slices"
	"time"
)

// Condition is what is known of something that handlers depend on.
type Condition int

// The conditions, from the best to the worst.
const (
	// Up: as far as is known. Nothing is held back.
	Up Condition = iota
	// Down: one message at a time is received and tried, each time another one,
	// as a probe.
	Down
	// Closed: nothing is received and nothing is tried; somebody else finds out
	// when it is up again.
	Closed
)

// Report tells the consumer about something that its handler depends on, by a
// name of the caller's choice: a store, a circuit breaker, a readiness check.
// What is not reported is Up; the worst condition counts. It may be called at
// any time, also before Run, and again with the same condition.
//
// Messages that are here already are held in their slots under the heartbeat,
// so that no receive and no attempt is burned. A handler whose error has
// Unavailable() bool reports Down by itself, until one succeeds.
func (c *Consumer) Report(dependency string, is Condition) {
	c.change(func() { c.floor.report(dependency, is) })
}

// gate lets handlers be called: all of them while everything is up, one at a
// time while something is down, none while something is closed. The floor's mu
// guards it.
type gate struct {
	reported map[string]Condition // what is not up
	failing  bool                 // a handler said that something is down, and none has succeeded since
	failed   int                  // probes that failed in a row
	nextAt   time.Time            // no probe before
	timer    *time.Timer          // gives the next probe its turn
	probe    *pass                // out

	fresh, held []*pass // waiting: for a first try; after one; each the longest first
}

// pass is leave to call the handler once; fresh says for the first time.
type pass struct {
	fresh   bool
	granted chan struct{}
}

// openPass is the pass of all who call while everything is up.
var openPass = &pass{granted: atOnce}

// condition is the worst of what is known.
func (g *gate) condition() Condition {
	worst := Up
	if g.failing {
		worst = Down
	}
	for _, is := range g.reported {
		worst = max(worst, is)
	}
	return worst
}

func (f *floor) report(dependency string, is Condition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if is <= Up {
		delete(f.gate.reported, dependency)
	} else {
		f.gate.reported[dependency] = min(is, Closed)
	}
	if f.gate.condition() == Up {
		f.gate.failed, f.gate.nextAt = 0, time.Time{} // the next outage is another one
	}
	f.admit()
}

// enter asks for leave to call the handler. The pass has to be given to leave
// or turnBack.
func (f *floor) enter(fresh bool) *pass {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gate.condition() == Up {
		if fresh {
			f.untried--
		}
		f.noteDue()
		return openPass // nobody waits: who did has got it with the news
	}
	p := &pass{fresh: fresh, granted: make(chan struct{})}
	if fresh {
		f.gate.fresh = append(f.gate.fresh, p)
	} else {
		f.gate.held = append(f.gate.held, p)
	}
	f.admit()
	return p
}

// turnBack gives up waiting for a pass, or one that was granted meanwhile.
func (f *floor) turnBack(p *pass) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.gate.fresh, p); i >= 0 {
		f.gate.fresh = slices.Delete(f.gate.fresh, i, i+1)
		f.untried--
	}
	f.gate.held = slices.DeleteFunc(f.gate.held, func(other *pass) bool { return other == p })
	if f.gate.probe == p {
		f.gate.probe = nil
	}
	f.admit()
}

// leave tells how a try ended.
func (f *floor) leave(p *pass, d Disposition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := &f.gate
	wasProbe := g.probe == p
	if wasProbe {
		g.probe = nil
	}
	switch {
	case d.unavailable:
		if wasProbe || !g.failing {
			g.failed++
			g.nextAt = time.Now().Add(d.After)
		}
		g.failing = true
	case d.Action == Delete || d.Failure:
		// It answered, if only with a failure of its own. Whoever has reported
		// something down may think otherwise, and has the say.
		g.failing = false
		switch {
		case len(g.reported) == 0:
			g.failed, g.nextAt = 0, time.Time{}
		case wasProbe && d.Failure:
			g.nextAt = time.Now().Add(doubled(holdBase, g.failed, holdMax))
			g.failed++
		}
	}
	f.admit()
}

// failedProbes returns how many probes have failed in a row.
func (f *floor) failedProbes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gate.failed
}

// admit grants the passes that the condition allows. The caller holds mu.
func (f *floor) admit() {
	g := &f.gate
	f.condition = g.condition()
	switch f.condition {
	case Up:
		f.untried -= len(g.fresh)
		for _, p := range slices.Concat(g.fresh, g.held) {
			close(p.granted)
		}
		g.fresh, g.held, g.probe = nil, nil, nil
	case Down:
		f.admitProbe()
	case Closed:
	}
	f.probing = g.probe != nil
	f.noteDue()
}

// admitProbe grants one pass if none is out and its time has come: to a
// message that was not tried yet, else to the one that waits longest, so that
// each time it is another. The caller holds mu.
func (f *floor) admitProbe() {
	g := &f.gate
	if g.probe != nil || len(g.fresh)+len(g.held) == 0 {
		return
	}
	if wait := time.Until(g.nextAt); wait > 0 {
		f.wake(wait, nil)
		return
	}
	queue := &g.fresh
	if len(*queue) == 0 {
		queue = &g.held
	}
	p := (*queue)[0]
	*queue = (*queue)[1:]
	if p.fresh {
		f.untried--
	}
	g.probe = p
	close(p.granted)
	// A handler may be long at work, and well. The next probe goes without it.
	f.wake(probeTime, p)
}

// wake looks again after d, and does not wait for that probe any longer then.
// The caller holds mu.
func (f *floor) wake(d time.Duration, p *pass) {
	if f.gate.timer != nil {
		f.gate.timer.Stop()
	}
	f.gate.timer = time.AfterFunc(d, func() {
		f.mu.Lock()
		if p != nil && f.gate.probe == p {
			f.gate.probe = nil
		}
		f.admit()
		f.mu.Unlock()
		f.changed()
	})
}
