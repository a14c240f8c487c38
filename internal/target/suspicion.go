package target

import (
	"slices"
	"time"
)

const (
	// longestBelief bounds an operator's word that the target's answers are true.
	longestBelief = time.Hour
	// mostRemembered bounds the messages that are remembered in each list, a
	// message id of 36 bytes each. A worker holds at most 1,000 in an outage.
	mostRemembered = 10_000
)

// suspicion is what the outcomes of requests say about the target so far. It has
// no lock and no clock: a [Judge] has both.
type suspicion struct {
	after int // so many messages make the target suspect; 0: none ever do

	failed   map[string]bool // messages that the target failed since the last success; at most after
	blamed   map[string]bool // messages that it blamed since then; at most after
	timedOut map[string]bool // messages that it did not answer in time since then; at most after

	suspect  bool
	unwell   bool            // suspect because its health path fails
	excused  map[string]bool // messages whose failure was not counted during this suspicion
	guilty   ids             // messages that fail by themselves: others succeeded while they were held
	believed time.Time       // until then an operator vouches for the answers
}

func newSuspicion(after int) *suspicion {
	s := &suspicion{after: after, guilty: ids{has: make(map[string]bool)}}
	s.forget()
	return s
}

// forget drops what was noted since the last success.
func (s *suspicion) forget() {
	s.failed, s.blamed, s.timedOut = make(map[string]bool), make(map[string]bool), make(map[string]bool)
	s.excused = make(map[string]bool)
	s.suspect, s.unwell = false, false
}

// learn takes in what the outcome of a message's request says, and reports whether
// the outcome is excused: not to be counted against the message.
func (s *suspicion) learn(message string, e evidence, now time.Time) (excused bool) {
	return s.learnAll([]string{message}, e, now)
}

// learnAll is learn for messages that were in one request, which counts as one of them.
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

// note counts a message, in the list for its evidence.
func (s *suspicion) note(message string, e evidence) {
	list := map[evidence]map[string]bool{failing: s.failed, blaming: s.blamed, timedOut: s.timedOut}[e]
	if list != nil && len(list) < s.after {
		list[message] = true
	}
}

// acquit ends the suspicion: the target has done the work for message. What else
// was excused meanwhile fails by itself.
func (s *suspicion) acquit(message string) {
	for other := range s.excused {
		s.guilty.add(other)
	}
	s.guilty.remove(message)
	s.forget()
	s.believed = time.Time{}
}

// silent reports whether so many messages have timed out in a row that the health
// path has to be asked.
func (s *suspicion) silent() bool {
	return s.after > 0 && !s.suspect && len(s.timedOut) >= s.after
}

// examined takes in what the health path has answered.
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

// believe takes the answers of the target as true until the next success, or for
// an hour.
func (s *suspicion) believe(now time.Time) {
	s.forget()
	s.believed = now.Add(longestBelief)
}

// ids is a set of message ids that forgets the oldest when it is full.
type ids struct {
	has   map[string]bool
	order []string // oldest first; may hold ids that were removed
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
