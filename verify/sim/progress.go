package sim

import (
	"slices"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// The bounds on progress.
const (
	untriedWithin = 2 * time.Minute // within this time an untried message must begin
	looks         = 5 * time.Second // between two checks
	stormWithin   = 10 * time.Second
	stormBegins   = 20 // begins of one message within stormWithin are a storm
)

// progress is the watch's record of progress.
type progress struct {
	// any and healthy are the times since which there has been an untried message, respectively one
	// that could be handled, and a free slot. Zero: there is none.
	any, healthy time.Time
}

// watchProgress checks every few seconds that untried messages are begun.
func (w *world) watchProgress() {
	w.pending.Go(func() {
		tick := time.NewTicker(looks + 1)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.watch.progressed(w.ready())
			case <-w.over:
				return
			}
		}
	})
}

// ready reports whether a worker could begin a message: it runs, reaches queue and store, and has a
// slot without a running handler.
func (w *world) ready() bool {
	w.mu.Lock()
	blocked := w.ending || !w.calm && w.downs[storeDown]+w.downs[queueDown] > 0
	hosts := append([]*process(nil), w.hosts...)
	w.mu.Unlock()
	if blocked {
		return false
	}
	for _, p := range hosts {
		_, paused := p.pauseState()
		if !paused && !p.isStopping() && !w.isCut(p.host) && w.watch.atWorkIn(p) < w.plan.Concurrency {
			return true
		}
	}
	return false
}

// atWorkIn returns the number of running handlers in a process. With batches it is the number of
// messages in a slot, which each has until the end of its batch.
func (v *watch) atWorkIn(p *process) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.w.plan.Batch > 0 {
		n, _ := v.taken(p)
		return n
	}
	return v.inside[p]
}

// progressed checks two rules. While there is an untried message and a slot without a running
// handler, an untried message begins within two minutes. The same holds for messages that can be
// handled, with at most 60 per worker in front of them that cannot. Each of these may wait for its
// batch.
func (v *watch) progressed(ready bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	untried, healthy := v.untried()
	v.stalls(&v.progress.any, ready && untried > 0, "%d untried messages and a free slot, and none of them was begun", untried)
	v.stalls(&v.progress.healthy, ready && healthy > 0, "%d untried messages that could be handled and a free slot, and none of them was begun", healthy)
	for _, m := range v.messages {
		if len(m.begins) > stormBegins && now.Sub(m.begins[len(m.begins)-1-stormBegins]) < stormWithin {
			v.violate("%s was begun more than %d times within %s", m.label, stormBegins, stormWithin)
			m.begins = nil
		}
	}
}

// stalls updates the time since which a begin has been due, and reports a violation if that is too
// long ago.
func (v *watch) stalls(since *time.Time, due bool, format string, n int) {
	now := time.Now()
	switch {
	case !due:
		*since = time.Time{}
	case since.IsZero():
		*since = now
	case now.Sub(*since) > untriedWithin+badEach*v.w.plan.BatchWait: // a probe may wait for its batch
		v.violate(format+" since %s", n, since.Sub(v.w.start).Round(time.Second))
		*since = time.Time{}
	}
}

// untried counts the messages without an attempt that could begin: they are in SQS or in a live
// worker with a free slot, and the first of their group.
func (v *watch) untried() (all, healthy int) {
	for _, m := range v.messages {
		if m.begun > 0 || m.over() || m.redriven || len(m.excuses) > 0 || kindOf(m.body) == "unnamed" || v.behind(m) {
			continue
		}
		if h := m.holder; h != nil && !h.isDead() && !v.hasRoom(h, m) {
			continue // received by a worker without a free slot
		}
		all++
		if m.healthy() {
			healthy++
		}
	}
	return all, healthy
}

// healthy reports whether a message can be handled once its target admits it.
func (m *message) healthy() bool {
	return slices.Contains([]string{"", "hanging", "cut"}, kindOf(m.body))
}

// over reports whether a message has left the queue.
func (m *message) over() bool { return m.deleted || m.copied > 0 || m.moved }

// behind reports whether an earlier message of its group is still in the queue.
func (v *watch) behind(m *message) bool {
	if !v.w.plan.FIFO {
		return false
	}
	for _, earlier := range v.groups[m.group] {
		if earlier == m {
			return false
		}
		if !earlier.over() {
			return true
		}
	}
	return false
}

// cutOff records that an attempt ends without an answer, and that its target may work until then.
func (v *watch) cutOff(run *attempt, until time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	run.name.busy = until
}

// stays reports whether a record holds the name while the target may still work on a cut-off
// request. A millisecond is allowed for the precision of records. Other attempts wait for the skew
// on top.
func (n *name) stays(rec protocol.Record) bool {
	return rec.Status == protocol.InProgress && !n.busy.IsZero() && !rec.LeaseUntil.Add(time.Millisecond).Before(n.busy)
}

// beginsOn records that a handler begins on a message, which is progress.
func (v *watch) beginsOn(p *process, m *message) {
	v.inside[p]++
	if now := time.Now(); now.Before(v.name(m.id()).busy) {
		v.violate("%s begins on %s while the target may be at work on it", p.label, m.label)
	}
	if m.begun == 1 { // it was untried
		v.progress.any = time.Time{}
		if m.healthy() {
			v.progress.healthy = time.Time{}
		}
	}
	m.begins = append(m.begins, time.Now())
}
