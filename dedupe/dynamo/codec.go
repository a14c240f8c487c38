package dynamo

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// ErrMalformed is wrapped when an item is not a record, because another program has written it.
var ErrMalformed = errors.New("malformed item")

// unreadable is the status of a record that could not be decoded. The protocol leaves records with
// an unknown status alone.
const unreadable protocol.Status = "UNREADABLE"

// attributes is the item without the result, whose type varies, as decoded by attributevalue.
type attributes struct {
	ID          string `dynamodbav:"id"`
	Name        string `dynamodbav:"name"`
	Format      int    `dynamodbav:"format"`
	Status      string `dynamodbav:"status"`
	Version     int64  `dynamodbav:"version"`
	Fence       int64  `dynamodbav:"fence,omitempty"`
	Owner       string `dynamodbav:"owner,omitempty"`
	LeaseUntil  int64  `dynamodbav:"lease_until,omitempty"`
	Attempts    int    `dynamodbav:"attempts"`
	Fingerprint []byte `dynamodbav:"fingerprint,omitempty"`
	ResultType  string `dynamodbav:"result_type,omitempty"`
	Error       string `dynamodbav:"error,omitempty"`
	MessageID   string `dynamodbav:"message_id,omitempty"`
	ReopenedBy  string `dynamodbav:"reopened_by,omitempty"`
	Operated    string `dynamodbav:"operated,omitempty"`
	CreatedAt   int64  `dynamodbav:"created_at,omitempty"`
	CompletedAt int64  `dynamodbav:"completed_at,omitempty"`
	ExpiresAt   int64  `dynamodbav:"expires_at,omitempty"`
}

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
	if err := checkTypes(it); err != nil {
		return leaveAlone(it), err
	}
	var a attributes
	if err := attributevalue.UnmarshalMap(it, &a); err != nil {
		return leaveAlone(it), fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r := protocol.Record{
		ID: a.ID, Name: a.Name, Format: a.Format, Status: protocol.Status(a.Status),
		Version: protocol.Version(a.Version), Fence: protocol.Version(a.Fence), Attempts: a.Attempts,
		LeaseUntil: fromMillis(a.LeaseUntil), CreatedAt: fromMillis(a.CreatedAt), CompletedAt: fromMillis(a.CompletedAt),
		ExpiresAt: fromSeconds(a.ExpiresAt), Error: a.Error, MessageID: a.MessageID, ReopenedBy: a.ReopenedBy, Operated: a.Operated,
	}
	_, r.Listed = it[AttrAttention]
	if a.Version <= 0 || a.Format <= 0 || a.Attempts < 0 || a.Status == "" {
		return leaveAlone(it), fmt.Errorf("%w: %q has version %d, format %d, status %q and %d attempts",
			ErrMalformed, a.ID, a.Version, a.Format, a.Status, a.Attempts)
	}
	owner, err := hex.DecodeString(a.Owner)
	if err != nil || len(owner) != 0 && len(owner) != len(r.Owner) {
		return leaveAlone(it), fmt.Errorf("%w: %q has owner %q", ErrMalformed, a.ID, a.Owner)
	}
	copy(r.Owner[:], owner)
	if n := len(a.Fingerprint); n != 0 && n != len(r.Fingerprint) {
		return leaveAlone(it), fmt.Errorf("%w: %q has a fingerprint of %d bytes", ErrMalformed, a.ID, n)
	}
	copy(r.Fingerprint[:], a.Fingerprint)
	if r.Result, r.ResultType, err = decodeResult(it[AttrResult], a.ResultType); err != nil {
		return leaveAlone(it), fmt.Errorf("%w: result of %q: %w", ErrMalformed, a.ID, err)
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

// checkTypes refuses attributes that attributevalue would convert, because a record must be read
// exactly as it was written.
func checkTypes(it item) error {
	for name, v := range it {
		ok := true
		switch name {
		case AttrID, AttrName, AttrStatus, AttrOwner, AttrResultType, AttrError, AttrMessageID, AttrReopenedBy, AttrOperated:
			_, ok = v.(*types.AttributeValueMemberS)
		case AttrFormat, AttrVersion, AttrFence, AttrLeaseUntil, AttrAttempts, AttrCreatedAt, AttrCompletedAt, AttrTTL:
			_, ok = v.(*types.AttributeValueMemberN)
		case AttrFingerprint:
			_, ok = v.(*types.AttributeValueMemberB)
		}
		if !ok {
			return fmt.Errorf("%w: %q is a %T", ErrMalformed, name, v)
		}
	}
	return nil
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
