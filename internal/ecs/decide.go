package ecs

import "time"

// situation is everything that a decision depends on.
type situation struct {
	jobs      int       // messages at work
	oldest    time.Time // since when the longest of them is
	idleSince time.Time // when the last one ended
	draining  bool
	protected bool      // as far as the agent has answered
	until     time.Time // when the protection runs out
	spellDone bool      // this spell of work has had its protection
	failedAt  time.Time // of the last call; zero when it succeeded
	told      bool      // the log knows of the trouble
}

// action is a call to make.
type action int

const (
	nothing action = iota
	protect
	unprotect
)

// forever is when to look again while only an event can change anything.
const forever = 24 * time.Hour

// decide says what to do now, or when to look again unless something happens.
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
	due := s.oldest // of the first message of a spell: at once
	if s.spellDone {
		// Only a message that takes long is worth another call: a worker that
		// is always busy must not hold up deployments for ever.
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

// when is an action at its time.
func when(a action, due, now time.Time) (action, time.Duration) {
	if wait := due.Sub(now); wait > 0 {
		return nothing, wait
	}
	return a, 0
}
