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
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// API is the part of the DynamoDB API that the store uses. *[dynamodb.Client] implements it.
type API interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchExecuteStatement(context.Context, *dynamodb.BatchExecuteStatementInput, ...func(*dynamodb.Options)) (*dynamodb.BatchExecuteStatementOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var (
	_ API            = (*dynamodb.Client)(nil)
	_ dedupe.Store   = (*Store)(nil)
	_ dedupe.Reader  = (*Store)(nil)
	_ listing.Lister = (*Store)(nil)

	_ dedupe.Bounded = (*Store)(nil)
)

// DefaultTimeout is the default of [Config.Timeout].
const DefaultTimeout = 3 * time.Second

// TimeoutFor returns a [Config.Timeout] for a guard with the given lease: a sixth of it, at most
// [DefaultTimeout]. A guard renews after a third of the lease. So a renewal without an answer is
// given up early enough for another one to be answered before the lease ends.
func TimeoutFor(lease time.Duration) time.Duration { return min(DefaultTimeout, lease/6) }

// Batching sets whether writes, and reads, may share a call.
type Batching uint8

// The values of [Batching].
const (
	BatchOn  Batching = iota // the default
	BatchOff                 // one call per write or read
)

// Config configures a [Store]. Only Table is required. The zero value of any other field means its
// default.
type Config struct {
	// Table is the name or the ARN of the table. Required. Writes to a table given by its ARN do
	// not share calls, because a statement needs the table's name.
	Table string

	// TTLAttribute is the attribute with the expiry of records, on which the table's time to live
	// is set. Default [AttrTTL]. Set it if the table's time to live is on another attribute,
	// because another program shares the table. It must be the same in all programs that use the
	// table. Existing records with their expiry in AttrTTL remain readable.
	TTLAttribute string

	// Timeout bounds one call of the store, including the retries of a read and the wait for a
	// batch. It must be at most a third of the guard's lease, see [dedupe.Bounded]; [TimeoutFor]
	// returns a value for a lease. Default 3s; must not be negative.
	Timeout time.Duration

	// Batch sets whether writes, and reads, that wait at the same time share a call. A single write
	// is always sent at once. Default [BatchOn].
	Batch Batching

	// BatchRefused is called when the store stops using a batch operation, because the server
	// refuses it but accepts single calls. It is called at most once for BatchExecuteStatement and
	// once for BatchGetItem. From then on each write or read is a call of its own. BatchRefused
	// must not block. Default: none.
	BatchRefused func(operation string, why error)

	// Logger gets errors and warnings about items that are not records, a wrong clock, and refused
	// batches. Default [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.TTLAttribute = cmp.Or(c.TTLAttribute, AttrTTL)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// validate returns an error that lists every invalid field of c.
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

// Store keeps records in a DynamoDB table. Create it with [New]. It is safe for concurrent use.
type Store struct {
	client     API
	cfg        Config
	clock      clock
	statements *statements

	writes *batch.Batcher[*write, outcome] // nil if writes are sent one by one
	reads  *batch.Batcher[string, item]    // nil if reads are sent one by one

	refusals     refusals
	singleWrites atomic.Bool    // the server refuses batches of writes
	singleReads  atomic.Bool    // the server refuses batches of reads
	lookups      sync.WaitGroup // reads of items that conflicts did not contain
}

// New returns a store on a table. Its error lists every invalid field of cfg. New makes no call and
// starts no goroutine.
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

// Close returns when all open calls have been answered. The store remains usable, with one call per
// write and read.
func (s *Store) Close() {
	if s.writes != nil {
		s.writes.Close()
	}
	if s.reads != nil {
		s.reads.Close()
	}
	s.lookups.Wait()
}

// Swap implements [dedupe.Store] by a conditional write: a PutItem, or a statement in a shared
// call. Errors that no retry can cure wrap [dedupe.ErrUnavailable] and [ErrNoTable], [ErrDenied] or
// [ErrInvalid].
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

// CallTimeout implements [dedupe.Bounded]. It returns Config.Timeout.
func (s *Store) CallTimeout() time.Duration { return s.cfg.Timeout }

// detached returns a context for a call that serves several callers.
func (s *Store) detached() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.cfg.Timeout)
}

// read decodes an item. It logs an item that is not a record, and returns a record for it that the
// protocol leaves alone.
func (s *Store) read(it item) protocol.Record {
	r, err := decode(s.cfg.ours(it))
	if err != nil {
		s.cfg.Logger.Error("item is not a record; it stays unchanged", "table", s.cfg.Table, "id", r.ID, "error", err)
	}
	return r
}

func isARN(table string) bool { return strings.HasPrefix(table, "arn:") }
