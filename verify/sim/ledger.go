package sim

import (
	"context"
	"errors"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// counts checks the record's attempts: those started since the name was opened, without the
// released ones, and at most MaxAttempts.
func (v *watch) counts(n *name, before, after protocol.Record, claimed bool) {
	was := before.Attempts
	if claimed && before.Status == protocol.Rejected {
		was = 0 // opened by an order
	}
	released := before.Status == protocol.InProgress && after.Status == protocol.Retrying && after.Attempts == was-1
	switch {
	case claimed && after.Attempts != was+1, !claimed && after.Attempts != was && !released:
		v.violate("%s: %d attempts counted after %d (%s, then %s)", n.label, after.Attempts, was, before.Status, after.Status)
	case claimed && was >= v.w.plan.MaxAttempts:
		v.violate("%s: attempt %d of %d", n.label, after.Attempts, v.w.plan.MaxAttempts)
	}
}

// slack bounds the time between the building of a write and its arrival, with pauses and the fate
// late.
const slack = 10 * time.Minute

// expires checks that a write sets the expiry to one window after now or after the end of the
// lease, whichever is later.
func (v *watch) expires(n *name, after protocol.Record) {
	from := time.Now().Add(-slack)
	if after.LeaseUntil.After(from) {
		from = after.LeaseUntil
	}
	if after.ExpiresAt.Before(from.Add(dedupe.Config{}.WithDefaults().Window)) {
		v.violate("%s: the record (%s) expires %s early", n.label, after.Status, from.Add(dedupe.Config{}.WithDefaults().Window).Sub(after.ExpiresAt))
	}
}

// waits checks that a takeover, or the end of another's attempt, comes after the end of its lease
// and the skew.
func (v *watch) waits(n *name, p *process, before protocol.Record) {
	early := before.LeaseUntil.Add(v.w.plan.Skew - v.w.plan.Clock - time.Millisecond).Sub(p.now())
	if early > 0 && !v.w.plan.Beyond {
		v.violate("%s: %s ends a lease %s early", n.label, p.label, early)
	}
}

// spends checks that a claim by a redriven message spends its redrive order.
func (v *watch) spends(n *name, after protocol.Record) {
	if m := v.messages[after.MessageID]; m != nil && m.redriven && after.ReopenedBy != after.MessageID {
		v.violate("%s: claimed by %s, which is redriven, and its order is not spent", n.label, m.label)
	}
}

// startsInTime checks that a handler starts with at least half of its lease left, and not after its
// context was cancelled.
func (v *watch) startsInTime(run *attempt, rec protocol.Record) {
	if run.ctx.Err() != nil && !errors.Is(context.Cause(run.ctx), dedupe.ErrLeaseLost) {
		v.violate("%s begins on %s although it was cancelled before", run.p.label, run.name.label)
	}
	if left := rec.LeaseUntil.Sub(run.p.now()); rec.Fence == run.fence && left < v.w.plan.Lease/2-v.w.plan.BatchWait-v.w.plan.Clock-v.w.plan.Late-time.Millisecond {
		v.violate("%s begins on %s with %s of its lease left", run.p.label, run.name.label, left)
	}
}

// stopsInTime checks that the handler's context is cancelled at the latest one skew before the end
// of its lease.
func (v *watch) stopsInTime(run *attempt, rec protocol.Record) {
	if v.w.plan.Beyond || v.pausedSince(run.name.claims[run.fence]) || run.ctx.Err() != nil {
		return
	}
	left := rec.LeaseUntil.Sub(run.p.now())
	if rec.Fence == run.fence && rec.Status == protocol.InProgress && left < v.w.plan.Skew-v.w.plan.Clock-v.w.plan.Late-time.Millisecond {
		v.violate("%s works on %s with %s of its lease left, and is not cancelled", run.p.label, run.name.label, left)
	}
}

// answered checks the guard's answer to a delivery against the record.
func (v *watch) answered(p *process, m consumer.Message, known *message, err error) {
	n, rec := v.name(known.id()), v.w.record(known.id())
	asked, run := v.asked[m.ReceiptHandle], v.runs[m.ReceiptHandle]
	differs := rec.Fingerprint != fingerprint(known.body)
	if _, ok := errors.AsType[*dedupe.MismatchError](err); ok && !differs && !n.reopened.After(asked) && !n.opened.After(asked) {
		v.violate("%s calls %s a mismatch, which is of the record's payload", p.label, known.label)
	}
	if _, ok := errors.AsType[*dedupe.InProgressError](err); ok && differs && !n.faultsBy[p] {
		for _, other := range n.running {
			if other.p == p && other.fence == rec.Fence && other.began.Before(asked) {
				v.violate("%s has %s wait for another payload", p.label, known.label)
			}
		}
	}
	if wait, ok := errors.AsType[*dedupe.InProgressError](err); ok && !wait.Until.IsZero() {
		c := n.claims[rec.Fence]
		// The claim of another delivery of the message may wait for the rest of its batch.
		inBatch := time.Since(c.at) < v.w.plan.BatchWait
		if rec.Status == protocol.InProgress && c.p == p && c.at.After(asked) && rec.MessageID == m.ID && !n.lateBy[p] && !n.atWork(p, rec.Fence) && !inBatch {
			v.violate("%s has %s wait for its own claim", p.label, known.label)
		}
	}
	if known.redriven && fromStore(err) && !n.spent[m.ID] {
		v.violate("%s has been answered about %s, which is redriven, and its order is not spent", p.label, known.label)
	}
	if known.taken && run != nil && run.done && rec.Status == protocol.Unknown && rec.Fence == run.fence {
		v.violate("%s has done %s, whose outcome is unknown, and its completion is refused", p.label, known.label)
	}
}

// atWork reports whether the attempt with this fence runs in p. Its claim was then made by another
// delivery of the message.
func (n *name) atWork(p *process, fence protocol.Version) bool {
	for _, run := range n.running {
		if run.p == p && run.fence == fence {
			return true
		}
	}
	return false
}

// inPlace checks that the head of a FIFO group is retried in the worker, that each failed attempt
// there counts as a receive, and that the message is released only at a stop.
func (v *watch) inPlace(p *process, m consumer.Message, known *message, d consumer.Disposition) {
	if !v.w.plan.FIFO {
		return
	}
	if (d.Action == consumer.Release || d.Action == consumer.Defer) && !p.isStopping() {
		v.violate("%s gives %s back, the head of its lane", p.label, known.label)
	}
	if !d.Failure {
		return
	}
	if tried := m.ReceiveCount + v.tries[m.ReceiptHandle]; d.Action == consumer.Park && tried >= v.w.plan.MaxReceives {
		v.violate("%s tries %s again after %d receives and tries", p.label, known.label, tried)
	}
	v.tries[m.ReceiptHandle]++
}

// fromStore reports whether a guard's answer comes from the store.
func fromStore(err error) bool {
	if wait, ok := errors.AsType[*dedupe.InProgressError](err); ok {
		return !wait.Until.IsZero()
	}
	_, rejected := errors.AsType[*dedupe.RejectedError](err)
	_, unknown := errors.AsType[*dedupe.UnknownOutcomeError](err)
	return err == nil || rejected || unknown
}

// leavesNothing checks that a worker after a clean stop has recorded the outcome of every returned
// handler, unless the store was failing.
func (v *watch) leavesNothing(p *process) {
	if v.storeTrouble[p] {
		return
	}
	for id, n := range v.names {
		rec := v.w.record(id)
		held := n.claims[rec.Fence]
		if rec.Status != protocol.InProgress || held.p != p || v.pausedSince(held) || n.stays(rec) {
			continue
		}
		running := false
		for _, run := range n.running {
			running = running || run.p == p
		}
		if !running {
			v.violate("%s has ended, and holds %s", p.label, n.label)
		}
	}
}
