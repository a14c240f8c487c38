package protocol

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Verdict is the decision of [Step].
type Verdict uint8

// The verdicts. If the version of the returned record differs from that of the given record, the
// caller must write it before acting on the verdict.
const (
	VerdictApply      Verdict = iota // write the record and go on; an unchanged version means it is stored already
	VerdictReplay                    // completed: use the recorded result
	VerdictWait                      // another attempt holds the name until LeaseUntil
	VerdictLost                      // the attempt no longer owns the name, or the status does not allow the event
	VerdictMismatch                  // same name, different payload
	VerdictRejected                  // REJECTED earlier
	VerdictExhausted                 // no attempt left; the returned record is REJECTED
	VerdictUnknown                   // outcome unknown; the returned record is UNKNOWN
	VerdictUnreadable                // written by a newer release or another program: do not write
)

// Step is the protocol: given the stored record and an event, it returns the record to write and
// the verdict. It is pure and total. All decisions about a name are made here. The zero Record
// stands for an absent one.
//
// After a lost answer an attempt recognises its own write by its owner token: on a conflict, pass
// the stored record and the same event to Step again. [VerdictApply] with an unchanged version
// means that the write had already happened.
func Step(r Record, e Event) (Record, Verdict) {
	if !r.Readable() {
		return r, VerdictUnreadable
	}
	switch e := e.(type) {
	case Claim:
		return stepClaim(r, e)
	case Renew:
		return stepRenew(r, e)
	case Complete:
		return stepComplete(r, e)
	case Fail:
		return stepFail(r, e)
	case Release:
		return stepRelease(r, e)
	case Leave:
		return stepLeave(r, e)
	case Reopen:
		return stepReopen(r, e)
	case Resolve:
		return stepResolve(r, e)
	case Forget:
		return stepForget(r, e)
	case Import:
		return stepImport(r, e)
	default:
		return r, VerdictUnreadable
	}
}

// Readable reports whether this release knows the format and the status of r.
func (r Record) Readable() bool {
	switch r.Status {
	case "", InProgress, Completed, Retrying, Rejected, Unknown, Forgotten:
		return r.Format <= Format
	default:
		return false
	}
}

func stepClaim(r Record, c Claim) (Record, Verdict) {
	// The order of these cases is the protocol; see DESIGN.md.
	order := c.RedriveOrder && c.MessageID != r.ReopenedBy
	switch {
	case r.Status == InProgress && r.OwnedBy(c.Owner):
		return r, VerdictApply // our own claim, whose answer was lost
	case !r.Live(c.Now, c.Terms.Skew):
		operated := "" // an expired record's verb is dropped
		if r.Status == Forgotten {
			operated = r.Operated
		}
		return claimed(Record{Version: r.Version, Operated: operated, Listed: r.Listed}, c), VerdictApply
	case order && r.Status == Rejected:
		return claimed(Record{Version: r.Version, CreatedAt: r.CreatedAt, Error: r.Error, Operated: r.Operated, Listed: r.Listed}, c), VerdictApply
	case r.Fingerprint.Differs(c.Fingerprint):
		return refused(r, c), VerdictMismatch
	}
	switch r.Status {
	case Completed:
		return refused(r, c), VerdictReplay
	case Rejected:
		return refused(r, c), VerdictRejected
	case Unknown:
		return refused(r, c), VerdictUnknown
	case InProgress:
		if !r.leaseLapsed(c.Now, c.Terms.Skew) {
			return refused(r, c), VerdictWait
		}
		if c.Terms.Hold {
			// The owner stays, so that the lapsed attempt may still complete the name.
			next := settled(r, c.Now, c.Terms, Unknown)
			next.Error = "the attempt's lease lapsed without an outcome"
			next.ReopenedBy = spent(r, c)
			return next, VerdictUnknown
		}
	case "", Retrying, Forgotten: // the name is free
	}
	if r.Attempts >= c.Terms.MaxAttempts {
		next := settled(r, c.Now, c.Terms, Rejected)
		if next.Error == "" {
			next.Error = "the last attempt's lease lapsed without an outcome"
		}
		next.ReopenedBy = spent(r, c)
		return next, VerdictExhausted
	}
	return claimed(r, c), VerdictApply
}

// refused returns r after a claim that starts no attempt. A claim without a redrive order leaves r
// unchanged. A redrive order is spent even so: otherwise it could reopen the name after a later
// rejection, which the redrive was not meant to undo.
func refused(r Record, c Claim) Record {
	if spent(r, c) == r.ReopenedBy {
		return r
	}
	next := r
	next.ReopenedBy = c.MessageID
	next.Version = nextVersion(r, c.Now)
	next.ExpiresAt = expiry(c.Now, r.LeaseUntil, c.Terms.Window)
	return next
}

