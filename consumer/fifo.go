package consumer

import "sync"

// lane is a sequence of messages that are handled one after the other: the messages of a FIFO
// group, or a single message of a standard queue.
type lane struct {
	group string // empty for a single message without followers
	head  *delivery

	mostReceives int         // guarded by lanes.mu; the highest receive count of its messages
	last         bool        // guarded by lanes.mu; a follower is on its last receive
	followers    []*delivery // guarded by lanes.mu
}

// lanes holds the FIFO groups with messages in this worker.
type lanes struct {
	mu sync.Mutex
	m  map[string]*lane // guarded by mu
}

// sort puts received messages into lanes. It returns the heads of new lanes, and the number and
// total size of the followers. On a FIFO queue a message whose group has a lane follows the other
// messages of the group.
func (ls *lanes) sort(arrived []*delivery, fifo bool) (heads []*delivery, followers, bytes int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.m == nil {
		ls.m = make(map[string]*lane)
	}
	for _, d := range arrived {
		group := ""
		if fifo {
			group = d.GroupID
		}
		if at := ls.m[group]; group != "" && at != nil {
			d.enter(phaseFollowing)
			d.lane = at
			at.add(d)
			followers++
			bytes += len(d.Body)
			continue
		}
		d.lane = &lane{group: group, head: d, mostReceives: d.ReceiveCount}
		if group != "" {
			ls.m[group] = d.lane
		}
		heads = append(heads, d)
	}
	return heads, followers, bytes
}

func (l *lane) add(d *delivery) {
	l.followers = append(l.followers, d)
	l.mostReceives = max(l.mostReceives, d.ReceiveCount)
	l.last = l.last || d.LastReceive
}

// next removes the first follower from a lane. It returns nil if there is none, and the lane ends.
func (ls *lanes) next(l *lane) *delivery {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(l.followers) == 0 {
		if l.group != "" {
			delete(ls.m, l.group)
		}
		return nil
	}
	d := l.followers[0]
	l.followers = l.followers[1:]
	l.last = false
	for _, follower := range l.followers {
		l.last = l.last || follower.LastReceive
	}
	return d
}

// end removes all followers from a lane and ends it.
func (ls *lanes) end(l *lane) []*delivery {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.group != "" && ls.m[l.group] == l {
		delete(ls.m, l.group)
	}
	left := l.followers
	l.followers = nil
	return left
}

// lastReceiveFollows reports whether SQS would dead-letter a follower instead of delivering it
// again, so that a stop must not release it.
func (ls *lanes) lastReceiveFollows(l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.last
}

// mostReceived returns the highest receive count of a message in the lane.
func (ls *lanes) mostReceived(l *lane) int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.mostReceives
}
