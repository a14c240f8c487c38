package dynamo_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// operation is one operation on a store.
type operation struct {
	what    string
	id      string
	old     protocol.Version
	next    protocol.Record
	effects []effect // of a commit
}

// effect is a write to a counter: add 1, or require that it is want.
type effect struct {
	key     string
	require bool
	want    int
}

// answer is a store's answer to an operation.
type answer struct {
	what   string // "done", "conflict", "effect 1", or an error that must not occur
	record protocol.Record
}

func (a answer) same(b answer) bool { return a.what == b.what && storetest.Same(a.record, b.record) }

// do carries out an operation.
func do(t *testing.T, s dedupe.Store, e storetest.Effects, o operation) answer {
	var err error
	switch o.what {
	case "get":
		r, err := s.(dedupe.Reader).Get(t.Context(), o.id)
		return answer{fmt.Sprint("read: ", err), r}
	case "commit":
		var effects []any
		for _, w := range o.effects {
			if w.require {
				effects = append(effects, e.Require(w.key, w.want))
			} else {
				effects = append(effects, e.Increment(w.key))
			}
		}
		err = s.(dedupe.Committer).Commit(t.Context(), o.old, o.next, effects)
	default:
		err = s.Swap(t.Context(), o.old, o.next)
	}
	if lost, ok := errors.AsType[*dedupe.ConflictError](err); ok {
		return answer{"conflict", lost.Current}
	}
	if failed, ok := errors.AsType[*dedupe.EffectError](err); ok {
		return answer{what: fmt.Sprint("effect ", failed.Index)}
	}
	if err != nil {
		return answer{what: err.Error()}
	}
	return answer{what: "done"}
}

// script draws operations worth comparing: mostly those of attempts and operators, decided by Step
// on the current record or on an earlier one.
type script struct {
	scope string
	now   time.Time
	seen  map[string][]protocol.Record // by ID; the records that writers may have read
}

func (s *script) event(rt *rapid.T, id, name string) protocol.Event {
	owner := protocol.Token{byte(rapid.IntRange(1, 3).Draw(rt, "owner"))}
	result := []byte(rapid.SampledFrom([]string{`{"a":[1,2.5,"x"]}`, `null`, `1e3`, `"é"`, ``}).Draw(rt, "result"))
	resultType := rapid.SampledFrom([]string{"", "", "text/plain"}).Draw(rt, "type")
	switch rapid.SampledFrom([]string{"claim", "claim", "claim", "renew", "complete", "fail", "release", "reopen", "resolve", "forget"}).Draw(rt, "event") {
	case "claim":
		return protocol.Claim{
			Now: s.now, Owner: owner, Terms: terms, ID: id, Name: name, MessageID: fmt.Sprint("m", owner[0]),
			Fingerprint:  protocol.Fingerprint{1, 36: byte(rapid.IntRange(0, 1).Draw(rt, "payload"))},
			RedriveOrder: rapid.Bool().Draw(rt, "redriven"),
		}
	case "renew":
		return protocol.Renew{Now: s.now, Owner: owner, Terms: terms}
	case "complete":
		return protocol.Complete{Now: s.now, Owner: owner, Terms: terms, Result: result, ResultType: resultType}
	case "fail":
		kind := protocol.FailKind(rapid.IntRange(0, 2).Draw(rt, "kind"))
		return protocol.Fail{Now: s.now, Owner: owner, Terms: terms, Kind: kind, Error: "oh dear"}
	case "release":
		return protocol.Release{Now: s.now, Owner: owner, Terms: terms}
	case "reopen":
		return protocol.Reopen{Now: s.now, Terms: terms}
	case "resolve":
		return protocol.Resolve{Now: s.now, Terms: terms, Result: result, ResultType: resultType}
	default:
		return protocol.Forget{Now: s.now, Terms: terms, Force: rapid.Bool().Draw(rt, "force")}
	}
}

