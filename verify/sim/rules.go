package sim

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// begin records that a handler starts. Effects are possible from here on.
func (v *watch) begin(p *process, ctx context.Context, a dedupe.Attempt, m consumer.Message) *attempt { //nolint:revive // ctx is an object of the check, not the context of the call
	id := protocol.RecordID(v.w.scope, a.Name)
	rec := v.w.record(id)
	v.mu.Lock()
	defer v.mu.Unlock()
	n, known := v.name(id), v.messages[m.ID]
	run := &attempt{ctx: ctx, name: n, fence: a.Fence, p: p, message: known, receipt: m.ReceiptHandle, began: time.Now()}
	v.runs[m.ReceiptHandle] = run
	v.stats.Attempts++
	known.begun++
	v.beginsOn(p, known)
	v.line(p.label, "begins", a.Name, fmt.Sprint(a.Number), known.label)

	loose := v.w.plan.Beyond || v.pausedSince(n.claims[a.Fence])
	if !loose {
		v.mustHold(run, rec)
		v.startsInTime(run, rec)
	}
	for _, other := range n.running {
		switch {
		case !live(other):
		case other.fence >= a.Fence && !loose:
			v.violate("%s begins on %s with fence %d, not above the %d that %s works with", p.label, n.label, a.Fence, other.fence, other.p.label)
		case loose || v.pausedSince(n.claims[other.fence]):
			v.stats.Overlaps++
		default:
			v.violate("%s begins on %s while %s works on it", p.label, n.label, other.p.label)
		}
	}
	if a.Fence <= n.highest && !loose {
		v.violate("%s begins on %s with fence %d after %d", p.label, n.label, a.Fence, n.highest)
	}
	n.highest = max(n.highest, a.Fence)
	if v.w.plan.FIFO {
		v.inOrder(run)
	}
	n.running = append(n.running, run)
	return run
}

// live reports whether an attempt may still have effects: its context is not cancelled, or its
// process is paused and cannot see it.
func live(a *attempt) bool {
	_, paused := a.p.pauseState()
	return !a.p.isDead() && (a.ctx.Err() == nil || paused)
}

// mustHold checks that the record belongs to the attempt that begins.
func (v *watch) mustHold(run *attempt, rec protocol.Record) {
	switch {
	case rec.Status == protocol.Completed:
		v.violate("%s begins on %s, which is completed", run.p.label, run.name.label)
	case rec.Status != protocol.InProgress || rec.Fence != run.fence:
		v.violate("%s begins on %s with fence %d, but the record is %s with fence %d", run.p.label, run.name.label, run.fence, rec.Status, rec.Fence)
	}
}

// pausedSince reports whether the holder of a fence has been paused since its claim. The caller
// holds mu.
func (v *watch) pausedSince(c claim) bool {
	if c.p == nil {
		return false
	}
	times, _ := c.p.pauseState()
	return times > c.pauses
}

// inOrder checks that earlier messages of the group have ended, or cannot.
func (v *watch) inOrder(run *attempt) {
	for _, earlier := range v.groups[run.message.group] {
		if earlier == run.message {
			return
		}
		over := earlier.deleted || earlier.copied > 0 || v.w.record(earlier.id()).Status.Final() ||
			earlier.deliveries >= v.w.plan.MaxReceives // SQS may have moved it
		if !over && !earlier.excused(outOfOrder...) && !run.message.excused(outOfOrder...) {
			v.violate("%s begins on %s while %s stands before it in group %s", run.p.label, run.message.label, earlier.label, run.message.group)
		}
	}
}

// outOfOrder are the faults after which messages of a group may run out of order.
var outOfOrder = []string{"duplicated", "delivered early", "delete forgotten", "paused"}

// end records that a handler has returned.
func (v *watch) end(run *attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !run.p.isDead() {
		v.line(run.p.label, "returns", run.name.label)
	}
	v.inside[run.p]--
	run.name.running = slices.DeleteFunc(run.name.running, func(a *attempt) bool { return a == run })
}

// effect records an effect of a handler at a resource that checks fences.
func (v *watch) effect(run *attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Effects++
	v.stopsInTime(run, v.w.record(run.message.id()))
	if run.fence < run.name.highest {
		v.stats.Refused++
	}
}

