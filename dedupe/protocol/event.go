package protocol

import "time"

// Terms are the rules that an attempt plays by. All workers on one scope
// should agree on Skew.
type Terms struct {
	Lease       time.Duration // how long a claim or renewal holds the name
	Skew        time.Duration // the largest difference between two workers' clocks
	Window      time.Duration // how long a record counts after its last write
	MaxAttempts int           // attempts before a retryable failure becomes a rejection
	Hold        bool          // park attempts of unknown outcome instead of running them again
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
	RedriveOrder bool // the message was redriven from a dead-letter queue: it may reopen a rejected name once
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
	LastDelivery bool   // the message will not be delivered again, so a retryable failure is final
}

// Release frees the name of an attempt that was stopped before its outcome
// mattered. The attempt is not counted.
type Release struct {
	Now   time.Time
	Owner Token
	Terms Terms
}

// Leave ends an attempt whose work may still run elsewhere. The name stays held by
// the same owner until that work must be over: no renewal is needed, and no other
// attempt starts before Until.
type Leave struct {
	Now     time.Time
	Owner   Token
	Terms   Terms
	Number  int       // of the attempt: [Record].Attempts after its claim
	Until   time.Time // end of the time that the work has; becomes the end of the lease
	Counted bool      // whether the attempt counts
	Error   string    // cut to [MaxErrorBytes]
}

// Reopen is an operator's order to run a name again that is rejected, unknown, or held
// by an attempt whose lease has lapsed.
type Reopen struct {
	Now   time.Time
	By    string // the operator, as the record names them; cut to 256 bytes
	Terms Terms
}

// Resolve is an operator's statement that the work of a name was done that is unknown,
// or held by an attempt whose lease has lapsed.
type Resolve struct {
	Now        time.Time
	By         string // as in [Reopen]
	Terms      Terms
	Result     []byte
	ResultType string
}

// Forget is an operator's order to treat the name as never seen. A live lease
// is forgotten only with Force.
type Forget struct {
	Now   time.Time
	By    string // as in [Reopen]
	Terms Terms
	Force bool
}

// Import is an operator's statement that the work of a name was done elsewhere, before
// anything was recorded here. A name with a record that counts stays as it is.
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
