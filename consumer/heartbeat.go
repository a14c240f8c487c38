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

// beats are the messages whose visibility is kept up: all that are here.
type beats struct {
	mu    sync.Mutex
	tasks []*task // guarded by mu; each knows its place
	added int     // guarded by mu
}

// add takes in a message whose first beat is due after a while.
func (b *beats) add(t *task, first time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.added++
	t.number = b.added
	t.nextBeat = t.received.Add(first)
	t.place = len(b.tasks)
	b.tasks = append(b.tasks, t)
}

func (b *beats) remove(t *task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.place >= len(b.tasks) || b.tasks[t.place] != t {
		return // it is not here
	}
	last := len(b.tasks) - 1
	b.tasks[t.place] = b.tasks[last]
	b.tasks[t.place].place = t.place
	b.tasks[last] = nil
	b.tasks = b.tasks[:last]
}

// postpone sets the time of the next beat.
func (b *beats) postpone(t *task, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.nextBeat = next
}

// due returns the messages whose next beat is not after now, the longest due
// first.
func (b *beats) due(now time.Time) []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	var due []*task
	for _, t := range b.tasks {
		if !t.nextBeat.After(now) {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *task) int {
		return cmp.Or(a.nextBeat.Compare(b.nextBeat), cmp.Compare(a.number, b.number))
	})
	return due
}

// all returns the messages.
func (b *beats) all() []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.tasks)
}

// running returns the messages whose handlers are at work.
func (b *beats) running() []*task {
	return slices.DeleteFunc(b.all(), func(t *task) bool { return phase(t.phase.Load()) != running })
}

// beatInterval is a third of the visibility timeout, give or take a tenth of
// that, so that messages that came together do not beat together for long.
func (c *Consumer) beatInterval() time.Duration {
	every := c.cfg.Visibility / heartbeatShare
	spread := every / jitterShare
	return every - spread + time.Duration(c.cfg.Random()*float64(2*spread))
}

// keepVisible sends heartbeats until ctx ends.
func (c *Consumer) keepVisible(ctx context.Context) {
	// Fine enough for a failed beat to be sent again several times in time.
	grain := c.cfg.Visibility / heartbeatShare / jitterShare / 2
	tick := time.NewTicker(grain)
	defer tick.Stop()
	var out sync.WaitGroup
	defer out.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := time.Now() // later than the tick, in a process that was held up
			// What is due before the next tick goes now: Config.Heartbeat is a bound.
			var beating []*task
			var changes []change
			for _, t := range c.beats.due(now.Add(grain)) {
				if extend, ok := c.beat(t, now); ok {
					beating, changes = append(beating, t), append(changes, change{t.ReceiptHandle, extend, true})
				}
			}
			for i, extension := range c.acks.changes.Add(changes...) {
				next := now.Add(c.beatInterval())
				out.Go(func() { c.extended(ctx, beating[i], now.Add(changes[i].visibility), next, extension) })
			}
		}
	}
}

// beat says by how much to extend the visibility of a message. While it is
// extended, t.visibility is held.
func (c *Consumer) beat(t *task, now time.Time) (extend time.Duration, ok bool) {
	select {
	case t.visibility <- struct{}{}:
	default: // a change is out already
		return 0, false
	}
	extend = min(c.cfg.Visibility, t.received.Add(maxHold-time.Second).Sub(now).Truncate(time.Second))
	if extend <= 0 && !t.over {
		c.lose(t, errors.New("held for the 12 hours that SQS allows"))
	}
	if t.over {
		<-t.visibility
		return 0, false
	}
	return extend, true
}

// extended waits for the answer to an extension until a time, and lets go of
// t.visibility.
func (c *Consumer) extended(ctx context.Context, t *task, until, next time.Time, extension *batch.Item[change, struct{}]) {
	defer func() { <-t.visibility }()
	_, err := extension.Wait(ctx)
	switch {
	case err == nil:
		// A standard queue takes the beat even when another worker has received
		// the message. A FIFO queue would have refused it.
		if !c.cfg.fifo() && c.isExpired(t) {
			t.lapsed.Store(true)
		}
		c.beats.postpone(t, next)
		t.extensions.Add(1)
		t.visibleAt.Store(until.UnixNano())
		if c.cfg.Hooks.Extended != nil {
			c.cfg.Hooks.Extended(t.Message, until)
		}
	case isReceiptLost(err):
		c.lose(t, err)
	default: // told of by the call; sent again with the next tick
	}
}

// lose notes that the message is not ours any more: others may receive it.
func (c *Consumer) lose(t *task, err error) {
	t.over = true
	t.lost.Store(true) // a next try, if there is one, must know
	if phase(t.phase.Load()) == ending {
		return // deleted meanwhile, most likely; its end will tell
	}
	c.cfg.Logger.Warn("receipt lost: the message may be delivered again while it is handled here",
		"name", c.name(t), "message_id", t.ID, "error", err)
	if cancel := t.cancel.Load(); cancel != nil && c.cfg.CancelOnLostReceipt {
		(*cancel)(ErrReceiptLost)
	}
}
