package dedupe

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/failure"
)

// flights are the attempts that run in this process, by name. A second one of
// the same name and payload joins the first for a moment, because most
// duplicates arrive together, and is then deferred so that it never keeps its
// caller's slot.
type flights struct {
	mu sync.Mutex
	m  map[string]*flight // guarded by mu
}

// flight is one name's turn in this process.
type flight struct {
	key   Key
	until atomic.Pointer[time.Time] // end of the lease that is held; nil: none yet
	asked time.Time                 // when the store was asked for what do has returned; of who has the turn
	done  chan struct{}             // guarded by flights.mu; closed when the turn has ended; nil: nobody has joined

	// Set before done closes.
	rec   *protocol.Record // completed, unless final or retryable
	ended turnEnd
}

type turnEnd uint8

const (
	endedCompleted turnEnd = iota // rec holds the outcome
	endedFinally                  // the name has another outcome that the store will tell
	endedOpen                     // the name is free, or nobody knows
)

// hold notes until when the name is held.
func (f *flight) hold(until time.Time) { f.until.Store(&until) }

// holds reports whether the name is held, so that the record is about this
// payload. Before that the turn's own payload may be the one that differs.
func (f *flight) holds() bool { return f.until.Load() != nil }

// remaining is how long a caller should stay away.
func (f *flight) remaining(skew time.Duration) time.Duration {
	until := f.until.Load()
	if until == nil {
		return joinDefer
	}
	return max(time.Until(*until), 0) + skew
}

// join waits its turn for key. It returns the turn, which must be left, or a
// completed record. Errors: [*InProgressError] when the one who has the turn
// takes too long or has failed, [*MismatchError] when it works on another
// payload, or an error that wraps ctx's. An order to try again gets none of the
// first two, nor the record, but a turn: those the store has to tell it. A patient
// caller waits for its turn until ctx ends, see [Config.Wait].
func (f *flights) join(ctx context.Context, key Key, t protocol.Terms, patient bool) (*flight, protocol.Record, error) {
	var longEnough <-chan time.Time
	beside := false // an order has waited long enough
	failed := 0     // attempts that this caller has waited for in vain
	for {
		fl, done := f.enter(key, beside)
		if done == nil {
			if failed > 0 { // the others wait for this turn, and its pause
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
			// The store knows what this caller is to be told.
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

// enter begins a turn of its own (done is nil), or joins the one that is under
// way until done closes. An order to try again may have a turn beside that one: whatever
// it meets, the store has to note that it is spent.
func (f *flights) enter(key Key, beside bool) (fl *flight, done <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.m[key.Name]; ok && beside {
		return &flight{key: key}, nil // nobody joins it
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

// leave ends a turn with what do has returned.
func (f *flights) leave(fl *flight, rec protocol.Record, err error) {
	f.mu.Lock()
	if f.m[fl.key.Name] == fl {
		delete(f.m, fl.key.Name) // nobody can join any more
	}
	done := fl.done
	f.mu.Unlock()
	if done == nil {
		return
	}
	joined := rec // of its own, so that rec costs nothing where nobody has joined
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