// stored records a write, and checks it.
func (v *watch) stored(p *process, before, after protocol.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.name(after.ID)
	v.stats.Writes++
	v.line(p.label, "stores", n.label, string(before.Status), string(after.Status), fmt.Sprint(after.Attempts))
	if after.Version <= before.Version {
		v.violate("%s: version %d after %d", n.label, after.Version, before.Version)
	}
	claimed := after.Status == protocol.InProgress && after.Fence != before.Fence
	switch {
	case claimed:
		if after.Fence <= before.Fence || after.Fence != after.Version {
			v.violate("%s: fence %d (version %d) claimed after %d", n.label, after.Fence, after.Version, before.Fence)
		}
		times, _ := p.pauseState()
		n.claims[after.Fence] = claim{p, times, time.Now()}
		v.spends(n, after)
	case after.Fence != before.Fence:
		v.violate("%s: fence %d became %d without a claim", n.label, before.Fence, after.Fence)
	}
	n.spent[after.ReopenedBy] = true
	v.transition(n, p, before, after, claimed)
	v.counts(n, before, after, claimed)
	v.expires(n, after)
}

// cancelled records that a handler gives up because its context was cancelled.
func (v *watch) cancelled(run *attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	run.cancelled = true
}

// done records that a handler has done its work.
func (v *watch) done(run *attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	run.done = true
}

// transition checks a write against the transitions in DESIGN.md.
func (v *watch) transition(n *name, p *process, before, after protocol.Record, claimed bool) {
	own := before.Owner == after.Owner
	if before.Status != "" && onlyOrder(before, after) {
		return
	}
	if before.Fingerprint != after.Fingerprint {
		n.opened = time.Now()
	}
	switch before.Status {
	case protocol.Completed:
		v.violate("%s: a completed record was written over by %s (%s)", n.label, p.label, after.Status)
	case protocol.Rejected:
		n.reopened = time.Now()
		m := v.messages[after.MessageID]
		if !claimed || m == nil || !m.redriven || before.ReopenedBy == after.MessageID {
			v.violate("%s: rejected, and then %s without an order", n.label, after.Status)
		}
	case protocol.Unknown:
		if after.Status != protocol.Completed || !own {
			v.violate("%s: unknown, and then %s", n.label, after.Status)
		}
	case protocol.InProgress:
		if claimed && v.w.plan.Hold {
			v.violate("%s: %s runs again what may have been done", n.label, p.label)
		}
		challenged := after.Status == protocol.Rejected || after.Status == protocol.Unknown // as after a claim that finds a lapsed lease
		if holder := n.claims[before.Fence].p; !claimed && !challenged && holder != p {
			v.violate("%s: %s makes %s of what %s holds", n.label, p.label, after.Status, holder.label)
		}
		if claimed || challenged && n.claims[before.Fence].p != p {
			v.waits(n, p, before)
		}
		if after.Status != protocol.InProgress && own {
			v.settles(n, before)
		}
	case protocol.Retrying, protocol.Forgotten, "":
		if !claimed && after.Status != protocol.Rejected {
			v.violate("%s: %s, and then %s without a claim", n.label, before.Status, after.Status)
		}
	}
}

// onlyOrder reports whether a write only spends a redrive order.
func onlyOrder(before, after protocol.Record) bool {
	before.Version, before.ReopenedBy, before.ExpiresAt = after.Version, after.ReopenedBy, after.ExpiresAt
	return reflect.DeepEqual(before, after)
}

// settles checks that the outcome of an attempt is recorded after its handler has returned or its
// lease has lapsed.
func (v *watch) settles(n *name, before protocol.Record) {
	lapsed := time.Now().After(before.LeaseUntil)
	for _, run := range n.running {
		if run.fence == before.Fence && !run.p.isDead() && !lapsed && !v.w.plan.Beyond {
			v.violate("%s: the record is settled while %s works on it", n.label, run.p.label)
		}
	}
}

// deleting records that a process asks SQS to delete a message, and checks that the message has its
// outcome.
func (v *watch) deleting(p *process, receipt string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.receipts[receipt]
	rec := v.w.record(m.id())
	done := rec.Status == protocol.Completed && rec.Fingerprint == fingerprint(m.body)
	if !done && m.copied == 0 {
		v.violate("%s deletes %s, whose record is %q and which has no copy", p.label, m.label, rec.Status)
	}
}

// deleted calls call, which deletes messages, and records them. It holds mu meanwhile, so that a
// receive that the deletion unblocks is recorded later.
func (v *watch) deleted(p *process, call func() (receipts []string, err error)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	receipts, err := call()
	for _, r := range receipts {
		m := v.receipts[r]
		m.deleted, m.holder = true, nil
		v.line(p.label, "deletes", m.label)
	}
	return err
}

