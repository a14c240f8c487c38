package dynamo

import (
	"sync"
	"sync/atomic"
)

// Number of refusals that prove that a server refuses batches but accepts the same writes one by
// one.
const (
	maxFormRefusals = 3 // members of one form in a row
	maxCallRefusals = 5 // whole calls in a row
)

// form is one of the statement texts.
type form uint8

const (
	formInsert form = iota
	formUpdate      // keeps the keys of the list
	formList        // sets the keys of the list
	forms           // number of forms
)

// refusal is the reason for which a write of a batch must be sent again alone: the server did not
// accept the batch, or this member.
type refusal struct {
	err     error
	scope   refusalScope
	form    form        // of a member
	counted atomic.Bool // of a call, whose members share the refusal; it counts once
}

type refusalScope uint8

const (
	refusedMember refusalScope = iota // the server may not accept its form
	refusedCall                       // one of its members may be the cause
	refusedAction                     // no permission for batches, or no such operation
)

// refusals decides whether the server refuses batches for good. A single refusal proves nothing,
// because an invalid record is refused in any batch and can fail a whole call. So only a write that
// is accepted alone afterwards counts, and any accepted write in a batch clears the count. The zero
// value is ready for use. It is safe for concurrent use.
type refusals struct {
	mu      sync.Mutex
	forms   [forms]int // guarded by mu; members of that form in a row that were refused, then accepted alone
	calls   int        // guarded by mu; whole calls in a row that failed, while a single write was accepted
	suspect bool       // guarded by mu; the last call failed inconclusively, so a single write is the next probe
}

// acceptedInBatch records a member of a batch that the server has executed.
func (r *refusals) acceptedInBatch(f form) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forms[f], r.calls, r.suspect = 0, 0, false
}

// callFailed records a batch without a conclusive answer: a server error, a timeout, or a broken
// connection.
func (r *refusals) callFailed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspect = true
}

// takeProbe reports whether the next write should be sent alone, to find out whether only batches
// fail. It returns true for one write.
func (r *refusals) takeProbe() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.suspect
	r.suspect = false
	return taken
}

// probed records the outcome of a probe. It reports whether batches are refused.
func (r *refusals) probed(accepted bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !accepted {
		r.suspect = true
		return false
	}
	r.calls++
	return r.calls >= maxCallRefusals
}

// acceptedAlone records that a write that was refused in a batch has been accepted alone. It
// reports whether batches are refused.
func (r *refusals) acceptedAlone(was *refusal) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch was.scope {
	case refusedAction:
		return true
	case refusedMember:
		r.forms[was.form]++
		return r.forms[was.form] >= maxFormRefusals
	default:
		if !was.counted.Swap(true) {
			r.calls++
		}
		return r.calls >= maxCallRefusals
	}
}
