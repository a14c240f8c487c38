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

// heartbeat keeps the messages that are here invisible to others.
type heartbeat struct {
	mu       sync.Mutex
	messages []*delivery // guarded by mu; each knows its place
	added    int         // guarded by mu
}

// add takes in a message that was just received, by a call that was made at asked. SQS may
// have handed it out that long ago: its first heartbeat leaves a third of the visibility
// timeout, counted from then.
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
		return // it is not here
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

// due returns the messages whose next heartbeat is not after now, the longest due first.
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

// all returns the messages.
func (h *heartbeat) all() []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

// running returns the messages whose handlers are at work.
func (h *heartbeat) running() []*delivery {
	return slices.DeleteFunc(h.all(), func(d *delivery) bool { return phase(d.phase.Load()) != phaseRunning })
}

// beatInterval is a third of the visibility timeout, give or take a tenth of that, so that
// messages that came together do not beat together for long.
func (r *run) beatInterval() time.Duration {
	every := r.cfg.Visibility / heartbeatShare
	spread := every / jitterShare
	return every - spread + time.Duration(r.random()*float64(2*spread))
}

// keepVisible sends heartbeats until ctx ends.
func (r *run) keepVisible(ctx context.Context) {
	// Fine enough for a failed heartbeat to be sent again several times in time.
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
		now := time.Now() // later than the tick, in a process that was held up
		// What is due before the next tick goes now: Config.Heartbeat is a bound.
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
				next = end // the handler hears of the end in time
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

// tellOverdue tells of a handler that ignores the end of its time.
func (d *delivery) tellOverdue(now time.Time) {
	began := time.Unix(0, d.began.Load())
	limit := d.run.cfg.HandlerTimeout
	switch {
	case limit == 0 || phase(d.phase.Load()) != phaseRunning || now.Sub(began) < limit+overdueGrace:
	case d.overdue.After(began) && now.Sub(d.overdue) < overdueAgain:
	default:
		d.overdue = now
		running := now.Sub(began).Truncate(time.Second)
		d.run.log.Error("handler ignores the end of its time; its slot stays taken",
			"name", d.name(), "message_id", d.ID, "running", running)
		d.run.hooks.overdue(d.Message, running)
	}
}

// holdEnd is when SQS makes the message visible whatever is done, less a second for clocks.
func (d *delivery) holdEnd() time.Time { return d.received.Add(maxHold - time.Second) }

// waitEnd is when a message that waits here has to be let go, so that its end is answered
// within what SQS allows.
func (d *delivery) waitEnd() time.Time {
	return d.received.Add(maxHold - min(2*d.run.cfg.Visibility, maxHold/2))
}

// beat says by how much to extend the visibility of a message. While it is extended,
// d.visibility is held.
func (d *delivery) beat(now time.Time) (extend time.Duration, ok bool) {
	select {
	case d.visibility <- struct{}{}:
	default: // a change is out already
		return 0, false
	}
	extend = min(d.run.cfg.Visibility, d.holdEnd().Sub(now).Truncate(time.Second))
	if extend <= 0 && !d.over {
		d.lose(errors.New("held for the 12 hours that SQS allows"))
	}
	if d.over || time.Unix(0, d.visibleAt.Load()).After(now.Add(extend)) {
		if !d.over { // its handler has extended it for longer
			d.run.heartbeat.postpone(d, now.Add(d.run.beatInterval()))
		}
		<-d.visibility
		return 0, false
	}
	return extend, true
}

// extended waits for the answer to an extension until a time, and lets go of d.visibility.
func (d *delivery) extended(ctx context.Context, until, next time.Time, extension *batch.Item[change, struct{}]) {
	defer func() { <-d.visibility }()
	_, err := extension.Wait(ctx)
	switch {
	case err == nil:
		// A standard queue takes the heartbeat even when another worker has received the
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
	default: // told by the call; sent again with the next tick
	}
}

// lose notes that the message is not ours any more: others may receive it. It is not begun
// any more; one that is at work goes on unless the settings say otherwise.
func (d *delivery) lose(err error) {
	d.over = true
	d.lost.Store(true)
	if phase(d.phase.Load()) == phaseEnding || d.deleted.Load() {
		return // deleted meanwhile, most likely; its end will tell
	}
	d.run.log.Warn("receipt lost: the message may be delivered again while it is here",
		"name", d.name(), "message_id", d.ID, "error", err)
	if cancel := d.cancel.Load(); cancel != nil && d.run.cfg.CancelOnLostReceipt {
		(*cancel)(ErrReceiptLost)
	}
	d.run.admission.withdraw(d, lost)
}