// changing records a new visibility timeout. Any value but that of a heartbeat releases the
// message.
func (v *watch) changing(p *process, receipt string, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.receipts[receipt]
	if d == v.w.plan.Visibility {
		return
	}
	v.line(p.label, "releases", m.label, d.String())
	if m.holder == p {
		m.holder = nil
	}
	n := v.name(m.id())
	elsewhere := false // another delivery in the same process runs, or waits for the answer to its claim
	for other, by := range v.inHand {
		elsewhere = elsewhere || by == p && other != receipt && v.receipts[other] == m
	}
	for _, run := range n.running {
		if run.p == p && run.receipt == receipt {
			v.violate("%s releases %s while it works on it", p.label, m.label)
		}
		elsewhere = elsewhere || run.p == p
	}
	rec := v.w.record(m.id())
	held := rec.Status == protocol.InProgress && n.claims[rec.Fence].p == p && v.messages[rec.MessageID] == m
	if n.stays(rec) {
		return // the attempt has left, so the name stays held
	}
	if run := v.runs[receipt]; run != nil && rec.Status == protocol.InProgress && rec.Fence == run.fence {
		v.violate("%s releases %s, whose attempt has no end on record", p.label, m.label)
	}
	if held && !elsewhere && receipt == m.receipt && !n.faultsBy[p] {
		v.violate("%s releases %s before its record", p.label, m.label)
	}
}

// copied records a dead-letter copy.
func (v *watch) copied(p *process, original, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.messages[original]
	if m == nil || reason == "" {
		v.violate("%s sends a dead-letter copy of %q with reason %q", p.label, original, reason)
		return
	}
	m.copied++
	v.stats.DeadLetters++
	v.line(p.label, "dead-letters", m.label, reason)
	if kindOf(m.body) == "unnamed" {
		return
	}
	if v.w.plan.Trouble != (Trouble{}) && m.healthy() && len(m.excuses) == 0 {
		v.violate("%s dead-letters %s for %q, for the trouble of others", p.label, m.label, reason)
	}
	rec, n := v.w.record(m.id()), v.name(m.id())
	final := rec.Status.Final() || n.reopened.After(m.givenUp[p])
	if run := v.runs[m.receipt]; run != nil && run.p == p && run.cancelled && rec.Fence == run.fence && !final {
		v.violate("%s dead-letters %s for %q, and its attempt is not on record as failed", p.label, m.label, reason)
	}
	if reason == "mismatch" { // an order may have re-opened the name, with this payload, since the answer
		final = rec.Fingerprint != fingerprint(m.body) || n.reopened.After(m.givenUp[p])
	}
	if !final && !slices.Contains(unfinished, reason) {
		v.violate("%s dead-letters %s for %q, but its record is %q", p.label, m.label, reason, rec.Status)
	}
}

// unfinished are the reasons of dead letters without an outcome, as after a stop or at SQS's limit
// of twelve hours.
var unfinished = []string{"in progress elsewhere", "in progress elsewhere at stop", "stopped", "stopped before it was tried", "held up and never tried", "target down"}

// storeTrouble excuses messages that a stop leaves to SQS because the store was failing.
const storeTrouble = "stopped in trouble of the store"

// crashed records the death of a process.
func (v *watch) crashed(p *process) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults["process: crash"]++
	v.line(p.label, "crashes")
	v.excuseHeld(p, "crashed")
}

func (v *watch) paused(p *process) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults["process: pause"]++
	v.line(p.label, "pauses")
	v.excuseHeld(p, "paused")
}

func (v *watch) terminated(p *process) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults["process: stop"]++
	v.line(p.label, "stops")
	v.excuseTroubled(p)
}

// excuseTroubled excuses the messages of a stopping worker whose calls to the store have failed.
// Their outcome is unknown, so SQS dead-letters them. A worker that knows of a takeover has no
// excuse. Messages behind them in a FIFO group have none either: the worker gives them back, or
// dead-letters those on their last receive as "stopped before it was tried".
func (v *watch) excuseTroubled(p *process) {
	for _, m := range v.messages {
		if m.holder != p || !v.name(m.id()).faultsBy[p] || m.taken {
			continue
		}
		m.excuse(storeTrouble)
	}
}

func (v *watch) excuseHeld(p *process, why string) {
	for _, m := range v.messages {
		if m.holder == p {
			m.excuse(why)
		}
	}
}

// ranOut records the end of a worker's Run.
func (v *watch) ranOut(p *process, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(p.label, "has ended", outcomeOf(err))
	if v.inTrouble[p] {
		v.excuseHeld(p, "stopped in trouble of the queue")
	}
	v.excuseTroubled(p) // includes messages of the poll that was in flight at the stop
	switch {
	case p.hasCrashed():
	case err == nil:
		v.leavesNothing(p)
	case errors.Is(err, consumer.ErrAbandoned):
		v.excuseHeld(p, "abandoned")
	default:
		v.violate("%s: Run returned %v", p.label, err)
	}
}
