package dedupe

import (
	"errors"
	"time"
)

// Hooks let metrics, traces and consoles watch a [Guard]. A nil func is off.
//
// They are called in the goroutine that does the work, with no lock held: they
// should be quick, and must not call the guard. Renewed and LeaseLost are called
// beside the handler, for one attempt one after the other and all before its
// Settled; a slow one delays the end of its own attempt, and no lease.
//
// The [Attempt] says which name and message the call is about. Its Fence and Number
// are 0 where no attempt has begun. An op is "claim", "renew", "complete", "fail",
// "release" or "leave".
type Hooks struct {
	// Claimed: an attempt holds the name, and its handler is about to be called.
	// Each is followed by one Settled.
	Claimed func(a Attempt)
	// TookOver: as Claimed, before it, when another attempt's lease had lapsed.
	TookOver func(a Attempt)
	// Replayed: the recorded outcome was returned instead of running. kind is
	// "recorded" (by the store), "cached" (seen here before), or "joined" (an
	// attempt that was running here).
	Replayed func(a Attempt, kind string)
	// Deferred: the name is held; the caller was told to look again.
	Deferred func(a Attempt, after time.Duration)
	// Refused: nothing ran. reason is "mismatch", "rejected", "exhausted",
	// "unknown", or "unreadable".
	Refused func(a Attempt, reason string)
	// Uncompared: the recorded fingerprint was taken in another way than the
	// claim's, so that the payloads could not be compared.
	Uncompared func(a Attempt)

	// Renewed: a renewal was answered; err is nil when the lease is extended.
	Renewed func(a Attempt, err error)
	// LeaseLost: the lease could not be proven any longer, or another attempt has
	// the name; the handler's context is cancelled.
	LeaseLost func(a Attempt)
	// CompletedLate: the completion was accepted after the lease had lapsed.
	CompletedLate func(a Attempt)
	// Settled: an attempt has ended, whose handler ran for so long. outcome is
	// "completed", "retrying", "rejected", "unknown", "released", "left" (its work
	// may still run elsewhere, so that the name stays held), "lost" (to another
	// attempt), or "unrecorded" (the store did not take it in time). err is what Do
	// returns.
	Settled func(a Attempt, outcome string, took time.Duration, err error)

	// Conflicted: a write met a record that had changed since it was read.
	Conflicted func(a Attempt, op string)
	// OwnWrite: a conflict turned out to be an own write whose answer was lost.
	OwnWrite func(a Attempt, op string)
	// StoreFailed: a call failed without a verdict; it is tried again.
	StoreFailed func(a Attempt, op string, err error)
}

// withDefaults returns a copy of h in which every func may be called.
func (h Hooks) withDefaults() Hooks {
	plain := func(Attempt) {}
	text := func(Attempt, string) {}
	failing := func(Attempt, error) {}
	for _, f := range []*func(Attempt){&h.Claimed, &h.TookOver, &h.Uncompared, &h.LeaseLost, &h.CompletedLate} {
		if *f == nil {
			*f = plain
		}
	}
	for _, f := range []*func(Attempt, string){&h.Replayed, &h.Refused, &h.Conflicted, &h.OwnWrite} {
		if *f == nil {
			*f = text
		}
	}
	if h.Renewed == nil {
		h.Renewed = failing
	}
	if h.Deferred == nil {
		h.Deferred = func(Attempt, time.Duration) {}
	}
	if h.Settled == nil {
		h.Settled = func(Attempt, string, time.Duration, error) {}
	}
	if h.StoreFailed == nil {
		h.StoreFailed = func(Attempt, string, error) {}
	}
	return h
}

// refused calls the hook for an error that kept a name from running, and returns it.
func (h Hooks) refused(a Attempt, err error) error {
	if d, ok := errors.AsType[*InProgressError](err); ok {
		h.Deferred(a, d.After)
	} else if reason := refusedFor(err); reason != "" {
		h.Refused(a, reason)
	}
	return err
}

func refusedFor(err error) string {
	switch e := err.(type) { //nolint:errorlint // as refusal and join made it
	case *MismatchError:
		return "mismatch"
	case *RejectedError:
		if e.why == whyUsedUp {
			return "exhausted"
		}
		return "rejected"
	case *UnknownOutcomeError:
		return "unknown"
	}
	if errors.Is(err, ErrUnreadable) {
		return "unreadable"
	}
	return ""
}
