package dedupe

import (
	"errors"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Hooks let metrics, traces and consoles watch a [Guard]. A nil func is off.
// They are called in the goroutine that does the work, with no lock held: they
// should be quick, and must not call the guard. Renewed and LeaseLost come beside
// the handler, for one attempt one after the other and all before its Settled; a
// slow one holds up its own attempt's end, and no lease. An op is "claim", "renew",
// "complete", "fail", "release" or "leave".
type Hooks struct {
	// Claimed: an attempt holds the name, and its handler is about to be called.
	// Each is followed by one Settled.
	Claimed func(a Attempt)
	// TookOver: as Claimed, before it, when another attempt's lease had lapsed.
	TookOver func(a Attempt)
	// Replayed: the recorded outcome was returned instead of running. kind is
	// "recorded" (by the store), "cached" (seen here before), or "joined" (an
	// attempt that was running here).
	Replayed func(name, kind string)
	// Deferred: the name is held; the caller was told to look again.
	Deferred func(name string, after time.Duration)
	// Refused: nothing ran. reason is "mismatch", "rejected", "exhausted",
	// "unknown", or "unreadable".
	Refused func(name, reason string)
	// Uncompared: the recorded fingerprint was taken in another way than the
	// claim's, so that the payloads could not be compared.
	Uncompared func(name string)

	// Renewed: a renewal was answered; err is nil when the lease is extended.
	Renewed func(a Attempt, err error)
	// LeaseLost: the lease could not be proven any longer, or is somebody
	// else's; the handler's context is cancelled.
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
	Conflicted func(op, name string)
	// OwnWrite: a conflict turned out to be an own write whose answer was lost.
	OwnWrite func(op, name string)
	// StoreFailed: a call failed without a verdict; it is tried again.
	StoreFailed func(op, name string, err error)
}

// hookClaimed tells of an attempt whose handler is about to be called.
func (e *engine) hookClaimed(a *attempt) {
	if h := e.cfg.Hooks.TookOver; h != nil && a.takeover {
		h(a.Attempt)
	}
	if h := e.cfg.Hooks.Claimed; h != nil {
		h(a.Attempt)
	}
}

// hookUncompared tells of a fingerprint that was not compared, because it was
// taken in another way than the recorded one.
func (e *engine) hookUncompared(was protocol.Record, key Key) {
	none := protocol.Fingerprint{}
	if was.Fingerprint == none || key.Fingerprint == none || was.Fingerprint.Comparable(key.Fingerprint) {
		return
	}
	if h := e.cfg.Hooks.Uncompared; h != nil {
		h(key.Name)
	}
}

func (e *engine) hookReplayed(rec protocol.Record, kind string) {
	if h := e.cfg.Hooks.Replayed; h != nil {
		h(rec.Name, kind)
	}
}

// hookRefused tells of an err that kept a name from running, and returns it.
func (e *engine) hookRefused(name string, err error) error {
	if d, ok := errors.AsType[*InProgressError](err); ok {
		if h := e.cfg.Hooks.Deferred; h != nil {
			h(name, d.After)
		}
		return err
	}
	if reason := refusedFor(err); reason != "" && e.cfg.Hooks.Refused != nil {
		e.cfg.Hooks.Refused(name, reason)
	}
	return err
}

func refusedFor(err error) string {
	switch err.(type) { //nolint:errorlint // as refusal and join made it
	case *MismatchError:
		return "mismatch"
	case *RejectedError:
		return "rejected"
	case *ExhaustedError:
		return "exhausted"
	case *UnknownOutcomeError:
		return "unknown"
	}
	if errors.Is(err, ErrUnreadable) {
		return "unreadable"
	}
	return ""
}

func (e *engine) hookRenewed(a Attempt, err error) {
	if h := e.cfg.Hooks.Renewed; h != nil {
		h(a, err)
	}
}

func (e *engine) hookLeaseLost(a Attempt) {
	if h := e.cfg.Hooks.LeaseLost; h != nil {
		h(a)
	}
}

func (e *engine) hookCompletedLate(a Attempt) {
	if h := e.cfg.Hooks.CompletedLate; h != nil {
		h(a)
	}
}

func (e *engine) hookSettled(a *attempt, outcome string, err error) {
	if h := e.cfg.Hooks.Settled; h != nil {
		h(a.Attempt, outcome, a.took, err)
	}
}

func (e *engine) hookConflicted(op, name string) {
	if h := e.cfg.Hooks.Conflicted; h != nil {
		h(op, name)
	}
}

func (e *engine) hookOwnWrite(op, name string) {
	if h := e.cfg.Hooks.OwnWrite; h != nil {
		h(op, name)
	}
}

func (e *engine) hookStoreFailed(op, name string, err error) {
	if h := e.cfg.Hooks.StoreFailed; h != nil {
		h(op, name, err)
	}
}
