package dedupe

import (
	"errors"
	"time"
)

// Hooks observe a [Guard], for metrics, traces and consoles. Each may be nil.
//
// They are called in the goroutine that does the work, without locks. They should be fast and must
// not call the guard. Renewed and LeaseLost are called beside the handler. For one attempt they are
// called one after the other, and all before its Settled. A slow one delays the end of its own
// attempt, but no lease.
//
// The [Attempt] has the name and the message. Its Fence and Number are 0 if no attempt has begun.
// An op is "claim", "renew", "complete", "fail", "release" or "leave".
type Hooks struct {
	// Claimed is called when an attempt holds the name, before its handler. Each call is followed
	// by one Settled.
	Claimed func(a Attempt)
	// TookOver is called before Claimed if another attempt's lease had lapsed.
	TookOver func(a Attempt)
	// Replayed is called when the recorded outcome is returned without a run. kind is "recorded"
	// (by the store), "cached" (in memory), or "joined" (from an attempt in this process).
	Replayed func(a Attempt, kind string)
	// Deferred is called when another attempt holds the name. The caller should ask again after the
	// given time.
	Deferred func(a Attempt, after time.Duration)
	// Refused is called when the work does not run. reason is "mismatch", "rejected", "exhausted",
	// "unknown", or "unreadable".
	Refused func(a Attempt, reason string)
	// Uncompared is called when the recorded fingerprint has another scheme or expression than the
	// claim's, so that the payloads cannot be compared.
	Uncompared func(a Attempt)

	// Renewed is called after each renewal. err is nil if the lease was extended.
	Renewed func(a Attempt, err error)
	// LeaseLost is called when a handler's context is cancelled, because its lease could not be
	// renewed in time or another attempt has the name.
	LeaseLost func(a Attempt)
	// CompletedLate is called when a completion was recorded after the lease had lapsed.
	CompletedLate func(a Attempt)
	// Settled is called when an attempt has ended. took is the run time of its handler. outcome is
	// "completed", "retrying", "rejected", "unknown", "released", "left" (its work may still run
	// elsewhere, so the name stays held), "lost" (to another attempt), or "unrecorded" (not written
	// in time). err is the error of Do.
	Settled func(a Attempt, outcome string, took time.Duration, err error)

	// Conflicted is called when a write met a record that had changed since it was read.
	Conflicted func(a Attempt, op string)
	// OwnWrite is called when a conflict was caused by an own write whose answer was lost.
	OwnWrite func(a Attempt, op string)
	// StoreFailed is called when a call has failed without a conclusive answer. It is repeated.
	StoreFailed func(a Attempt, op string, err error)
}

// withDefaults returns a copy of h with every field set.
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

// refused calls the hook for an error that kept the work from running, and returns the error.
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
