package consumer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/internal/batch"
)

// heartbeat keeps the messages in this worker invisible to other receivers.
type heartbeat struct {
	mu       sync.Mutex
	messages []*delivery // guarded by mu; each stores its index in place
	added    int         // guarded by mu
}

// add starts the heartbeat of a message. The receive that returned it was called at asked, and its
// visibility timeout may have begun at that time. So the first heartbeat leaves a third of the
// timeout, counted from asked.
func (h *heartbeat) add(d *delivery, asked time.Time) {
	interval := d.run.beatInterval()
	latest := asked.Add(d.run.cfg.Visibility - d.run.cfg.Visibility/heartbeatShare)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.added++
	d.number = h.added
	d.nextBeat = d.received.Add(interval)
	if latest.Before(d.nextBeat) {
		d.nextBeat = latest
	}
	d.place = len(h.messages)
	h.messages = append(h.messages, d)
}

func (h *heartbeat) remove(d *delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.place >= len(h.messages) || h.messages[d.place] != d {
		return // already removed
	}
	end := len(h.messages) - 1
	h.messages[d.place] = h.messages[end]
	h.messages[d.place].place = d.place
	h.messages[end] = nil
	h.messages = h.messages[:end]
}

// postpone sets the time of the next heartbeat.
func (h *heartbeat) postpone(d *delivery, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.nextBeat = next
}

// due returns the messages with a heartbeat due at now, the earliest due first.
func (h *heartbeat) due(now time.Time) []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	var due []*delivery
	for _, d := range h.messages {
		if !d.nextBeat.After(now) {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b *delivery) int {
		return cmp.Or(a.nextBeat.Compare(b.nextBeat), cmp.Compare(a.number, b.number))
	})
	return due
}

// all returns a copy of the list of messages.
func (h *heartbeat) all() []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

// running returns the messages with a running handler.
func (h *heartbeat) running() []*delivery {
	return slices.DeleteFunc(h.all(), func(d *delivery) bool { return phase(d.phase.Load()) != phaseRunning })
}

// beatInterval returns a third of the visibility timeout, give or take a tenth of that. The spread
// separates messages that were received together.
func (r *run) beatInterval() time.Duration {
	every := r.cfg.Visibility / heartbeatShare
	spread := every / jitterShare
	return every - spread + time.Duration(r.random()*float64(2*spread))
}

// keepVisible sends heartbeats until ctx ends.
func (r *run) keepVisible(ctx context.Context) {
	// The grain lets a failed heartbeat be retried several times before the timeout ends.
	grain := r.cfg.Visibility / heartbeatShare / jitterShare / 2
	tick := time.NewTicker(grain)
	defer tick.Stop()
	var out sync.WaitGroup
	defer out.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now() // later than the tick if the process was suspended
		// Heartbeats due before the next tick are sent now, because Config.Heartbeat is an upper
		// bound.
		var beating []*delivery
		var changes []change
		for _, d := range r.heartbeat.due(now.Add(grain)) {
			if extend, ok := d.beat(now); ok {
				beating, changes = append(beating, d), append(changes, change{d.ReceiptHandle, extend})
			}
		}
		for i, extension := range r.settler.changes.Add(changes...) {
			d := beating[i]
			until := now.Add(changes[i].visibility)
			next := now.Add(r.beatInterval())
			if end := d.holdEnd(); next.After(end) && end.After(now) {
				next = end // a beat at the end reports the loss to the handler in time
			}
			out.Go(func() { d.extended(ctx, until, next, extension) })
		}
		for _, d := range r.heartbeat.all() {
			if !now.Before(d.waitEnd()) {
				r.admission.withdraw(d, expired)
			}
			d.tellOverdue(now)
		}
	}
}

// tellOverdue reports a handler that ignores the end of its context.
func (d *delivery) tellOverdue(now time.Time) {
	began := time.Unix(0, d.began.Load())
	limit := d.run.cfg.HandlerTimeout
	switch {
	case limit == 0 || phase(d.phase.Load()) != phaseRunning || now.Sub(began) < limit+overdueGrace:
	case d.overdue.After(began) && now.Sub(d.overdue) < overdueAgain:
	default:
		d.overdue = now
		running := now.Sub(began).Truncate(time.Second)
		d.run.log.Error("handler has not returned after HandlerTimeout; its slot stays taken",
			"name", d.name(), "message_id", d.ID, "running", running)
		d.run.hooks.overdue(d.Message, running)
	}
}

// holdEnd is when SQS makes the message visible in spite of heartbeats, less 1 second for
// differences of clocks.
func (d *delivery) holdEnd() time.Time { return d.received.Add(maxHold - time.Second) }

// waitEnd is the latest time at which a waiting message is given up, so that it can be settled
// within SQS's 12 hours.
func (d *delivery) waitEnd() time.Time {
	return d.received.Add(maxHold - min(2*d.run.cfg.Visibility, maxHold/2))
}

// beat returns by how much to extend the visibility timeout of a message. If ok, the caller holds
// d.visibility.
func (d *delivery) beat(now time.Time) (extend time.Duration, ok bool) {
	select {
	case d.visibility <- struct{}{}:
	default: // another change is under way
		return 0, false
	}
	extend = min(d.run.cfg.Visibility, d.holdEnd().Sub(now).Truncate(time.Second))
	if extend <= 0 && !d.over {
		d.lose(errors.New("held for the 12 hours that SQS allows"))
	}
	if d.over || time.Unix(0, d.visibleAt.Load()).After(now.Add(extend)) {
		if !d.over { // its handler has extended it further
			d.run.heartbeat.postpone(d, now.Add(d.run.beatInterval()))
		}
		<-d.visibility
		return 0, false
	}
	return extend, true
}

// extended waits for the answer to an extension that lasts until the given time, and releases
// d.visibility.
func (d *delivery) extended(ctx context.Context, until, next time.Time, extension *batch.Item[change, struct{}]) {
	defer func() { <-d.visibility }()
	_, err := extension.Wait(ctx)
	switch {
	case err == nil:
		// A standard queue accepts the heartbeat even after another worker has received the
		// message. A FIFO queue would have refused it.
		if time.Now().UnixNano() >= d.visibleAt.Load() && !d.run.cfg.fifo() {
			d.lapsed.Store(true)
		}
		d.run.heartbeat.postpone(d, next)
		d.extensions.Add(1)
		d.visibleAt.Store(until.UnixNano())
		d.run.hooks.extended(d.Message, until)
	case isReceiptLost(err):
		d.lose(err)
	default: // logged by the call; the next tick sends it again
	}
}

// lose records that another receiver may get the message. It is not started any more. A running
// handler continues unless [Config.CancelOnLostReceipt] is set.
func (d *delivery) lose(err error) {
	d.over = true
	d.lost.Store(true)
	if phase(d.phase.Load()) == phaseEnding || d.deleted.Load() {
		return // most likely deleted by now; settling it logs the outcome
	}
	d.run.log.Warn("receipt lost: another worker may receive the message while this one handles it",
		"name", d.name(), "message_id", d.ID, "error", err)
	if cancel := d.cancel.Load(); cancel != nil && d.run.cfg.CancelOnLostReceipt {
		(*cancel)(ErrReceiptLost)
	}
	d.run.admission.withdraw(d, lost)
}
