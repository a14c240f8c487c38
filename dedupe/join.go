package dedupe

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// flights holds the attempts that run in this process, by name. A duplicate with the same payload
// waits for a running attempt for 1 second, because most duplicates arrive together. Then it is
// deferred, so that it does not occupy its caller's slot.
type flights struct {
	mu sync.Mutex
	m  map[string]*flight // guarded by mu
}

// flight is the turn of one caller to ask the store about a name.
type flight struct {
	key   Key
	until atomic.Pointer[time.Time] // end of the held lease; nil if none is held yet
	asked time.Time                 // time of the store call whose answer do returns; used by the owner of the turn
	done  chan struct{}             // guarded by flights.mu; closed when the turn ends; nil if no caller has joined

	// Set before done closes.
	rec   *protocol.Record // the record if completed
	ended turnEnd
}

type turnEnd uint8

const (
	endedCompleted turnEnd = iota // rec holds the outcome
	endedFinally                  // the name has another outcome, which the store returns
	endedOpen                     // the name is free, or its state is not known
)

// hold sets the end of the held lease.
func (f *flight) hold(until time.Time) { f.until.Store(&until) }

// holds reports whether the turn holds the name. Only then is the record about this turn's payload.
// Before that, its own payload may be the mismatch.
func (f *flight) holds() bool { return f.until.Load() != nil }

// remaining returns the delay until a caller should ask again.
func (f *flight) remaining(skew time.Duration) time.Duration {
	until := f.until.Load()
	if until == nil {
		return joinDefer
	}
	return max(time.Until(*until), 0) + skew
}

// join waits for the turn on a name. It returns the turn, which must be left, or a completed
// record. It returns [*InProgressError] if the running attempt takes too long or has failed,
// [*MismatchError] if that works on another payload, or an error that wraps ctx's. A key with a
// redrive order gets neither these two nor the record, but a turn, because the store must record
// that the order is spent. A patient caller waits for its turn until ctx ends, see [Config.Wait].
func (f *flights) join(ctx context.Context, key Key, t protocol.Terms, patient bool) (*flight, protocol.Record, error) {
	var longEnough <-chan time.Time
	beside := false // a redrive order has waited long enough
	failed := 0     // failed attempts for which this caller has waited
	for {
		fl, done := f.enter(key, beside)
		if done == nil {
			if failed > 0 { // the other callers wait for this turn and its pause
				if err := wait(ctx, failed-1, &InProgressError{Name: key.Name, After: joinDefer}); err != nil {
					f.leave(fl, protocol.Record{}, err)
					return nil, protocol.Record{}, err
				}
			}
			return fl, protocol.Record{}, nil
		}
		if fl.holds() && !key.RedriveOrder && fl.key.Fingerprint.Differs(key.Fingerprint) {
			return nil, protocol.Record{}, &MismatchError{Name: key.Name, Status: protocol.InProgress, MessageID: fl.key.MessageID, Differs: key.Compared}
		}
		if longEnough == nil && (!patient || key.RedriveOrder) {
			longEnough = time.After(joinFor)
		}
		select {
		case <-done:
			switch {
			case fl.ended == endedOpen && !key.RedriveOrder:
				if !patient {
					return nil, protocol.Record{}, &InProgressError{Name: key.Name, After: joinDefer}
				}
				failed++
			case fl.ended == endedCompleted && !key.RedriveOrder && !fl.rec.Fingerprint.Differs(key.Fingerprint):
				return nil, *fl.rec, nil
			}
			// The next turn asks the store.
		case <-longEnough:
			if beside = key.RedriveOrder; beside {
				continue
			}
			return nil, protocol.Record{}, &InProgressError{Name: key.Name, After: fl.remaining(t.Skew)}
		case <-ctx.Done():
			if patient {
				return nil, protocol.Record{}, newGaveUp(ctx, &InProgressError{Name: key.Name, After: fl.remaining(t.Skew)})
			}
			return nil, protocol.Record{}, &stopped{err: context.Cause(ctx)}
		}
	}
}

// enter begins a turn, and then done is nil. If another turn is under way, it returns that turn and
// a channel that closes at its end. With beside it begins a turn beside the other one.
func (f *flights) enter(key Key, beside bool) (fl *flight, done <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.m[key.Name]; ok && beside {
		return &flight{key: key}, nil // never joined
	} else if ok {
		if fl.done == nil {
			fl.done = make(chan struct{})
		}
		return fl, fl.done
	}
	if f.m == nil {
		f.m = make(map[string]*flight)
	}
	fl = &flight{key: key}
	f.m[key.Name] = fl
	return fl, nil
}

// leave ends a turn with the return values of do.
func (f *flights) leave(fl *flight, rec protocol.Record, err error) {
	f.mu.Lock()
	if f.m[fl.key.Name] == fl {
		delete(f.m, fl.key.Name) // cannot be joined any more
	}
	done := fl.done
	f.mu.Unlock()
	if done == nil {
		return
	}
	joined := rec // a copy, so that rec only escapes to the heap if a caller has joined
	fl.rec = &joined
	switch {
	case err == nil && rec.Status == protocol.Completed:
		fl.ended = endedCompleted
	case failure.Is(err, failure.Permanent.Permanent):
		fl.ended = endedFinally
	default:
		fl.ended = endedOpen
	}
	close(done)
}
