package protocol

import "time"

// Terms are the settings of an attempt. All workers on one scope must agree on Skew. The zero value
// has no defaults: package dedupe fills them in.
type Terms struct {
	Lease       time.Duration // lease of a claim or a renewal
	Skew        time.Duration // the largest difference between two workers' clocks
	Window      time.Duration // lifetime of a record after its last write, or after its lease if that is later
	MaxAttempts int           // attempts before a retryable failure becomes a rejection
	Hold        bool          // an attempt of unknown outcome makes the name UNKNOWN instead of retryable
}

// Event is something that happens to a record; see [Step]. The set is closed.
type Event interface{ isEvent() }

// Claim asks to start an attempt.
type Claim struct {
	Now   time.Time
	Owner Token // identity of the new attempt, random
	Terms Terms

	ID, Name     string
	Fingerprint  Fingerprint
	MessageID    string
	RedriveOrder bool // the message was redriven from a dead-letter queue and may reopen a rejected name once
}

// Renew extends the lease of a running attempt.
type Renew struct {
	Now   time.Time
	Owner Token
	Terms Terms
}

// Complete records that the work is done.
type Complete struct {
	Now        time.Time
	Owner      Token
	Terms      Terms
	Result     []byte // JSON, unless ResultType says otherwise
	ResultType string
}

// FailKind classifies a failure.
type FailKind uint8

// The kinds of failure.
const (
	FailRetryable FailKind = iota // another attempt may succeed
	FailPermanent                 // no attempt will succeed
	FailUnknown                   // the work may or may not have been done
)

// Fail records that an attempt failed.
type Fail struct {
	Now          time.Time
	Owner        Token
	Terms        Terms
	Kind         FailKind
	Error        string // cut to [MaxErrorBytes]
	LastDelivery bool   // the message has no receive left, so a retryable failure is final
}

// Release frees the name of an attempt that did not do its work, for instance because it was
// stopped. The attempt does not count.
type Release struct {
	Now   time.Time
	Owner Token
	Terms Terms
}

// Leave ends an attempt whose work may still run elsewhere. The lease of the same owner is set to
// end at Until, when that work must be over. It needs no renewal, and no other attempt starts
// before its end.
type Leave struct {
	Now     time.Time
	Owner   Token
	Terms   Terms
	Number  int       // of the attempt: [Record].Attempts after its claim
	Until   time.Time // deadline of the work elsewhere; becomes the end of the lease
	Counted bool      // whether the attempt counts
	Error   string    // cut to [MaxErrorBytes]
}

// Reopen is an operator's order to run a name again. The name must be REJECTED or UNKNOWN, or its
// lease must have lapsed.
type Reopen struct {
	Now   time.Time
	By    string // the operator's name, stored in [Record].Operated; cut to 256 bytes
	Terms Terms
}

// Resolve is an operator's statement that the work of a name was done. The name must be UNKNOWN, or
// its lease must have lapsed.
type Resolve struct {
	Now        time.Time
	By         string // as in [Reopen]
	Terms      Terms
	Result     []byte
	ResultType string
}

// Forget is an operator's order to treat the name as never seen. A name with a live lease is
// forgotten only with Force.
type Forget struct {
	Now   time.Time
	By    string // as in [Reopen]
	Terms Terms
	Force bool
}

// Import is an operator's statement that the work of a name was done before sqsonce was in use. A
// name with a live record stays unchanged.
type Import struct {
	Now   time.Time
	By    string // as in [Reopen]
	Terms Terms

	ID, Name string
}

func (Import) isEvent()   {}
func (Claim) isEvent()    {}
func (Renew) isEvent()    {}
func (Complete) isEvent() {}
func (Fail) isEvent()     {}
func (Release) isEvent()  {}
func (Leave) isEvent()    {}
func (Reopen) isEvent()   {}
func (Resolve) isEvent()  {}
func (Forget) isEvent()   {}
