package powertools

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/consumer"
)

// Statuses of a record. EXPIRED is never stored.
const (
	completed  = "COMPLETED"
	inProgress = "INPROGRESS"
)

// lookAgain is how soon a record in progress is looked at again, at most: it may be completed long
// before it expires.
const lookAgain = 15 * time.Second

// Reader reads Powertools' records. Use [New]; it is safe for concurrent use.
type Reader struct {
	client API
	cfg    Config
	path   *path
}

// New returns a reader, or an error that lists everything that is wrong with cfg. It makes no call.
func New(client API, cfg Config) (*Reader, error) {
	cfg = cfg.withDefaults()
	errs := []error{cfg.validate()}
	p, err := compile(cfg.Key)
	if err != nil {
		errs = append(errs, fmt.Errorf("Key %q: %w", cfg.Key, err))
	}
	if client == nil {
		errs = append(errs, errors.New("client: must not be nil"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("powertools: %w", err)
	}
	return &Reader{client, cfg, p}, nil
}

// Key returns the idempotency key that Powertools has for a message. There is none where the
// message lacks what [Config].Key selects: Powertools then keeps no record.
func (r *Reader) Key(m consumer.Message) (key string, ok bool) {
	value, err := r.path.find(m)
	if err != nil {
		return "", false // Powertools fails for such a message, and keeps no record
	}
	key, ok, err = r.cfg.keyOf(value)
	return key, ok && err == nil
}

// Earlier returns the recorded result of a message that Powertools has completed, as JSON, and
// whether it has. A record that has expired does not count. Errors: *[InProgressError] when
// Powertools' function is at work on the message; *[TimedOutError] when it has timed out, and
// Config.Hold is set; *[UnreadableError] when the record cannot be read, with which nothing is
// counted and the message is tried again.
func (r *Reader) Earlier(ctx context.Context, m consumer.Message) (result []byte, done bool, err error) {
	key, ok := r.Key(m)
	if !ok {
		return nil, false, nil
	}
	it, err := r.read(ctx, key)
	if err != nil {
		return nil, false, &UnreadableError{key, err}
	}
	if len(it) == 0 {
		return nil, false, nil
	}
	rec, err := r.cfg.decode(it)
	if err != nil {
		return nil, false, &UnreadableError{key, err}
	}
	return r.judge(key, rec, r.cfg.Now())
}

// Check makes a read of a key that no record has. Its error says that records cannot be read.
func (r *Reader) Check(ctx context.Context) error {
	if _, err := r.read(ctx, r.cfg.Prefix+"#"); err != nil {
		return fmt.Errorf("powertools: table %q: %w", r.cfg.Table, err)
	}
	return nil
}

// record is what counts of an item.
type record struct {
	status     string
	expires    time.Time // the record
	inProgress time.Time // the attempt; zero: its function knew of no deadline
	data       []byte    // JSON; of a completed one
}

// judge decides by Powertools' own condition for a new attempt: there is no record, it has expired,
// or it is in progress and its attempt has.
func (r *Reader) judge(key string, rec record, now time.Time) (result []byte, done bool, err error) {
	switch {
	case rec.expires.Before(now.Truncate(time.Second)):
		return nil, false, nil
	case rec.status == completed:
		return rec.data, true, nil
	case rec.inProgress.IsZero():
		return nil, false, &InProgressError{Key: key, Until: rec.expires, After: min(lookAgain, rec.expires.Add(time.Second).Sub(now))}
	case !rec.inProgress.Before(now):
		return nil, false, &InProgressError{Key: key, Until: rec.inProgress, After: min(lookAgain, rec.inProgress.Add(time.Millisecond).Sub(now))}
	case r.cfg.Hold:
		return nil, false, &TimedOutError{key, rec.inProgress}
	default:
		return nil, false, nil
	}
}

type item = map[string]types.AttributeValue

// read reads the item of a key, strongly consistently as Powertools does.
func (r *Reader) read(ctx context.Context, key string) (item, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	keys := item{r.cfg.KeyAttr: &types.AttributeValueMemberS{Value: key}}
	if r.cfg.SortKeyAttr != "" {
		keys = item{
			r.cfg.KeyAttr:     &types.AttributeValueMemberS{Value: r.cfg.PartitionValue},
			r.cfg.SortKeyAttr: &types.AttributeValueMemberS{Value: key},
		}
	}
	out, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.cfg.Table, Key: keys, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// decode reads an item. Python keeps a result as a text that is JSON, TypeScript as a value of
// DynamoDB's own types.
func (c Config) decode(it item) (rec record, err error) {
	status, ok := it[c.StatusAttr].(*types.AttributeValueMemberS)
	if !ok || status.Value != completed && status.Value != inProgress {
		return rec, fmt.Errorf("%s: is neither %s nor %s", c.StatusAttr, completed, inProgress)
	}
	rec.status = status.Value
	seconds, ok, err := numberOf(it, c.ExpiryAttr)
	if err != nil || !ok {
		return rec, cmp.Or(err, fmt.Errorf("%s: is missing", c.ExpiryAttr))
	}
	rec.expires = time.Unix(seconds, 0)
	millis, ok, err := numberOf(it, c.InProgressExpiryAttr)
	if err != nil {
		return rec, err
	}
	if ok {
		rec.inProgress = time.UnixMilli(millis)
	}
	if rec.status == completed {
		rec.data, err = c.result(it[c.DataAttr])
	}
	return rec, err
}

// numberOf returns a whole number.
func numberOf(it item, name string) (n int64, ok bool, err error) {
	v, ok := it[name]
	if !ok {
		return 0, false, nil
	}
	number, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, false, fmt.Errorf("%s: is a %T", name, v)
	}
	f, err := strconv.ParseFloat(number.Value, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", name, err)
	}
	return int64(f), true, nil
}

func (c Config) result(v types.AttributeValue) ([]byte, error) {
	if v == nil {
		return []byte("null"), nil // undefined is not stored
	}
	if text, ok := v.(*types.AttributeValueMemberS); ok && c.Language == Python {
		if !json.Valid([]byte(text.Value)) {
			return nil, fmt.Errorf("%s: is not JSON", c.DataAttr)
		}
		return []byte(text.Value), nil
	}
	text, err := json.Marshal(native(v))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.DataAttr, err)
	}
	return text, nil
}

// native returns the value that encoding/json writes as the JSON of v. Numbers keep their digits.
func native(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return json.Number(v.Value)
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case *types.AttributeValueMemberB:
		return v.Value
	case *types.AttributeValueMemberSS:
		return v.Value
	case *types.AttributeValueMemberNS:
		return each(v.Value, func(n string) any { return json.Number(n) })
	case *types.AttributeValueMemberBS:
		return v.Value
	case *types.AttributeValueMemberL:
		return each(v.Value, native)
	case *types.AttributeValueMemberM:
		object := make(map[string]any, len(v.Value))
		for key, value := range v.Value {
			object[key] = native(value)
		}
		return object
	default: // NULL, the only other type
		return nil
	}
}

func each[T any](values []T, of func(T) any) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = of(v)
	}
	return all
}
