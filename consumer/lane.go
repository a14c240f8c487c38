package consumer

import (
	"sync"
)

// lane is a sequence of messages that are handled one after the other: those
// of one FIFO group, or a single message of a standard queue.
type lane struct {
	group string // empty: a single message, nobody can follow
	first *task
	turn  turn // of first

	followers []*task // guarded by lanes.mu
}

// lanes are the FIFO groups at work.
type lanes struct {
	mu sync.Mutex
	m  map[string]*lane // guarded by mu
}

// enter sorts received messages into lanes and returns the new ones. On FIFO
// queues a message of a group at work follows the others of its group.
func (ls *lanes) enter(tasks []*task, fifo bool, f *floor) []*lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.m == nil {
		ls.m = make(map[string]*lane)
	}
	var entered []*lane
	for _, t := range tasks {
		l := &t.lane
		l.first, l.turn = t, turn{fresh: true}
		if fifo {
			l.group = t.GroupID
		}
		if at := ls.m[l.group]; l.group != "" && at != nil {
			t.enter(following)
			at.followers = append(at.followers, t)
			f.wait(1, len(t.Body))
			continue
		}
		if l.group != "" {
			ls.m[l.group] = l
		}
		entered = append(entered, l)
	}
	return entered
}

func turnsOf(ls []*lane) []*turn {
	turns := make([]*turn, len(ls))
	for i, l := range ls {
		turns[i] = &l.turn
	}
	return turns
}

// next returns the message after the head, or nil, and then the lane is over.
func (ls *lanes) next(l *lane, f *floor) *task {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(l.followers) == 0 {
		delete(ls.m, l.group)
		return nil
	}
	t := l.followers[0]
	l.followers = l.followers[1:]
	f.wait(-1, -len(t.Body))
	return t
}

// end takes the followers out of a lane, which is over then.
func (ls *lanes) end(l *lane, f *floor) []*task {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, t := range l.followers {
		f.wait(-1, -len(t.Body))
	}
	if l.group != "" {
		delete(ls.m, l.group)
	}
	left := l.followers
	l.followers = nil
	return left
}

// lastReceiveFollows reports whether SQS would dead-letter one of the
// followers at its next receive, so that a stop must not just release it.
func (ls *lanes) lastReceiveFollows(l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, t := range l.followers {
		if t.LastReceive {
			return true
		}
	}
	return false
}

// runLane takes the messages of a lane to their ends, in order. A message that
// stays in the queue ends the lane: its followers are released first, and it
// last, so that none of them can be received before it. One that SQS will move
// by itself does not: its followers, as often received, would go with it.
func (c *Consumer) runLane(l *lane) { c.goOn(l, l.first, c.live(l, l.first, &l.turn)) }

// goOn is the rest of that, from the decision about one of the messages on.
func (c *Consumer) goOn(l *lane, t *task, d Disposition) {
	for {
		if leavesQueue(d) && (c.end(t, d) || leftToRedrive(t, d)) {
			if t = c.lanes.next(l, &c.floor); t == nil {
				return
			}
			d = c.live(l, t, c.floor.ask(true))
			continue
		}
		var released sync.WaitGroup
		for _, follower := range c.lanes.end(l, &c.floor) {
			released.Go(func() { c.end(follower, c.unstarted(follower)) })
		}
		released.Wait()
		if !leavesQueue(d) {
			c.end(t, d)
		}
		return
	}
}

// leavesQueue reports whether the message is gone once d is carried out.
func leavesQueue(d Disposition) bool { return d.Action == Delete || d.Action == DeadLetter }

// leftToRedrive reports whether a message that could not be dead-lettered goes
// to the dead-letter queue without us: SQS does not deliver it again.
func leftToRedrive(t *task, d Disposition) bool { return d.Action == DeadLetter && t.LastReceive }

// unstarted is what becomes of a message that was not tried: visible at once.
// SQS would dead-letter one on its last receive for that, without a word; so we
// do it, with the reason. That happens only when the drain was too short for
// it, or when what stands before it took the 12 hours that SQS allows.
func (c *Consumer) unstarted(t *task) Disposition {
	d := Disposition{Action: Release}
	if t.LastReceive {
		d = Disposition{Action: DeadLetter, Reason: reasonHeldUp, Attempts: t.ReceiveCount - 1}
		if c.isStopping() {
			d.Reason = reasonUntried
		}
	}
	return d
}
