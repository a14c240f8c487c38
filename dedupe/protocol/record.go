package protocol

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is the record layout this package writes. A record with a higher
// format was written by a newer release; [Step] refuses to act on it.
const Format = 1

// Limits of the texts in a record.
const (
	// MaxNameBytes bounds a name, in bytes of UTF-8.
	MaxNameBytes = 1 << 10
	// MaxScopeBytes bounds a scope: with a name it is the key of an item, which
	// DynamoDB bounds at 2,048 bytes.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
	MaxScopeBytes = 2<<10 - MaxNameBytes - len("#")
	// MaxErrorBytes bounds the stored text of the last failure.
	MaxErrorBytes = 1 << 10
)

// OmittedType is the ResultType of a marker that stands for a result which
// could not be stored. Its data is a JSON object with "omitted" (why), "size"
// in bytes, and "sha256" in hex.
const OmittedType = "application/vnd.sqsonce.omitted+json"

// Status is where a name stands. The zero value means that no record exists.
type Status string

// The statuses of a record. Completed, Rejected and Unknown are final.
const (
	InProgress Status = "IN_PROGRESS" // an attempt holds the name under a lease
	Completed  Status = "COMPLETED"   // done, with its result
	Retrying   Status = "RETRYING"    // the last attempt failed or was released; the name is free for the next one
	Rejected   Status = "REJECTED"    // failed for good
	Unknown    Status = "UNKNOWN"     // parked: the work may or may not have been done
	Forgotten  Status = "FORGOTTEN"   // an operator's tombstone: as if absent, but versions keep rising
)

// NeedsAttention reports whether a name with this status waits for something: the
// next attempt, or an operator.
func (s Status) NeedsAttention() bool { return s == Retrying || s == Rejected || s == Unknown }

// Final reports whether no further attempt starts unless an operator or a redrive asks for it.
func (s Status) Final() bool { return s == Completed || s == Rejected || s == Unknown }

// Version guards a record: it rises with every write, and a [Store] writes
// only over the version the writer has seen. Zero means absent. Versions are
// seeded with the clock in milliseconds, so that they keep rising after the
// store has removed an expired record.
type Version int64

// Token is the random identity of one attempt. The zero value identifies none.
type Token [16]byte

// Fingerprint identifies a payload: one byte of scheme, four bytes naming the
// expression it was taken over (zero: the whole body), 32 bytes of SHA-256.
// The zero value means that none was taken. Two fingerprints are comparable
// only when their first five bytes are equal.
type Fingerprint [37]byte

// Comparable reports whether f and g were taken the same way, so that a
// difference means a different payload.
func (f Fingerprint) Comparable(g Fingerprint) bool {
	return f[0] != 0 && [5]byte(f[:5]) == [5]byte(g[:5])
}

// Differs reports whether f and g are comparable and not equal.
func (f Fingerprint) Differs(g Fingerprint) bool { return f.Comparable(g) && f != g }

// Record is the state of one name: the lock while work is under way, and the
// outcome afterwards. The zero value is the absent record. Times have
// millisecond precision, except ExpiresAt, which has seconds, rounded up.
type Record struct {
	ID          string      // store key, see [RecordID]
	Name        string      // the message's name
	Format      int         // layout, see [Format]
	Status      Status      // empty: absent
	Version     Version     // rises with every write
	Fence       Version     // Version of the claim that started the current or last attempt
	Owner       Token       // identity of that attempt; never shown outside
	LeaseUntil  time.Time   // end of the lease; zero unless InProgress
	Attempts    int         // attempts started, less the released ones
	Fingerprint Fingerprint // of the payload that was claimed
	Result      []byte      // JSON, or opaque bytes when ResultType is set
	ResultType  string      // media type of Result; empty means JSON
	Error       string      // last failure, at most MaxErrorBytes
	MessageID   string      // message of the last claim
	ReopenedBy  string      // redriven message that last claimed this name
	CreatedAt   time.Time   // first claim
	CompletedAt time.Time   // zero until Completed
	ExpiresAt   time.Time   // when the record may be removed and counts as absent
	Operated    string      // an operator's last verb, see [Operated]; empty: none
	Listed      bool        // the stored record has an entry in a store's list; set by the store, kept by Step
}

// maxBy bounds the name of an operator, in bytes.
const maxBy = 256

// Operated returns the text under which a record keeps an operator's verb: what was
// done, when, and by whom.
func Operated(verb, by string, at time.Time) string {
	return verb + " " + milli(at).Format(time.RFC3339Nano) + " " + cut(by, maxBy)
}

// LastVerb returns the last verb of an operator on the name; the empty one when there
// was none.
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

// Live reports whether the record counts at the given time: it exists, is not a
// tombstone, and has not expired. A running attempt never expires before its
// lease has lapsed by more than skew.
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

// leaseLapsed reports whether a challenger may take over, by its own clock.
func (r Record) leaseLapsed(now time.Time, skew time.Duration) bool {
	return now.After(r.LeaseUntil.Add(skew))
}

// ErrBadName is wrapped by every error of [CheckName].
var ErrBadName = errors.New("bad name")

// CheckName returns nil when name is 1 to [MaxNameBytes] bytes of UTF-8
// without control characters, and an error wrapping [ErrBadName] otherwise.
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

// CheckScope returns nil when scope can prefix a name: 1 to [MaxScopeBytes] bytes
// of UTF-8 without the separator '#'.
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