// OwnedBy reports whether r belongs to attempt t. The zero token owns nothing.
func (r Record) OwnedBy(t Token) bool { return t != Token{} && r.Owner == t }

// claimed returns r with a new attempt begun on it.
func claimed(r Record, c Claim) Record {
	v := nextVersion(r, c.Now)
	next := Record{
		ID: c.ID, Name: c.Name, Format: Format,
		Status: InProgress, Version: v, Fence: v, Owner: c.Owner,
		LeaseUntil:  milli(c.Now.Add(c.Terms.Lease)),
		Attempts:    r.Attempts + 1,
		Fingerprint: c.Fingerprint,
		Error:       r.Error,
		MessageID:   c.MessageID,
		ReopenedBy:  spent(r, c),
		CreatedAt:   r.CreatedAt,
		Operated:    r.Operated,
		Listed:      r.Listed,
	}
	if next.Fingerprint == (Fingerprint{}) {
		next.Fingerprint = r.Fingerprint
	}
	if next.CreatedAt.IsZero() {
		next.CreatedAt = milli(c.Now)
	}
	next.ExpiresAt = expiry(c.Now, next.LeaseUntil, c.Terms.Window)
	return next
}

// spent returns [Record].ReopenedBy as it is after the claim: a redrive order's message id replaces
// the previous one.
func spent(r Record, c Claim) string {
	if c.RedriveOrder {
		return c.MessageID
	}
	return r.ReopenedBy
}

func stepRenew(r Record, e Renew) (Record, Verdict) {
	if r.Status != InProgress || !r.OwnedBy(e.Owner) {
		return r, VerdictLost
	}
	next := r
	next.Version = nextVersion(r, e.Now)
	next.LeaseUntil = milli(e.Now.Add(e.Terms.Lease))
	next.ExpiresAt = expiry(e.Now, next.LeaseUntil, e.Terms.Window)
	return next, VerdictApply
}

func stepComplete(r Record, e Complete) (Record, Verdict) {
	switch {
	case !r.OwnedBy(e.Owner):
		return r, VerdictLost
	case r.Status == Completed:
		return r, VerdictApply // our own write, whose answer was lost
	case r.Status != InProgress && r.Status != Unknown:
		return r, VerdictLost
	}
	return completed(r, e.Now, e.Terms, e.Result, e.ResultType), VerdictApply
}

func stepFail(r Record, e Fail) (Record, Verdict) {
	if !r.OwnedBy(e.Owner) {
		return r, VerdictLost
	}
	to := failed(r, e)
	switch r.Status {
	case to:
		return r, VerdictApply // our own write, whose answer was lost
	case InProgress:
		next := settled(r, e.Now, e.Terms, to)
		next.Error = cut(e.Error, MaxErrorBytes)
		return next, VerdictApply
	case Completed:
		return r, VerdictReplay // this attempt completed: a commit that seemed to fail was applied
	default:
		return r, VerdictLost
	}
}

// failed returns the status that a failure leads to.
func failed(r Record, e Fail) Status {
	switch {
	case e.Kind == FailUnknown:
		return Unknown
	case e.Kind == FailPermanent, e.LastDelivery, r.Attempts >= e.Terms.MaxAttempts:
		return Rejected
	default:
		return Retrying
	}
}

func stepRelease(r Record, e Release) (Record, Verdict) {
	switch {
	case !r.OwnedBy(e.Owner):
		return r, VerdictLost
	case r.Status == Retrying:
		return r, VerdictApply // our own write, whose answer was lost
	case r.Status == Completed:
		return r, VerdictReplay // as in stepFail
	case r.Status != InProgress:
		return r, VerdictLost
	}
	next := settled(r, e.Now, e.Terms, Retrying)
	next.Attempts = max(0, r.Attempts-1)
	next.Error = ""
	return next, VerdictApply
}

func stepLeave(r Record, e Leave) (Record, Verdict) {
	until, text := milli(e.Until), cut(e.Error, MaxErrorBytes)
	left := e.Number // the attempt count after this event
	if !e.Counted {
		left = max(0, e.Number-1)
	}
	switch {
	case !r.OwnedBy(e.Owner):
		return r, VerdictLost
	case r.Status == Completed:
		return r, VerdictReplay // as in stepFail
	case r.Status != InProgress:
		return r, VerdictLost
	case r.LeaseUntil.Equal(until) && r.Error == text && r.Attempts == left:
		// Our own write, whose answer was lost. Error and Attempts are compared too, because the
		// lease of a claim may end at the same millisecond.
		return r, VerdictApply
	}
	next := r
	next.Version = nextVersion(r, e.Now)
	next.LeaseUntil, next.Error = until, text
	next.Attempts = left
	next.ExpiresAt = expiry(e.Now, until, e.Terms.Window)
	return next, VerdictApply
}

