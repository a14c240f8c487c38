package consumer

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// beats are the messages whose visibility is kept up: all that are here.
type beats struct {
	mu    sync.Mutex
	tasks map[*task]struct{} // guarded by mu
}

func (b *beats) init() { b.tasks = make(map[*task]struct{}) }

// add takes in a message whose first beat is due after a while.
func (b *beats) add(t *task, first time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.nextBeat = t.received.Add(first)
	b.tasks[t] = struct{}{}
}

func (b *beats) remove(t *task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tasks, t)
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
	for t := range b.tasks {
		if !t.nextBeat.After(now) {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *task) int {
		return cmp.Or(a.nextBeat.Compare(b.nextBeat), cmp.Compare(a.ReceiptHandle, b.ReceiptHandle))
	})
	return due
}

// all returns the messages.
func (b *beats) all() []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.tasks))
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
		case now := <-tick.C:
			// What is due before the next tick goes now: Config.Heartbeat is a bound.
			for _, t := range c.beats.due(now.Add(grain)) {
				select {
				case t.visibility <- struct{}{}:
					out.Go(func() { c.beat(ctx, t) })
				default: // a change is out already
				}
			}
		}
	}
}

// beat extends the visibility of a message once. It holds t.visibility.
func (c *Consumer) beat(ctx context.Context, t *task) {
	defer func() { <-t.visibility }()
	if t.over {
		return
	}
	start := time.Now()
	left := t.received.Add(maxHold).Sub(start) - time.Second
	extend := min(c.cfg.Visibility, left.Truncate(time.Second))
	if extend <= 0 {
		c.lose(t, errors.New("held for the 12 hours that SQS allows"))
		return
	}
	_, err := c.acks.changes.Do(ctx, change{t.ReceiptHandle, extend})
	switch {
	case err == nil:
		c.beats.postpone(t, start.Add(c.beatInterval()))
		t.extensions.Add(1)
		t.visibleAt.Store(start.Add(extend).UnixNano())
		if c.cfg.Hooks.Extended != nil {
			c.cfg.Hooks.Extended(t.Message, start.Add(extend))
		}
	case isReceiptLost(err):
		c.lose(t, err)
	default: // told of by the call; sent again with the next tick
	}
}

// lose notes that the message is not ours any more: others may receive it.
func (c *Consumer) lose(t *task, err error) {
	t.over = true
	if phase(t.phase.Load()) == ending {
		return // deleted meanwhile, most likely; its end will tell
	}
	c.cfg.Logger.Warn("receipt lost: the message may be delivered again while it is handled here",
		"name", c.name(t), "message_id", t.ID, "error", err)
	t.lost.Store(true)
	if cancel := t.cancel.Load(); cancel != nil && c.cfg.CancelOnLostReceipt {
		(*cancel)(ErrReceiptLost)
	}
}
