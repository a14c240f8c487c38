package ecs

import "time"

// situation is the input of decide.
type situation struct {
	jobs      int       // messages being handled
	oldest    time.Time // start of the longest-running of them
	idleSince time.Time // end of the last message
	draining  bool
	protected bool      // according to the agent's last answer
	until     time.Time // expiry of the protection
	spellDone bool      // the task has been protected since it was last idle
	failedAt  time.Time // time of the last call if it failed; zero if it succeeded
	logged    bool      // the failure has been logged
}

// action is a call to the agent.
type action int

const (
	nothing action = iota
	protect
	unprotect
)

// forever is the wait if only an event can make an action due.
const forever = 24 * time.Hour

// decide returns the action that is due now. If none is, it returns the time until one may become
// due without a further event.
func decide(s situation, now time.Time) (action, time.Duration) {
	if s.protected && !now.Before(s.until) {
		s.protected = false // it has run out
	}
	switch {
	case s.draining && s.protected:
		return unprotect, 0
	case s.draining:
		return nothing, forever
	case s.jobs == 0 && s.protected:
		return when(unprotect, s.idleSince.Add(linger), now)
	case s.jobs == 0:
		return nothing, forever
	}
	due := s.oldest // the first message after an idle time protects the task at once
	if s.spellDone {
		// Later calls need a message that runs long. Otherwise a worker that is always busy would
		// block deployments for ever.
		due = s.oldest.Add(longJob)
		if renewal := s.until.Add(-expiry / 2); s.protected && renewal.After(due) {
			due = renewal
		}
	}
	if retry := s.failedAt.Add(retryAfter); !s.failedAt.IsZero() && retry.After(due) {
		due = retry
	}
	return when(protect, due, now)
}

// when returns a if it is due, and the time until then otherwise.
func when(a action, due, now time.Time) (action, time.Duration) {
	if wait := due.Sub(now); wait > 0 {
		return nothing, wait
	}
	return a, 0
}