func stepReopen(r Record, e Reopen) (Record, Verdict) {
	if !r.Live(e.Now, e.Terms.Skew) {
		return r, VerdictLost
	}
	switch {
	case r.Status == Rejected, r.Status == Unknown, r.Status == InProgress && r.leaseLapsed(e.Now, e.Terms.Skew):
		next := settled(r, e.Now, e.Terms, Retrying)
		next.Attempts, next.Owner, next.Fence = 0, Token{}, next.Version
		next.Fingerprint = Fingerprint{} // the next claim brings its own
		next.Operated = Operated("reopen", e.By, e.Now)
		return next, VerdictApply
	case r.Status == Retrying:
		return r, VerdictApply
	case r.Status == Completed:
		return r, VerdictReplay
	default:
		return r, VerdictWait
	}
}

func stepResolve(r Record, e Resolve) (Record, Verdict) {
	if !r.Live(e.Now, e.Terms.Skew) {
		return r, VerdictLost
	}
	switch {
	case r.Status == Unknown, r.Status == InProgress && r.leaseLapsed(e.Now, e.Terms.Skew):
		next := completed(r, e.Now, e.Terms, e.Result, e.ResultType)
		next.Owner, next.Fence = Token{}, next.Version
		next.Operated = Operated("resolve", e.By, e.Now)
		return next, VerdictApply
	case r.Status == Completed:
		return r, VerdictApply
	case r.Status == Rejected:
		return r, VerdictRejected
	case r.Status == InProgress:
		return r, VerdictWait
	default:
		return r, VerdictLost
	}
}

func stepForget(r Record, e Forget) (Record, Verdict) {
	switch {
	case r.Status == "" || r.Status == Forgotten:
		return r, VerdictApply
	case r.Status == InProgress && !r.leaseLapsed(e.Now, e.Terms.Skew) && !e.Force:
		return r, VerdictWait
	}
	v := nextVersion(r, e.Now)
	return Record{
		ID: r.ID, Name: r.Name, Format: Format, Status: Forgotten,
		Version: v, Fence: v, CreatedAt: r.CreatedAt, Operated: Operated("forget", e.By, e.Now), Listed: r.Listed,
		ExpiresAt: expiry(e.Now, time.Time{}, e.Terms.Window),
	}, VerdictApply
}

func stepImport(r Record, e Import) (Record, Verdict) {
	switch {
	case r.Live(e.Now, e.Terms.Skew) && r.Status == Completed:
		return r, VerdictReplay
	case r.Live(e.Now, e.Terms.Skew):
		return r, VerdictWait
	}
	next := Record{ID: e.ID, Name: e.Name, Format: Format, Version: r.Version, CreatedAt: milli(e.Now), Listed: r.Listed}
	next = completed(next, e.Now, e.Terms, []byte("null"), "")
	next.Fence = next.Version
	next.Operated = Operated("import", e.By, e.Now)
	return next, VerdictApply
}

// settled returns r with its attempt ended in the given status.
func settled(r Record, now time.Time, t Terms, to Status) Record {
	r.Status = to
	r.Version = nextVersion(r, now)
	r.LeaseUntil = time.Time{}
	r.ExpiresAt = expiry(now, time.Time{}, t.Window)
	return r
}

// completed returns r settled with a result.
func completed(r Record, now time.Time, t Terms, result []byte, resultType string) Record {
	next := settled(r, now, t, Completed)
	next.Result, next.ResultType = result, resultType
	next.Error = ""
	next.CompletedAt = milli(now)
	return next
}

// nextVersion returns a version above r's that is at least the clock in milliseconds. Versions
// therefore keep rising after the store has removed the record.
func nextVersion(r Record, now time.Time) Version {
	return max(r.Version+1, Version(now.UnixMilli()))
}

// milli returns t at the precision of the record.
func milli(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// expiry returns when a record written now expires: one window after now, or after the end of the
// lease if that is later. It is in whole seconds, as DynamoDB's time to live needs, and rounded up.
func expiry(now, leaseUntil time.Time, window time.Duration) time.Time {
	if leaseUntil.After(now) {
		now = leaseUntil
	}
	return time.Unix(now.Add(window+time.Second-1).Unix(), 0).UTC()
}

// cut bounds s to n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
