package dynamo

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// ErrMalformed is wrapped when an item is not a record, because another program has written it.
var ErrMalformed = errors.New("malformed item")

// unreadable is the status of a record that could not be decoded. The protocol leaves records with
// an unknown status alone.
const unreadable protocol.Status = "UNREADABLE"

type item = map[string]types.AttributeValue

// columns lists the attributes of a record except its key, in the order of a statement's
// parameters.
var columns = [...]string{
	colName: AttrName, colStatus: AttrStatus, colOwner: AttrOwner, colResultType: AttrResultType,
	colError: AttrError, colMessageID: AttrMessageID, colReopenedBy: AttrReopenedBy, colOperated: AttrOperated,
	colFormat: AttrFormat, colVersion: AttrVersion, colFence: AttrFence, colLeaseUntil: AttrLeaseUntil,
	colAttempts: AttrAttempts, colCreatedAt: AttrCreatedAt, colCompletedAt: AttrCompletedAt, colTTL: AttrTTL,
	colFingerprint: AttrFingerprint, colResult: AttrResult,
}

// Texts first, then numbers. These are indexes into the fields of row.
const (
	colName = iota
	colStatus
	colOwner
	colResultType
	colError
	colMessageID
	colReopenedBy
	colOperated
	colFormat // the first number
	colVersion
	colFence
	colLeaseUntil
	colAttempts
	colCreatedAt
	colCompletedAt
	colTTL
	colFingerprint
	colResult
)

// row holds the attribute values of a record before they are encoded as JSON or as an item of the
// SDK. A row has a value for every column: an unset field is an empty text, zero or no bytes.
// DynamoDB accepts empty strings and empty binary values in attributes that are not keys:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
type row struct {
	id      string
	texts   [colFormat]string // without the owner
	owner   protocol.Token
	numbers [colFingerprint - colFormat]int64 // from colFormat on
	print   protocol.Fingerprint
	result  []byte

	attention string // key of the record's entry in the list; empty if it has none
}

// encode returns the row of r. It returns an error if a required field is missing. A record without
// an expiry would be kept for ever: 0 is a time more than five years in the past, which DynamoDB's
// time to live ignores.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
func encode(r protocol.Record) (row, error) {
	w := row{id: r.ID, owner: r.Owner, print: r.Fingerprint, result: r.Result}
	w.texts = [colFormat]string{
		colName: r.Name, colStatus: string(r.Status), colResultType: storedType(r.ResultType),
		colError: r.Error, colMessageID: r.MessageID, colReopenedBy: r.ReopenedBy, colOperated: r.Operated,
	}
	w.numbers = [...]int64{
		int64(r.Format), int64(r.Version), int64(r.Fence), millis(r.LeaseUntil),
		int64(r.Attempts), millis(r.CreatedAt), millis(r.CompletedAt), secondsUp(r.ExpiresAt),
	}
	if r.Status.NeedsAttention() {
		w.attention = attentionKey(r.ID, r.Status)
	}
	return w, w.complete()
}

// complete returns an error that names the first missing field.
func (w *row) complete() error {
	var field string
	var value any
	switch number := func(col int) int64 { return w.numbers[col-colFormat] }; {
	case w.id == "":
		field, value = AttrID, `""`
	case w.texts[colName] == "":
		field, value = AttrName, `""`
	case w.texts[colStatus] == "":
		field, value = AttrStatus, `""`
	case number(colFormat) <= 0:
		field, value = AttrFormat, number(colFormat)
	case number(colVersion) <= 0:
		field, value = AttrVersion, number(colVersion)
	case number(colAttempts) < 0:
		field, value = AttrAttempts, number(colAttempts)
	case number(colTTL) <= 0:
		field, value = AttrTTL, number(colTTL)
	default:
		return nil
	}
	return fmt.Errorf("dynamo: write %q: %w: %w: %s is %v", w.id, dedupe.ErrUnavailable, errIncomplete, field, value)
}

// errIncomplete is wrapped for a record without a required field.
var errIncomplete = fmt.Errorf("%w: the record is incomplete", ErrInvalid)

// value returns the value of a column. [row.append] writes the same value as JSON.
func (w *row) value(col int) types.AttributeValue {
	switch {
	case col == colOwner && w.owner == protocol.Token{}:
		return &types.AttributeValueMemberS{}
	case col == colOwner:
		return &types.AttributeValueMemberS{Value: hex.EncodeToString(w.owner[:])}
	case col < colFormat:
		return &types.AttributeValueMemberS{Value: w.texts[col]}
	case col < colFingerprint:
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(w.numbers[col-colFormat], 10)}
	case col == colFingerprint && w.print == protocol.Fingerprint{}:
		return &types.AttributeValueMemberB{Value: []byte{}}
	case col == colFingerprint:
		return &types.AttributeValueMemberB{Value: w.print[:]}
	case utf8.Valid(w.result):
		return &types.AttributeValueMemberS{Value: string(w.result)}
	default:
		return &types.AttributeValueMemberB{Value: w.result}
	}
}