// draw returns an operation on one name.
func (s *script) draw(rt *rapid.T, name string) operation {
	s.now = s.now.Add(time.Duration(1+rapid.SampledFrom([]int{0, 0, 5000, 40_000}).Draw(rt, "ms later")) * time.Millisecond)
	o := operation{id: protocol.RecordID(s.scope, name)}
	o.what = rapid.SampledFrom([]string{"swap", "swap", "swap", "swap", "commit", "get"}).Draw(rt, "what")
	if o.what == "get" {
		return o
	}
	believed := s.seen[o.id]
	var base protocol.Record
	if len(believed) > 0 && rapid.IntRange(0, 9).Draw(rt, "blind") > 0 {
		base = believed[len(believed)-1-rapid.SampledFrom([]int{0, 0, 0, min(1, len(believed)-1), len(believed) - 1}).Draw(rt, "ago")]
	}
	next, _ := protocol.Step(base, s.event(rt, o.id, name))
	if next.Version == base.Version { // nothing to write: swap to the next version nevertheless
		next.ID, next.Name, next.Format = o.id, name, protocol.Format
		next.Status, next.ExpiresAt = protocol.Retrying, time.Unix(s.now.Unix(), 0)
		next.Version = max(base.Version+1, protocol.Version(s.now.UnixMilli()))
	}
	o.old, o.next = base.Version, next
	if o.what == "commit" {
		for i := range rapid.IntRange(0, 3).Draw(rt, "effects") {
			w := effect{key: fmt.Sprint(o.id, "/", i), require: rapid.IntRange(0, 3).Draw(rt, "required") == 0}
			w.want = rapid.IntRange(0, 2).Draw(rt, "want")
			if w.require {
				w.key += "/required" // never incremented, stays 0
			}
			o.effects = append(o.effects, w)
		}
	}
	return o
}

func TestDifferential(t *testing.T) {
	t.Run("memory and DynamoDB answer the same", testMemoryAndDynamoDBAnswerTheSame)
}

// The reference store and DynamoDB get the same operations, many at a time on different names, so
// that they share calls. Every answer is compared.
func testMemoryAndDynamoDBAnswerTheSame(t *testing.T) {
	onEveryEndpoint(t, func(t *testing.T, client *dynamodb.Client) {
		rounds := testutil.N(t, 3)
		for mode, batching := range modes {
			t.Run(mode, func(t *testing.T) {
				table := newTable(t, client)
				actual := newStore(t, client, dynamo.Config{Table: table, Batch: batching})
				actualEffects := counters{client, table}.effects()
				rapid.Check(t, func(rt *rapid.T) {
					reference := memstore.New()
					s := &script{scope: rand.Text(), now: time.UnixMilli(1_790_000_000_000), seen: map[string][]protocol.Record{}}
					for range rounds {
						round(t, rt, s, reference, actual, actualEffects)
					}
				})
			})
		}
	})
}

// round carries out one operation on each of some names, at the same time.
func round(t *testing.T, rt *rapid.T, s *script, reference *memstore.Store, actual dedupe.Store, actualEffects storetest.Effects) {
	var ops []operation
	for i := range rapid.IntRange(1, 6).Draw(rt, "names") {
		ops = append(ops, s.draw(rt, fmt.Sprint("name-", i)))
	}
	answers := make([]answer, len(ops))
	var wg sync.WaitGroup
	for i, o := range ops {
		wg.Go(func() { answers[i] = do(t, actual, actualEffects, o) })
	}
	wg.Wait()
	for i, o := range ops {
		want := do(t, reference, memoryEffects, o)
		if !answers[i].same(want) {
			rt.Fatalf("%s over %d:\n  next %+v\n  DynamoDB says %+v\n  memory says   %+v", o.what, o.old, o.next, answers[i], want)
		}
		current, err := reference.Get(t.Context(), o.id)
		if err != nil {
			rt.Fatal(err)
		}
		s.seen[o.id] = append(s.seen[o.id], current)
	}
}

var memoryEffects = storetest.Effects{
	Increment: func(key string) any {
		return memstore.Write{Key: key, Update: func(stored any) (any, error) { n, _ := stored.(int); return n + 1, nil }}
	},
	Require: func(key string, want int) any {
		return memstore.Write{Key: key, Update: func(stored any) (any, error) {
			// As in DynamoDB, no number equals a missing one.
			if n, ok := stored.(int); !ok || n != want {
				return nil, fmt.Errorf("%s is %v, not %d", key, stored, want)
			}
			return stored, nil
		}}
	},
}
