package producerapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Record is a name's record for clients: all fields except the owner.
type Record struct {
	Name           string          `json:"name" minLength:"1" maxLength:"1024"`
	Status         protocol.Status `json:"status" enum:"IN_PROGRESS,COMPLETED,RETRYING,REJECTED,UNKNOWN,SCHEDULED" doc:"SCHEDULED: the name has no record yet, and its message is sent at scheduled_at."`
	ScheduledAt    time.Time       `json:"scheduled_at,omitzero"`
	Final          bool            `json:"final" doc:"True for COMPLETED, REJECTED and UNKNOWN. Only an operator can change a final status."`
	Attempts       int             `json:"attempts" minimum:"0" doc:"Number of started attempts, without released ones."`
	Version        int64           `json:"version" minimum:"0"`
	Fence          int64           `json:"fence,omitempty" minimum:"0" doc:"Fencing number of the latest attempt."`
	LeaseUntil     time.Time       `json:"lease_until,omitzero"`
	Fingerprint    string          `json:"fingerprint,omitempty" pattern:"^[0-9a-f]{74}$"`
	Result         json.RawMessage `json:"result,omitempty" doc:"Result of the handler; a string if result_type is not JSON."`
	ResultType     string          `json:"result_type,omitempty"`
	ResultEncoding string          `json:"result_encoding,omitempty" enum:"base64" doc:"Set for a result that is neither JSON nor text."`
	Error          string          `json:"error,omitempty" doc:"The last failure."`
	MessageID      string          `json:"message_id,omitempty"`
	ReopenedBy     string          `json:"reopened_by,omitempty"`
	LastVerb       *LastVerb       `json:"last_verb,omitempty" doc:"An operator's last verb on the name."`
	CreatedAt      time.Time       `json:"created_at,omitzero"`
	CompletedAt    time.Time       `json:"completed_at,omitzero"`
	ExpiresAt      time.Time       `json:"expires_at,omitzero"`
}

// LastVerb is an operator's last action on a name.
type LastVerb struct {
	Verb string    `json:"verb" enum:"reopen,resolve,forget,import"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// view returns a record for clients.
func view(r protocol.Record) Record {
	v := Record{
		Name: r.Name, Status: r.Status, Final: r.Status.Final(), Attempts: r.Attempts,
		Version: int64(r.Version), Fence: int64(r.Fence),
		LeaseUntil: utc(r.LeaseUntil), CreatedAt: utc(r.CreatedAt), CompletedAt: utc(r.CompletedAt), ExpiresAt: utc(r.ExpiresAt),
		Error: r.Error, MessageID: r.MessageID, ReopenedBy: r.ReopenedBy, ResultType: r.ResultType,
	}
	if verb, by, at := r.LastVerb(); verb != "" {
		v.LastVerb = &LastVerb{verb, by, at}
	}
	if r.Fingerprint != (protocol.Fingerprint{}) {
		v.Fingerprint = hex.EncodeToString(r.Fingerprint[:])
	}
	switch {
	case len(r.Result) == 0:
	case (r.ResultType == "" || r.ResultType == protocol.OmittedType) && json.Valid(r.Result):
		v.Result = r.Result
	case utf8.Valid(r.Result):
		v.Result = quote(string(r.Result))
	default:
		v.Result, v.ResultEncoding = quote(base64.StdEncoding.EncodeToString(r.Result)), "base64"
	}
	return v
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil { // a string always encodes
		return nil
	}
	return b
}

// etag returns the record's entity tag, its version, which changes with every write.
func etag(r protocol.Record) string { return `"` + strconv.FormatInt(int64(r.Version), 10) + `"` }

// record reads a name's record. If there is no live record, it returns one with only the version,
// and the status FORGOTTEN of a forgotten name. The error is a [*problem].
func (a *API) record(ctx context.Context, name string) (protocol.Record, error) {
	r, err := a.stored(ctx, name)
	if err != nil {
		return r, err
	}
	if !r.Live(time.Now(), a.cfg.Skew) {
		// deduplicationID needs the version.
		return protocol.Record{Version: r.Version, Status: tombstone(r)}, nil
	}
	return r, nil
}

func tombstone(r protocol.Record) protocol.Status {
	if r.Status == protocol.Forgotten {
		return protocol.Forgotten
	}
	return ""
}

// stored reads a name's record, live or not. The error is a [*problem].
func (a *API) stored(ctx context.Context, name string) (protocol.Record, error) {
	r, err := a.cfg.Records.Get(ctx, protocol.RecordID(a.cfg.Scope, name))
	if err != nil {
		return r, unavailable("the record could not be read", err)
	}
	switch r.Status {
	case "", protocol.InProgress, protocol.Completed, protocol.Retrying, protocol.Rejected, protocol.Unknown, protocol.Forgotten:
	default:
		return r, unavailable("the record was not written by this release", dedupe.ErrUnreadable)
	}
	if r.Format > protocol.Format {
		return r, unavailable("the record was written by a newer release", dedupe.ErrUnreadable)
	}
	return r, nil
}