// listed returns the keys of the record's entry in the list.
func (w *row) listed() (key, at types.AttributeValue) {
	return &types.AttributeValueMemberS{Value: w.attention}, w.value(colVersion)
}

// item returns the record as an item for PutItem and TransactWriteItems.
func (w *row) item() item {
	it := make(item, len(columns)+1)
	it[AttrID] = &types.AttributeValueMemberS{Value: w.id}
	for col, name := range columns {
		it[name] = w.value(col)
	}
	if w.attention != "" {
		it[AttrAttention], it[AttrAttentionAt] = w.listed()
	}
	return it
}

// decode returns the record in an item. For an item that is not a record it returns an error, and a
// record that the protocol leaves alone.
func decode(it item) (protocol.Record, error) {
	if len(it) == 0 {
		return protocol.Record{}, nil
	}
	if format, newer := newerFormat(it); newer {
		r := leaveAlone(it)
		r.Format = format
		return r, nil // a newer release may have changed the meaning of the other attributes
	}
	a := reader{it: it}
	r := protocol.Record{
		ID: a.text(AttrID), Name: a.text(AttrName), Format: int(a.number(AttrFormat)),
		Status: protocol.Status(a.text(AttrStatus)), Version: protocol.Version(a.number(AttrVersion)),
		Fence: protocol.Version(a.number(AttrFence)), Attempts: int(a.number(AttrAttempts)),
		LeaseUntil: fromMillis(a.number(AttrLeaseUntil)), CreatedAt: fromMillis(a.number(AttrCreatedAt)),
		CompletedAt: fromMillis(a.number(AttrCompletedAt)), ExpiresAt: fromSeconds(a.number(AttrTTL)),
		Error: a.text(AttrError), MessageID: a.text(AttrMessageID), ReopenedBy: a.text(AttrReopenedBy),
		Operated: a.text(AttrOperated),
	}
	_, r.Listed = it[AttrAttention]
	ownerText, fingerprint, resultType := a.text(AttrOwner), a.bytes(AttrFingerprint), a.text(AttrResultType)
	if a.err != nil {
		return leaveAlone(it), fmt.Errorf("%w: %w", ErrMalformed, a.err)
	}
	if r.Version <= 0 || r.Format <= 0 || r.Attempts < 0 || r.Status == "" {
		return leaveAlone(it), fmt.Errorf("%w: %q has version %d, format %d, status %q and %d attempts",
			ErrMalformed, r.ID, r.Version, r.Format, r.Status, r.Attempts)
	}
	owner, err := hex.DecodeString(ownerText)
	if err != nil || len(owner) != 0 && len(owner) != len(r.Owner) {
		return leaveAlone(it), fmt.Errorf("%w: %q has owner %q", ErrMalformed, r.ID, ownerText)
	}
	copy(r.Owner[:], owner)
	if n := len(fingerprint); n != 0 && n != len(r.Fingerprint) {
		return leaveAlone(it), fmt.Errorf("%w: %q has a fingerprint of %d bytes", ErrMalformed, r.ID, n)
	}
	copy(r.Fingerprint[:], fingerprint)
	if r.Result, r.ResultType, err = decodeResult(it[AttrResult], resultType); err != nil {
		return leaveAlone(it), fmt.Errorf("%w: result of %q: %w", ErrMalformed, r.ID, err)
	}
	return r, nil
}

// newerFormat reports whether a newer release has written the item.
func newerFormat(it item) (format int, newer bool) {
	n, ok := it[AttrFormat].(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	format, err := strconv.Atoi(n.Value)
	return format, err == nil && format > protocol.Format
}

// reader reads the attributes of an item. It converts nothing, because a record must be read
// exactly as it was written. A missing attribute is the zero value.
type reader struct {
	it  item
	err error // of the first attribute that has another type
}

func (r *reader) text(name string) string {
	switch v := r.it[name].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		r.refuse(name, fmt.Errorf("is a %T", v))
	}
	return ""
}

func (r *reader) number(name string) int64 {
	switch v := r.it[name].(type) {
	case nil:
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err != nil {
			r.refuse(name, err)
		}
		return n
	default:
		r.refuse(name, fmt.Errorf("is a %T", v))
	}
	return 0
}

func (r *reader) bytes(name string) []byte {
	switch v := r.it[name].(type) {
	case nil:
	case *types.AttributeValueMemberB:
		return v.Value
	default:
		r.refuse(name, fmt.Errorf("is a %T", v))
	}
	return nil
}

func (r *reader) refuse(name string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%q: %w", name, err)
	}
}

// leaveAlone returns a record for an item that cannot be decoded. The protocol neither acts on it
// nor overwrites it.
func leaveAlone(it item) protocol.Record {
	return protocol.Record{
		ID: text(it[AttrID]), Name: text(it[AttrName]),
		Format: protocol.Format, Status: unreadable, Version: 1,
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// secondsUp rounds up, because a record must not expire early.
func secondsUp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Second - 1).Unix()
}

func fromSeconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}
