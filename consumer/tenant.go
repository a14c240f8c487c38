package consumer

import "time"

// tenants bounds how many messages of one group run at a time, and how many start per second.
// Further messages wait in the line limited, without a slot.
type tenants struct {
	concurrency int     // running messages of a group; 0 means no bound
	rate        float64 // starts of a group per second; 0 means no bound

	m       map[string]*tenant // by group
	pruneAt int                // size of m at which idle groups are removed
	freed   bool               // a group may have room since letThrough last looked
	at      time.Time          // when the rate of a group admits a message; zero if no time is set
}

// leastTenants is the number of groups that are kept before idle ones are removed.
const leastTenants = 1_000

// tenant is one group.
type tenant struct {
	inside int // messages in a slot, or in a line for a slot
	ready  int // messages among inside that are in a line
	behind int // messages in the line limited
	rate   startRate
}

// bounded reports whether the group has a limit.
func (ts *tenants) bounded(group string) bool {
	return group != "" && (ts.concurrency > 0 || ts.rate > 0)
}

// of returns the tenant of a group.
func (ts *tenants) of(group string, now time.Time) *tenant {
	if t := ts.m[group]; t != nil {
		return t
	}
	if len(ts.m) >= ts.pruneAt {
		for name, t := range ts.m {
			if t.inside+t.behind == 0 && t.rate.full(now) {
				delete(ts.m, name)
			}
		}
		ts.pruneAt = max(leastTenants, 2*len(ts.m))
	}
	if ts.m == nil {
		ts.m = make(map[string]*tenant)
	}
	t := &tenant{rate: startRate{limit: ts.rate}}
	ts.m[group] = t
	return t
}

// room reports whether one more message of the group may wait for a slot. If not, the caller must
// ask again when a message of the group has ended, or at the returned time if it is not zero. With
// a rate, only one message of a group waits for a slot at a time, so that no more start at once
// than the rate allows.
func (ts *tenants) room(t *tenant, now time.Time) (bool, time.Time) {
	if ts.concurrency > 0 && t.inside >= ts.concurrency || ts.rate > 0 && t.ready > 0 {
		return false, time.Time{}
	}
	at := t.rate.next(now)
	return at.IsZero(), at
}

// lineFor returns the line for a message that may wait for a slot: to, or limited if its group has
// no room. The caller holds mu.
func (a *admission) lineFor(d *delivery, to line, now time.Time) line {
	if to == asleep || !a.tenants.bounded(d.group) {
		return to
	}
	t := a.tenants.of(d.group, now)
	ok, at := a.tenants.room(t, now)
	if !ok || t.behind > 0 {
		a.tenants.lookAt(at)
		t.behind++
		d.ticket.then = to
		d.enter(phaseLimited)
		return limited
	}
	t.inside++
	t.ready++
	d.ticket.inside = true
	return to
}

// lookAt makes letThrough look at the given time, unless that is zero.
func (ts *tenants) lookAt(at time.Time) {
	if !at.IsZero() && (ts.at.IsZero() || at.Before(ts.at)) {
		ts.at = at
	}
}

// letThrough moves messages whose groups have room from limited to the lines for a slot, in the
// order of their wait. The caller holds mu.
func (a *admission) letThrough(now time.Time) {
	ts := &a.tenants
	if len(a.lines[limited]) == 0 {
		ts.freed, ts.at = false, time.Time{} // else the alarm would ring for a time that has passed, again and again
		return
	}
	if !ts.freed && (ts.at.IsZero() || now.Before(ts.at)) {
		return
	}
	ts.freed, ts.at = false, time.Time{}
	rest := a.lines[limited][:0]
	for _, d := range a.lines[limited] {
		t := ts.of(d.group, now)
		ok, at := ts.room(t, now)
		if !ok {
			ts.lookAt(at)
			rest = append(rest, d)
			continue
		}
		a.waits(d, -1)
		t.behind--
		t.inside++
		t.ready++
		d.ticket.inside, d.ticket.line = true, d.ticket.then
		d.enter(phaseOf(d.end))
		if d.ticket.line.counts() {
			a.waits(d, 1)
		}
		a.lines[d.ticket.line] = append(a.lines[d.ticket.line], d)
	}
	clear(a.lines[limited][len(rest):])
	a.lines[limited] = rest
}

// began records that a message has got its slot. The caller holds mu.
func (ts *tenants) began(d *delivery, now time.Time) {
	if !d.ticket.inside {
		return
	}
	t := ts.of(d.group, now)
	t.ready--
	t.rate.take(now)
	ts.freed = true
}

// quit records that a message has left its line without a slot. The caller holds mu.
func (ts *tenants) quit(d *delivery, from line, now time.Time) {
	switch {
	case from == limited:
		ts.of(d.group, now).behind--
	case d.ticket.inside:
		ts.of(d.group, now).ready--
		ts.ended(d, now)
	}
}

// ended records that a message has returned its slot. The caller holds mu.
func (ts *tenants) ended(d *delivery, now time.Time) {
	if !d.ticket.inside {
		return
	}
	d.ticket.inside = false
	ts.of(d.group, now).inside--
	ts.freed = true
}

// full reports whether the bucket is full, so that removing it changes nothing.
func (r *startRate) full(now time.Time) bool {
	if r.limit == 0 || r.filled.IsZero() {
		return true
	}
	return r.tokens+r.limit*now.Sub(r.filled).Seconds() >= max(1, float64(int(r.limit)))
}
