package protocol

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is the record layout that this package writes. A record with a higher format was written
// by a newer release; [Step] answers [VerdictUnreadable].
const Format = 1

// Limits of the texts in a record.
const (
	// MaxNameBytes bounds a name, in bytes of UTF-8.
	MaxNameBytes = 1 << 10
	// MaxScopeBytes bounds a scope, in bytes of UTF-8. Scope, "#" and name are the partition key of
	// an item, which DynamoDB bounds at 2,048 bytes:
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
	MaxScopeBytes = 2<<10 - MaxNameBytes - len("#")
	// MaxErrorBytes bounds the stored text of the last failure, in bytes of UTF-8.
	MaxErrorBytes = 1 << 10
)

// OmittedType is the ResultType of a marker that replaces a result which could not be stored. The
// marker is a JSON object with "omitted" (the reason), "size" in bytes, and "sha256" in hex.
const OmittedType = "application/vnd.sqsonce.omitted+json"

// Status is the state of a name. The zero value means that no record exists.
type Status string

// The statuses of a record. Completed, Rejected and Unknown are final.
const (
	InProgress Status = "IN_PROGRESS" // an attempt holds the name under a lease
	Completed  Status = "COMPLETED"   // done, with its result
	Retrying   Status = "RETRYING"    // the last attempt failed or was released; the name is free for the next one
	Rejected   Status = "REJECTED"    // failed for good
	Unknown    Status = "UNKNOWN"     // parked: the work may or may not have been done
	Forgotten  Status = "FORGOTTEN"   // an operator's tombstone: absent for claims, but versions keep rising
)

// NeedsAttention reports whether a name with this status waits for its next attempt or for an
// operator.
func (s Status) NeedsAttention() bool { return s == Retrying || s == Rejected || s == Unknown }

// Final reports whether no further attempt starts unless an operator or a redrive asks for it.
func (s Status) Final() bool { return s == Completed || s == Rejected || s == Unknown }

// Version counts the writes of a record. Every write raises it, and a store replaces a record only
// if the writer has seen its latest version. Zero means absent. A version is at least the writer's
// clock in milliseconds since 1970, so that versions keep rising after the store has removed an
// expired record.
type Version int64

// Token is the random identity of one attempt. The zero value belongs to no attempt.
type Token [16]byte

// Fingerprint identifies a payload: one byte of scheme, four bytes that identify the fingerprint
// expression (zero: the whole body), 32 bytes of SHA-256. The zero value means that no fingerprint
// was taken. Two fingerprints are comparable only if their first five bytes are equal.
type Fingerprint [37]byte

// Comparable reports whether f and g have the same scheme and expression. Only then does a
// difference mean a different payload.
func (f Fingerprint) Comparable(g Fingerprint) bool {
	return f[0] != 0 && [5]byte(f[:5]) == [5]byte(g[:5])
}

// Differs reports whether f and g are comparable and not equal.
func (f Fingerprint) Differs(g Fingerprint) bool { return f.Comparable(g) && f != g }

// Record is the state of one name: the lock while an attempt runs, and the outcome afterwards. The
// zero value is the absent record. Times have millisecond precision, except ExpiresAt, which is in
// whole seconds, rounded up.
type Record struct {
	ID          string      // store key, see [RecordID]
	Name        string      // the message's name
	Format      int         // layout, see [Format]
	Status      Status      // empty: absent
	Version     Version     // rises with every write
	Fence       Version     // Version of the claim that started the current or last attempt
	Owner       Token       // identity of that attempt; never shown outside
	LeaseUntil  time.Time   // end of the lease; zero unless InProgress
	Attempts    int         // attempts started, without the released ones
	Fingerprint Fingerprint // of the payload in the last claim that had one
	Result      []byte      // JSON, or opaque bytes when ResultType is set
	ResultType  string      // media type of Result; empty means JSON
	Error       string      // last failure, at most MaxErrorBytes
	MessageID   string      // message of the last claim
	ReopenedBy  string      // message of the last claim with a redrive order, which is spent
	CreatedAt   time.Time   // first claim
	CompletedAt time.Time   // zero until Completed
	ExpiresAt   time.Time   // from then on the record counts as absent, and the store may remove it
	Operated    string      // an operator's last verb, see [Operated]; empty: none
	Listed      bool        // the stored record has an entry in the store's list; set by the store, kept by Step
}

// maxBy bounds the name of an operator, in bytes.
const maxBy = 256

// Operated returns the text that [Record].Operated keeps for an operator's verb: verb, time and
// operator, separated by spaces. The operator is cut to 256 bytes.
func Operated(verb, by string, at time.Time) string {
	return verb + " " + milli(at).Format(time.RFC3339Nano) + " " + cut(by, maxBy)
}

// LastVerb returns the last verb of an operator on the name, such as "reopen", with its operator
// and time. All are empty if no operator has acted.
func (r Record) LastVerb() (verb, by string, at time.Time) {
	parts := strings.SplitN(r.Operated, " ", 3)
	if len(parts) != 3 {
		return "", "", time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, parts[1])
	if err != nil {
		return "", "", time.Time{}
	}
	return parts[0], parts[2], at
}

// RecordID returns the store key of a name in a scope, "scope#name".
func RecordID(scope, name string) string { return scope + "#" + name }

// Live reports whether the record is in force at the given time: it exists, is not a tombstone,
// and has not expired. The record of a running attempt does not expire before its lease has lapsed
// by more than skew.
func (r Record) Live(now time.Time, skew time.Duration) bool {
	switch {
	case r.Status == "" || r.Status == Forgotten:
		return false
	case r.Status == InProgress && !r.leaseLapsed(now, skew):
		return true
	default:
		return now.Before(r.ExpiresAt)
	}
}

// leaseLapsed reports whether another attempt, whose clock says now, may take over the name.
func (r Record) leaseLapsed(now time.Time, skew time.Duration) bool {
	return now.After(r.LeaseUntil.Add(skew))
}

// ErrBadName is wrapped by every error of [CheckName].
var ErrBadName = errors.New("bad name")

// CheckName returns nil if name is 1 to [MaxNameBytes] bytes of UTF-8 without control characters,
// and an error that wraps [ErrBadName] otherwise.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: name is empty", ErrBadName)
	case len(name) > MaxNameBytes:
		return fmt.Errorf("%w: name has %d bytes, more than %d", ErrBadName, len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: name %q is not valid UTF-8", ErrBadName, name)
	}
	if i := strings.IndexFunc(name, isControl); i >= 0 {
		return fmt.Errorf("%w: name %q has a control character at byte %d", ErrBadName, name, i)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// CheckScope returns nil if scope is 1 to [MaxScopeBytes] bytes of UTF-8 without the separator '#',
// and an error with the scope otherwise.
func CheckScope(scope string) error {
	if scope == "" || strings.Contains(scope, "#") {
		return fmt.Errorf("bad scope %q: must not be empty or contain '#'", scope)
	}
	if !utf8.ValidString(scope) {
		return fmt.Errorf("bad scope %q: is not valid UTF-8", scope)
	}
	if len(scope) > MaxScopeBytes {
		return fmt.Errorf("bad scope %.20q...: has %d bytes, more than %d", scope, len(scope), MaxScopeBytes)
	}
	return nil
}
