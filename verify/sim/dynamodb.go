package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// RunOnDynamoDB is [Run] with the records in a table of a DynamoDB server, through the real store
// and the SDK's client. Its faults are those of HTTP: each request of the client, retries included,
// has its fault before or after the exchange with the server. Virtual time stands still during an
// exchange, because a goroutine that waits for the network is not idle.
//
// Two runs of a seed may give different traces, because the store and the SDK draw the jitter of
// their retries themselves.
func RunOnDynamoDB(plan Plan, table *Table) *Report {
	return run(plan, "sim"+strconv.FormatUint(table.runs.Add(1), 10), func(w *world) keeper { return newInDynamoDB(w, table) })
}

// inDynamoDB keeps records in a table.
type inDynamoDB struct {
	w     *world
	table *Table
	look  *dynamo.Store // without faults
	plain *dynamodb.Client

	exchanges sync.Mutex // makes a write and its report to the watch atomic

	mu   sync.Mutex
	seen map[string]protocol.Record // guarded by mu; stored records by id
}

func newInDynamoDB(w *world, table *Table) *inDynamoDB {
	k := &inDynamoDB{w: w, table: table, seen: make(map[string]protocol.Record)}
	for i := range w.plan.Names {
		k.seen[protocol.RecordID(w.scope, fmt.Sprintf("n%d", i))] = protocol.Record{}
	}
	k.plain = k.client(plainHTTP{table})
	look, err := dynamo.New(k.plain, dynamo.Config{Table: table.name, Batch: dynamo.BatchOff, Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	k.look = look
	return k
}

func (k *inDynamoDB) client(over dynamodb.HTTPClient) *dynamodb.Client {
	return dynamodb.NewFromConfig(emulators.Config("http://dynamodb"), func(o *dynamodb.Options) { o.HTTPClient = over })
}

// open returns a store with its own client, and its clock. As in the worker the store corrects the
// host's clock by the server's Date header. All processes of a bubble share one clock, so instead
// of a host's clock that is ahead, the server's Date is set back by the same time, and the
// corrected clock is set forward.
func (k *inDynamoDB) open(p *process) (dedupe.Store, func() time.Time, error) {
	batching := dynamo.BatchOn
	if chance(k.w.dice.roll("batching", p.label, 0), 0.2) {
		batching = dynamo.BatchOff
	}
	s, err := dynamo.New(k.client(transport{p, k}), dynamo.Config{
		Table: k.table.name, Batch: batching, Timeout: k.w.storeTimeout(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, nil, err
	}
	p.prime = func(ctx context.Context) { _ = s.ReadClock(ctx) } // as the worker does
	return s, func() time.Time { return s.Now().Add(k.w.off(p.host)) }, nil
}

func (k *inDynamoDB) record(id string) protocol.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[id]
}

func (k *inDynamoDB) counterKey(name string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{dynamo.AttrID: &types.AttributeValueMemberS{Value: k.w.scope + "/count/" + name}}
}

func (k *inDynamoDB) count(ctx context.Context, name string) error {
	return dynamo.Update(ctx, types.Update{
		TableName: &k.table.name, Key: k.counterKey(name), UpdateExpression: aws.String("ADD times :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
	})
}

func (k *inDynamoDB) counted(name string) int {
	out, err := k.plain.GetItem(context.Background(), &dynamodb.GetItemInput{
		TableName: &k.table.name, Key: k.counterKey(name), ConsistentRead: aws.Bool(true),
	})
	k.w.must(err)
	times, _ := out.Item["times"].(*types.AttributeValueMemberN)
	if times == nil {
		return 0
	}
	n, err := strconv.Atoi(times.Value)
	k.w.must(err)
	return n
}

// idsIn returns the ids of the records in a request.
func (k *inDynamoDB) idsIn(body []byte) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var ids []string
	for id := range k.seen {
		if bytes.Contains(body, []byte(`"`+id+`"`)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// exchange sends a process's request to the server, and passes the changed records to the watch.
func (k *inDynamoDB) exchange(p *process, header http.Header, body []byte, ids []string) *answer {
	k.exchanges.Lock()
	defer k.exchanges.Unlock()
	a := k.table.exchange(header, body)
	if a.status != http.StatusOK {
		return a // a refused request writes nothing
	}
	for _, id := range ids {
		after, err := k.look.Get(context.Background(), id)
		k.w.must(err)
		k.mu.Lock()
		before := k.seen[id]
		k.seen[id] = after
		k.mu.Unlock()
		if !reflect.DeepEqual(before, after) {
			k.w.watch.stored(p, before, after)
		}
	}
	return a
}

// plainHTTP is an HTTP client without faults.
type plainHTTP struct{ table *Table }

// Do implements [dynamodb.HTTPClient].
func (h plainHTTP) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	return h.table.exchange(req.Header, body).response(req), nil
}

// transport is the HTTP client of one process, with faults.
type transport struct {
	p *process
	k *inDynamoDB
}

// Do implements [dynamodb.HTTPClient].
func (t transport) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	w := t.k.w
	_, op, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	ids := t.k.idsIn(body)
	key := strings.ReplaceAll(strings.Join(ids, ","), w.scope+"#", "")
	r := w.dice.roll(t.p.label+" http "+op, key, t.p.count("http "+op+" "+key))
	writes := op != "GetItem" && op != "BatchGetItem"
	var a *answer
	c := call{
		op: op, key: key, rates: w.storeRates(), down: w.isDown(storeDown) || w.isCut(t.p.host), again: writes,
		met: func(f fate) { w.watch.storeFault(t.p, f, ids...) },
		apply: func(context.Context) error {
			touched := ids
			if !writes {
				touched = nil
			}
			a = t.entries(r, op, body, func(body []byte) *answer { return t.k.exchange(t.p, req.Header, body, touched) })
			a.date = time.Now().Add(-w.off(t.p.host))
			return nil
		},
	}
	switch err := t.p.do(req.Context(), c); {
	case err == nil:
		return a.response(req), nil
	case errors.Is(err, errThrottled):
		return tooBusy(r, op, body).response(req), nil
	case (errors.Is(err, errRefused) || errors.Is(err, errLost)) && chance(r, 0.5):
		return failure(http.StatusInternalServerError, "InternalServerError").response(req), nil
	case errors.Is(err, errRefused), errors.Is(err, errLost):
		return nil, fmt.Errorf("%w: %w", err, syscall.ECONNRESET)
	default:
		return nil, err
	}
}

// tooBusy returns an answer to a request that DynamoDB throttles.
func tooBusy(r *rand.Rand, op string, body []byte) *answer {
	if op != "TransactWriteItems" {
		return failure(http.StatusBadRequest, pick(r, "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"))
	}
	if chance(r, 0.3) {
		return failure(http.StatusBadRequest, "TransactionInProgressException")
	}
	var in struct{ TransactItems []json.RawMessage }
	_ = json.Unmarshal(body, &in)
	reasons := make([]map[string]string, len(in.TransactItems))
	for i := range reasons {
		reasons[i] = map[string]string{"Code": "None"}
	}
	reasons[r.IntN(len(reasons))] = map[string]string{"Code": pick(r, "TransactionConflict", "ThrottlingError")}
	a := failure(http.StatusBadRequest, "TransactionCanceledException")
	a.set("CancellationReasons", reasons)
	return a
}

// entries fails single entries of a request: statements that are not applied, statements that are
// applied with an answer that leaves it open, keys that stay unprocessed, and conflicts without the
// item.
func (t transport) entries(r *rand.Rand, op string, body []byte, send func([]byte) *answer) *answer {
	p := t.k.w.storeRates().Entry
	switch op {
	case "BatchExecuteStatement":
		return t.statements(r, p, body, send)
	case "BatchGetItem":
		return t.keys(r, p, body, send)
	}
	a := send(body)
	if a.status != http.StatusOK && chance(r, p) {
		t.failed("without item")
		a.set("Item", nil)
		if reasons, ok := a.get("CancellationReasons").([]any); ok {
			for _, reason := range reasons {
				delete(reason.(map[string]any), "Item")
			}
		}
	}
	return a
}

func (t transport) failed(how string) { t.k.w.watch.fault("statement", fate(how)) }

func (t transport) statements(r *rand.Rand, p float64, body []byte, send func([]byte) *answer) *answer {
	var in struct{ Statements []json.RawMessage }
	t.k.w.must(json.Unmarshal(body, &in))
	throttled, unknown, bare := make(map[int]string), make(map[int]bool), make(map[int]bool)
	var rest []json.RawMessage
	for i, s := range in.Statements {
		if chance(r, p) {
			switch r.IntN(3) {
			case 0:
				throttled[i] = pick(r, "ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict", "InternalServerError")
				t.failed("refuse")
				continue
			case 1:
				unknown[i] = true
				t.failed("applied, and unknown")
			default:
				bare[i] = true
				t.failed("without item")
			}
		}
		rest = append(rest, s)
	}
	sent := []any{}
	a := &answer{status: http.StatusOK, body: []byte("{}")}
	if len(rest) > 0 {
		less, err := json.Marshal(map[string]any{"Statements": rest})
		t.k.w.must(err)
		if a = send(less); a.status != http.StatusOK {
			return a
		}
		sent = a.get("Responses").([]any)
	}
	all := make([]any, 0, len(in.Statements))
	for i := range in.Statements {
		if code, ok := throttled[i]; ok {
			all = append(all, map[string]any{"Error": map[string]any{"Code": code, "Message": "sim"}})
			continue
		}
		one := sent[0].(map[string]any)
		sent = sent[1:]
		switch failed, _ := one["Error"].(map[string]any); {
		case unknown[i]:
			one = map[string]any{"Error": map[string]any{"Code": "InternalServerError", "Message": "sim"}}
		case bare[i] && failed != nil:
			delete(failed, "Item")
		}
		all = append(all, one)
	}
	a.set("Responses", all)
	return a
}

func (t transport) keys(r *rand.Rand, p float64, body []byte, send func([]byte) *answer) *answer {
	var in struct {
		RequestItems map[string]struct {
			Keys           []json.RawMessage
			ConsistentRead bool
		}
	}
	t.k.w.must(json.Unmarshal(body, &in))
	asked, kept := in.RequestItems[t.k.table.name], in.RequestItems[t.k.table.name]
	asked.Keys, kept.Keys = nil, nil
	for _, key := range in.RequestItems[t.k.table.name].Keys {
		if chance(r, p) {
			t.failed("unprocessed")
			kept.Keys = append(kept.Keys, key)
		} else {
			asked.Keys = append(asked.Keys, key)
		}
	}
	if len(kept.Keys) == 0 || len(asked.Keys) == 0 {
		return send(body)
	}
	in.RequestItems[t.k.table.name] = asked
	less, err := json.Marshal(in)
	t.k.w.must(err)
	a := send(less)
	if a.status == http.StatusOK {
		a.set("UnprocessedKeys", map[string]any{t.k.table.name: kept})
	}
	return a
}
