package dedupe

import "github.com/sqsonce/sqsonce/dedupe/protocol"

// These names moved to package protocol and go away with the next change; use
// that package.
type (
	Record      = protocol.Record
	Status      = protocol.Status
	Version     = protocol.Version
	Token       = protocol.Token
	Fingerprint = protocol.Fingerprint
	Terms       = protocol.Terms
	Verdict     = protocol.Verdict
	Event       = protocol.Event
	Claim       = protocol.Claim
	Renew       = protocol.Renew
	Complete    = protocol.Complete
	FailKind    = protocol.FailKind
	Fail        = protocol.Fail
	Release     = protocol.Release
	Reopen      = protocol.Reopen
	Resolve     = protocol.Resolve
	Forget      = protocol.Forget
)

// As above.
const (
	Format        = protocol.Format
	MaxNameBytes  = protocol.MaxNameBytes
	MaxErrorBytes = protocol.MaxErrorBytes

	InProgress = protocol.InProgress
	Completed  = protocol.Completed
	Retrying   = protocol.Retrying
	Rejected   = protocol.Rejected
	Unknown    = protocol.Unknown
	Forgotten  = protocol.Forgotten

	FailRetryable = protocol.FailRetryable
	FailPermanent = protocol.FailPermanent
	FailUnknown   = protocol.FailUnknown

	VerdictApply      = protocol.VerdictApply
	VerdictReplay     = protocol.VerdictReplay
	VerdictWait       = protocol.VerdictWait
	VerdictLost       = protocol.VerdictLost
	VerdictMismatch   = protocol.VerdictMismatch
	VerdictRejected   = protocol.VerdictRejected
	VerdictExhausted  = protocol.VerdictExhausted
	VerdictUnknown    = protocol.VerdictUnknown
	VerdictUnreadable = protocol.VerdictUnreadable
)

// ErrBadName is wrapped by every error of [protocol.CheckName].
var ErrBadName = protocol.ErrBadName

// Step is [protocol.Step].
func Step(r Record, e Event) (Record, Verdict) { return protocol.Step(r, e) }

// RecordID is [protocol.RecordID].
func RecordID(scope, name string) string { return protocol.RecordID(scope, name) }

// CheckName is [protocol.CheckName].
func CheckName(name string) error { return protocol.CheckName(name) }

// CheckScope is [protocol.CheckScope].
func CheckScope(scope string) error { return protocol.CheckScope(scope) }
