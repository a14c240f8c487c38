package consumer

import "sync"

// lane is a sequence of messages that are handled one after the other: those of one FIFO
// group, or a single message of a standard queue.
type lane struct {
	group string // empty: a single message, none can follow
	head  *delivery

	mostReceives int         // guarded by lanes.mu; the highest receive count among them
	last         bool        // guarded by lanes.mu; one of the followers is on its last receive
	followers    []*delivery // guarded by lanes.mu
}

// lanes are the FIFO groups at work.
type lanes struct {
	mu sync.Mutex
	m  map[string]*lane // guarded by mu
}

// sort puts received messages into lanes. It returns the heads of new ones, and how many
// messages, of how many bytes, follow others. On FIFO queues a message of a group at work
// follows the others of its group.
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

// next takes the message after the head out of a lane; nil, and the lane is over.
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

// end takes the followers out of a lane, which is over then.
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

// lastReceiveFollows reports whether SQS would dead-letter one of the followers at its next
// receive, so that a stop must not just release it.
func (ls *lanes) lastReceiveFollows(l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.last
}

// mostReceived returns the highest receive count of a message of the lane.
func (ls *lanes) mostReceived(l *lane) int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.mostReceives
}
