package powertools

import (
	"cmp"
	"context"
	"crypto/md5"  //nolint:gosec // the key of another program, no secret
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Languages of Powertools, which differ in their keys and in the form of results.
const (
	Python     = "python"
	TypeScript = "typescript"
)

// callTimeout bounds a read.
const callTimeout = 3 * time.Second

// API is the read of a record. A *[dynamodb.Client] has it.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

var _ API = (*dynamodb.Client)(nil)

// hashes are the hash functions that a key may have.
var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// Config says where the records are, and how their keys are made. Table, Language, Prefix and Key
// are required; the zero value of another field means its default, which is that of Powertools.
type Config struct {
	// Table is the name or ARN of Powertools' table. It may be the guard's.
	Table string

	// Language is [Python] or [TypeScript].
	Language string

	// Prefix is the beginning of a key, up to '#'. In Python it is the function's name, a dot, and
	// the qualified name of the idempotent function: "orders.app.lambda_handler" or
	// "orders.app.process_order". In TypeScript it is keyPrefix if that is set, or the function's
	// name. The records in the table show it.
	Prefix string

	// Key is the JMESPath that Powertools takes the key from (event_key_jmespath, eventKeyJmesPath).
	// It is evaluated on the SQS record as Lambda hands it over, of which messageId, body,
	// attributes and messageAttributes are known: "messageId", "powertools_json(body).order_id". A
	// function that gets the parsed body and uses the path order_id has the key
	// "powertools_json(body).order_id", and one that hashes all of it "powertools_json(body)".
	Key string

	// Hash is the hash function: md5 (the default), sha1, sha256, sha384 or sha512.
	Hash string

	// KeyAttr is the table's partition key. Default "id".
	KeyAttr string

	// SortKeyAttr is the table's sort key (sort_key_attr, sortKeyAttr), which then holds the key.
	// Default: none.
	SortKeyAttr string

	// PartitionValue is the partition key's value with SortKeyAttr. Default "idempotency#" and the
	// name of the function, which is Prefix up to the first dot.
	PartitionValue string

	// StatusAttr, ExpiryAttr, InProgressExpiryAttr and DataAttr are attributes of a record. Default
	// "status", "expiration", "in_progress_expiration" and "data".
	StatusAttr, ExpiryAttr, InProgressExpiryAttr, DataAttr string

	// Hold parks a name whose earlier attempt timed out as UNKNOWN, like dedupe.Config.Hold. The
	// default is to run it, as Powertools does.
	Hold bool

	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Hash = cmp.Or(c.Hash, "md5")
	c.KeyAttr = cmp.Or(c.KeyAttr, "id")
	function, _, _ := strings.Cut(c.Prefix, ".")
	c.PartitionValue = cmp.Or(c.PartitionValue, "idempotency#"+function)
	c.StatusAttr = cmp.Or(c.StatusAttr, "status")
	c.ExpiryAttr = cmp.Or(c.ExpiryAttr, "expiration")
	c.InProgressExpiryAttr = cmp.Or(c.InProgressExpiryAttr, "in_progress_expiration")
	c.DataAttr = cmp.Or(c.DataAttr, "data")
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// validate reports everything that is wrong with c, defaults filled in.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Table == "" {
		bad("Table %q: must be the name or the ARN of a table", c.Table)
	}
	if c.Language != Python && c.Language != TypeScript {
		bad("Language %q: must be %s or %s", c.Language, Python, TypeScript)
	}
	if c.Prefix == "" || strings.Contains(c.Prefix, "#") {
		bad("Prefix %q: must be the beginning of Powertools' keys, without '#'", c.Prefix)
	}
	if hashes[c.Hash] == nil {
		bad("Hash %q: must be one of %s", c.Hash, strings.Join(slices.Sorted(maps.Keys(hashes)), ", "))
	}
	if c.SortKeyAttr == c.KeyAttr {
		bad("SortKeyAttr %q: must not be KeyAttr", c.SortKeyAttr)
	}
	return errors.Join(errs...)
}
