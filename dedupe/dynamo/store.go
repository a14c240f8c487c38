package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// API is what the store calls. A *[dynamodb.Client] is one.
type API interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchExecuteStatement(context.Context, *dynamodb.BatchExecuteStatementInput, ...func(*dynamodb.Options)) (*dynamodb.BatchExecuteStatementOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var (
	_ API           = (*dynamodb.Client)(nil)
	_ dedupe.Store  = (*Store)(nil)
	_ dedupe.Reader = (*Store)(nil)
	_ dedupe.Lister = (*Store)(nil)

	_ dedupe.Bounded = (*Store)(nil)
)

// DefaultTimeout is how long one call of the store may take, its retries included.
const DefaultTimeout = 3 * time.Second

// TimeoutFor returns the [Config.Timeout] of a store under a guard with the given
// lease: a sixth of it, at most [DefaultTimeout]. A guard renews when a third of
// the lease has passed. So a renewal that hangs is given up, and another one
// answered, before the lease is in doubt.
func TimeoutFor(lease time.Duration) time.Duration { return min(DefaultTimeout, lease/6) }

// Batching says whether writes and reads may share a call.
type Batching uint8

// The values of [Batching].
const (
	BatchOn  Batching = iota // the default
	BatchOff                 // one call for each
)

// Config says how a [Store] works.
type Config struct {
	// Table is the table's name or ARN. Required. Writes to a table given by
	// its ARN do not share calls: a statement names its table.
	Table string

	// TTLAttribute is the attribute that records keep their expiry in, which is the
	// table's time to live. Default [AttrTTL]. Records that have it in AttrTTL are read
	// as ever. For a table whose time to live is on another attribute, because another
	// program keeps its items there, too. The same in all programs on a table.
	TTLAttribute string

	// Timeout bounds one call of the store, with the retries of a read and the wait
	// for a batch. At most a third of the guard's lease, see [dedupe.Bounded];
	// [TimeoutFor] gives one that suits a lease. Default 3s.
	Timeout time.Duration

	// Batch lets writes that wait at the same time share a call, and reads.
	// A write alone goes alone, at once. Default [BatchOn].
	Batch Batching

	// BatchRefused is called when the store stops using an operation that serves
	// several writes or reads, because the server refuses it while it accepts
	// single ones: at most once for BatchExecuteStatement and once for
	// BatchGetItem. From then on each write or read is a call of its own. It must
	// not block. Nil: only the log tells.
	BatchRefused func(operation string, why error)

	// Logger is told of items that are not records, of a clock that is wrong,
	// and of batches that are refused. Default [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.TTLAttribute = cmp.Or(c.TTLAttribute, AttrTTL)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// validate reports everything that is wrong with c.
func (c Config) validate() error {
	var errs []error
	if c.Table == "" || strings.Contains(c.Table, `"`) {
		errs = append(errs, fmt.Errorf("dynamo: Table %q: must be the name or the ARN of a table", c.Table))
	}
	if err := checkTTLAttribute(c.TTLAttribute); err != nil {
		errs = append(errs, err)
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("dynamo: Timeout %s: must not be negative", c.Timeout))
	}
	if c.Batch > BatchOff {
		errs = append(errs, fmt.Errorf("dynamo: Batch %d: must be BatchOn or BatchOff", c.Batch))
	}
	return errors.Join(errs...)
}

// Store keeps records in a DynamoDB table. Use New; safe for concurrent use.
type Store struct {
	client     API
	cfg        Config
	clock      clock
	statements *statements

	writes *batch.Batcher[*write, outcome] // nil: one by one
	reads  *batch.Batcher[string, item]    // nil: one by one

	refusals     refusals
	singleWrites atomic.Bool    // batch writes have turned out to be refused
	singleReads  atomic.Bool    // batch reads have
	lookups      sync.WaitGroup // reads of items that conflicts came without
}

// New returns a store, or an error that lists everything wrong with cfg. It
// makes no call and starts no goroutine.
func New(client API, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); client == nil || err != nil {
		if client == nil {
			err = errors.Join(errors.New("dynamo: client: must not be nil"), err)
		}
		return nil, err
	}
	s := &Store{client: client, cfg: cfg, clock: clock{logger: cfg.Logger}, statements: newStatements(cfg.Table, cfg.TTLAttribute)}
	if cfg.Batch == BatchOff {
		return s, nil
	}
	s.reads = batch.New(batch.Config[string, item]{Send: s.sendReads, Max: maxKeys})
	if isARN(cfg.Table) {
		return s, nil
	}
	s.writes = batch.New(batch.Config[*write, outcome]{
		Send: s.sendWrites, Max: maxStatements, Timeout: cfg.Timeout,
		MaxBytes: maxBatchBytes, Size: func(w *write) int { return w.size },
		Urgent: func(w *write) bool { return !w.claim },
		Key:    func(w *write) string { return w.id },
	})
	return s, nil
}

// Close returns when every call that is out has been answered. The store goes
// on working afterwards, with a call for each write and read.
func (s *Store) Close() {
	if s.writes != nil {
		s.writes.Close()
	}
	if s.reads != nil {
		s.reads.Close()
	}
	s.lookups.Wait()
}

// Swap implements [dedupe.Store] by a conditional write: a PutItem, or a
// statement in a call that several share. Errors that no retry can cure wrap
// [dedupe.ErrUnavailable] with [ErrNoTable], [ErrDenied] or [ErrInvalid].
func (s *Store) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if err := ctx.Err(); err != nil {
		return classify("write", next.ID, err) // not sent
	}
	w, err := newWrite(old, next)
	if err != nil {
		return err
	}
	w.until = time.Now().Add(s.cfg.Timeout)
	switch {
	case s.writes == nil || s.singleWrites.Load() || w.alone:
		return s.put(ctx, w)
	case s.refusals.takeProbe():
		return s.probe(ctx, w)
	default:
		return s.viaBatch(ctx, w)
	}
}

// CallTimeout implements [dedupe.Bounded]: it returns Config.Timeout.
func (s *Store) CallTimeout() time.Duration { return s.cfg.Timeout }

// detached returns the context of a call that serves several callers.
func (s *Store) detached() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.cfg.Timeout)
}

// read decodes an item. What is no record comes back as one that the protocol
// leaves alone, and is logged.
func (s *Store) read(it item) protocol.Record {
	r, err := decode(s.cfg.ours(it))
	if err != nil {
		s.cfg.Logger.Error("item in the table is not a record; left alone", "table", s.cfg.Table, "id", r.ID, "error", err)
	}
	return r
}

func isARN(table string) bool { return strings.HasPrefix(table, "arn:") }
