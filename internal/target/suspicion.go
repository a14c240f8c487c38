package target

import (
	"slices"
	"time"
)

const (
	// longestBelief bounds the effect of [Judge.Believe].
	longestBelief = time.Hour
	// mostRemembered bounds the message IDs in each list, of 36 bytes each. A worker holds at most
	// 1,000 messages in an outage.
	mostRemembered = 10_000
)

// suspicion is the state of a [Judge], which adds a lock and a clock.
type suspicion struct {
	after int // number of messages that make the target suspect; 0 means never

	failed   map[string]bool // messages with evidence failing since the last success; at most after
	blamed   map[string]bool // messages with evidence blaming since then; at most after
	timedOut map[string]bool // messages with evidence timedOut since then; at most after

	suspect  bool
	unwell   bool            // suspect because the health path fails
	excused  map[string]bool // messages with a failure that was not counted during this suspicion
	guilty   ids             // messages that are the cause of their failures: another message ended the suspicion
	believed time.Time       // end of an operator's Believe
}

func newSuspicion(after int) *suspicion {
	s := &suspicion{after: after, guilty: ids{has: make(map[string]bool)}}
	s.forget()
	return s
}

// forget clears the evidence since the last success.
func (s *suspicion) forget() {
	s.failed, s.blamed, s.timedOut = make(map[string]bool), make(map[string]bool), make(map[string]bool)
	s.excused = make(map[string]bool)
	s.suspect, s.unwell = false, false
}

// learn records the evidence in the outcome of a message's request. It reports whether a failure is
// excused, that is, not counted.
func (s *suspicion) learn(message string, e evidence, now time.Time) (excused bool) {
	return s.learnAll([]string{message}, e, now)
}

// learnAll is learn for the messages of one request, which counts as one message.
func (s *suspicion) learnAll(messages []string, e evidence, now time.Time) (excused bool) {
	if e == success {
		for _, message := range messages {
			s.acquit(message)
		}
		return false
	}
	if !s.suspect && now.Before(s.believed) {
		return false
	}
	if i := slices.IndexFunc(messages, func(m string) bool { return !s.guilty.has[m] }); i >= 0 {
		s.note(messages[i], e)
	}
	s.suspect = s.suspect || s.after > 0 && (len(s.failed) >= s.after || len(s.blamed) >= s.after)
	for _, message := range messages {
		if s.suspect && len(s.excused) < mostRemembered {
			s.excused[message] = true
		}
	}
	return s.suspect
}

// note adds a message to the list for its evidence.
func (s *suspicion) note(message string, e evidence) {
	list := map[evidence]map[string]bool{failing: s.failed, blaming: s.blamed, timedOut: s.timedOut}[e]
	if list != nil && len(list) < s.after {
		list[message] = true
	}
}

// acquit ends the suspicion after a success of message. The other excused messages become guilty.
func (s *suspicion) acquit(message string) {
	for other := range s.excused {
		s.guilty.add(other)
	}
	s.guilty.remove(message)
	s.forget()
	s.believed = time.Time{}
}

// silent reports whether enough messages have timed out in a row to request the health path.
func (s *suspicion) silent() bool {
	return s.after > 0 && !s.suspect && len(s.timedOut) >= s.after
}

// examined records the answer of the health path.
func (s *suspicion) examined(healthy bool) {
	switch {
	case !healthy && s.after > 0:
		s.suspect, s.unwell = true, true
	case s.unwell:
		s.forget()
	default:
		clear(s.timedOut)
	}
}

// believe implements [Judge.Believe].
func (s *suspicion) believe(now time.Time) {
	s.forget()
	s.believed = now.Add(longestBelief)
}

// ids is a bounded set of message IDs. When it is full, the oldest is removed.
type ids struct {
	has   map[string]bool
	order []string // oldest first; may hold removed IDs
}

func (i *ids) add(id string) {
	if i.has[id] {
		return
	}
	i.has[id] = true
	i.order = append(i.order, id)
	if len(i.order) > mostRemembered {
		delete(i.has, i.order[0])
		i.order = i.order[1:]
	}
}

func (i *ids) remove(id string) { delete(i.has, id) }
