package dynamo

import (
	"sync"
	"sync/atomic"
)

// How much evidence shows that a server refuses batches, while it accepts the
// same writes one by one.
const (
	maxFormRefusals = 3 // members of one form in a row
	maxCallRefusals = 5 // whole calls in a row
)

// form is one of the statement texts.
type form uint8

const (
	formInsert form = iota
	formUpdate      // leaves the keys of the list as they are
	formList        // sets them
	forms           // how many there are
)

// refusal is why a write of a batch has to be sent again alone: the server did
// not accept the batch, or this member.
type refusal struct {
	err     error
	scope   refusalScope
	form    form        // of a member
	counted atomic.Bool // of a call, whose members share the refusal: it counts once
}

type refusalScope uint8

const (
	refusedMember refusalScope = iota // its form may be wrong for this server
	refusedCall                       // one of its members may be at fault
	refusedAction                     // no permission for batches, or no such operation
)

// refusals weigh whether batches are refused for good. One refusal proves
// nothing: a record that is not acceptable is refused in a batch, and one such
// member can fail a whole call. So only a write that is accepted alone
// afterwards counts, and any acceptance in a batch clears the count. The zero
// value is ready; safe for concurrent use.
type refusals struct {
	mu      sync.Mutex
	forms   [forms]int // guarded by mu; members of that form in a row, refused, then accepted alone
	calls   int        // guarded by mu; whole calls in a row that failed, while a write alone was accepted
	suspect bool       // guarded by mu; the last call failed without a verdict: probe with a write alone
}

// acceptedInBatch notes a member of a batch that the server has executed.
func (r *refusals) acceptedInBatch(f form) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forms[f], r.calls, r.suspect = 0, 0, false
}

// callFailed notes a batch that failed without a verdict: a server error, a
// time-out, a broken connection.
func (r *refusals) callFailed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspect = true
}

// takeProbe reports whether the next write should go alone, to learn whether
// the trouble is with batches only. One write takes it.
func (r *refusals) takeProbe() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.suspect
	r.suspect = false
	return taken
}

// probed notes how a probe went, and reports whether batches are refused.
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

// acceptedAlone notes that a write which was refused in a batch has been
// accepted alone, and reports whether batches are refused.
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
