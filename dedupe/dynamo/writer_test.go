package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// latency is how long a call takes in the tests of the writer's rules.
const latency = 6 * time.Millisecond

func record(name string, v protocol.Version) protocol.Record {
	return protocol.Record{
		ID: "test#" + name, Name: name, Format: protocol.Format, Status: protocol.InProgress,
		Version: v, Fence: v, Owner: protocol.Token{7}, Attempts: 1, LeaseUntil: time.UnixMilli(1_790_000_030_000),
		ExpiresAt: time.Unix(1_790_003_600, 0),
	}
}

// writer is a store in a bubble whose first call is in flight, so that later writes wait together.
type writer struct {
	t     *testing.T
	wire  *wire
	store *dynamo.Store
	log   *strings.Builder
	told  []string // operations that BatchRefused was called with
	wg    sync.WaitGroup

	answered atomic.Int32 // writes
}

// inBubble runs a test of the writer in virtual time. Before it, a lone write
// of the name "first" has been sent.
func inBubble(t *testing.T, w *wire, test func(*writer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w.delay = latency
		wr := &writer{t: t, wire: w, log: new(strings.Builder)}
		wr.store = newStore(t, w.client(), dynamo.Config{
			Table: "t", Logger: slog.New(slog.NewTextHandler(wr.log, nil)),
			BatchRefused: func(operation string, _ error) { wr.told = append(wr.told, operation) },
		})
		wr.swap(0, record("first", 1))
		test(wr)
	})
}

// errPending stands for the error of a write that is not answered yet.
var errPending = errors.New("not answered yet")

// swap starts a write, and returns where its error will be.
func (w *writer) swap(old protocol.Version, r protocol.Record) *error {
	return w.swapUnder(w.t.Context(), old, r)
}

func (w *writer) swapUnder(ctx context.Context, old protocol.Version, r protocol.Record) *error {
	err := new(errPending)
	w.wg.Go(func() {
		*err = w.store.Swap(ctx, old, r)
		w.answered.Add(1)
	})
	synctest.Wait()
	return err
}

// settle returns when everybody waits for something.
func (w *writer) settle() { synctest.Wait() }

// wait returns when every write has its answer.
func (w *writer) wait() { w.wg.Wait() }

func onlyFirst(op string, answer func(c call) (*http.Response, error)) func(call, int, func() *http.Response) (*http.Response, error) {
	return func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		if c.op == op && n == 0 {
			return answer(c)
		}
		return forward(), nil
	}
}

const batchOp = "BatchExecuteStatement"

func TestWriter(t *testing.T) {
	t.Run("lone write is a plain put item", testALoneWriteIsAPlainPutItem)
	t.Run("writes that wait together share a call", testWritesThatWaitTogetherShareACall)
	t.Run("two swaps of one key never share a call", testTwoSwapsOfOneKeyNeverShareACall)
	t.Run("final writes and renewals go before claims", testFinalWritesAndRenewalsGoBeforeClaims)
	t.Run("one bad statement does not fail the others", testOneBadStatementDoesNotFailTheOthers)
	t.Run("bad statement that is answered as such goes alone once", testABadStatementThatIsAnsweredAsSuchGoesAloneOnce)
	t.Run("lost answer of a batch is ambiguous for all and not retried blindly", testALostAnswerOfABatchIsAmbiguousForAllAndNotRetriedBlindly)
	t.Run("caller that gives up before its statement is sent is withdrawn", testACallerThatGivesUpBeforeItsStatementIsSentIsWithdrawn)
	t.Run("caller that gives up while its statement is out leaves the others alone", testACallerThatGivesUpWhileItsStatementIsOutLeavesTheOthersAlone)
	t.Run("statement without an answer is ambiguous", testAStatementWithoutAnAnswerIsAmbiguous)
	t.Run("call that hangs ends at its deadline", testACallThatHangsEndsAtItsDeadline)
}

func testALoneWriteIsAPlainPutItem(t *testing.T) {
	w := &wire{}
	inBubble(t, w, func(wr *writer) { wr.wait() })
	w.expectOps(t, "PutItem")
	for _, want := range []string{`"ConditionExpression":"attribute_not_exists`, `"ReturnValuesOnConditionCheckFailure":"ALL_OLD"`} {
		if body := string(w.calls[0].body); !strings.Contains(body, want) {
			t.Errorf("the call lacks %s: %s", want, body)
		}
	}
}

func testWritesThatWaitTogetherShareACall(t *testing.T) {
	w := &wire{}
	inBubble(t, w, func(wr *writer) {
		for i := range 40 {
			wr.swap(protocol.Version(i%2), record(string(rune('A'+i)), 5))
		}
		wr.wait()
	})
	// A full batch beside the first call, and the rest when none is out.
	if got := w.carried(batchOp); !slices.Equal(got, []int{25, 15}) {
		t.Errorf("batches of %v", got)
	}
}

func testTwoSwapsOfOneKeyNeverShareACall(t *testing.T) {
	w := &wire{}
	inBubble(t, w, func(wr *writer) {
		for i := range 12 {
			wr.swap(protocol.Version(i+1), record([]string{"a", "b", "c"}[i%3], protocol.Version(i+2)))
		}
		wr.wait()
	})
	if got := w.carried(batchOp); !slices.Equal(got, []int{3, 3, 3, 3}) {
		t.Errorf("batches of %v", got)
	}
	for _, c := range w.calls {
		for _, name := range []string{"test#a", "test#b", "test#c"} {
			if n := strings.Count(string(c.body), `"`+name+`"`); n > 1 {
				t.Errorf("a call names %s %d times: %s", name, n, c.body)
			}
		}
	}
}

func testFinalWritesAndRenewalsGoBeforeClaims(t *testing.T) {
	const out, waiting = batch.DefaultCalls - 1, 30
	w := &wire{}
	inBubble(t, w, func(wr *writer) {
		for i := range out*25 + waiting {
			wr.swap(0, record(fmt.Sprint("claim-", i), 5))
		}
		renewed := record("renewed", 6)
		renewed.Fence = 5
		wr.swap(5, renewed)
		done := record("done", 6)
		done.Status = protocol.Completed
		wr.swap(5, done)
		wr.wait()
	})
	next := string(w.calls[1+out].body) // the first that had to choose
	for _, name := range []string{"test#renewed", "test#done"} {
		if !strings.Contains(next, name) {
			t.Errorf("%s had to wait for claims", name)
		}
	}
}

func testOneBadStatementDoesNotFailTheOthers(t *testing.T) {
	w := &wire{hook: func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
		if c.op == batchOp || strings.Contains(string(c.body), "test#bad") {
			return refuse("ValidationException"), nil
		}
		return forward(), nil
	}}
	inBubble(t, w, func(wr *writer) {
		one, bad, other := wr.swap(0, record("one", 5)), wr.swap(4, record("bad", 5)), wr.swap(4, record("other", 5))
		wr.wait()
		if *one != nil || *other != nil {
			t.Errorf("the others: %v, %v", *one, *other)
		}
		if !errors.Is(*bad, dynamo.ErrInvalid) || !errors.Is(*bad, dedupe.ErrUnavailable) {
			t.Errorf("the bad one: %v", *bad)
		}
	})
	// Each alone, and once.
	w.expectOps(t, "PutItem", batchOp, "PutItem", "PutItem", "PutItem")
}

func testABadStatementThatIsAnsweredAsSuchGoesAloneOnce(t *testing.T) {
	w := &wire{hook: onlyFirst(batchOp, func(c call) (*http.Response, error) {
		return statementErrors(c, map[int]string{1: "ValidationError"}), nil
	})}
	inBubble(t, w, func(wr *writer) {
		one, bad := wr.swap(0, record("one", 5)), wr.swap(4, record("bad", 5))
		wr.wait()
		if *one != nil || *bad != nil {
			t.Errorf("got %v, %v", *one, *bad)
		}
	})
	w.expectOps(t, "PutItem", batchOp, "PutItem")
}

func testALostAnswerOfABatchIsAmbiguousForAllAndNotRetriedBlindly(t *testing.T) {
	w := &wire{hook: onlyFirst(batchOp, func(call) (*http.Response, error) { return nil, errCut })}
	inBubble(t, w, func(wr *writer) {
		one, other := wr.swap(0, record("one", 5)), wr.swap(4, record("other", 5))
		wr.wait()
		for _, err := range []error{*one, *other} {
			if _, lost := errors.AsType[*dedupe.ConflictError](err); lost || !errors.Is(err, errCut) || errors.Is(err, dedupe.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
	})
	w.expectOps(t, "PutItem", batchOp)
}

func testACallerThatGivesUpBeforeItsStatementIsSentIsWithdrawn(t *testing.T) {
	w := &wire{}
	inBubble(t, w, func(wr *writer) {
		ctx, cancel := context.WithCancel(wr.t.Context())
		one, gone := wr.swap(0, record("one", 5)), wr.swapUnder(ctx, 0, record("gone", 5))
		cancel()
		synctest.Wait()
		if !errors.Is(*gone, batch.ErrWithdrawn) || !errors.Is(*gone, context.Canceled) {
			t.Errorf("got %v", *gone)
		}
		wr.wait()
		if *one != nil {
			t.Errorf("the other: %v", *one)
		}
	})
	w.expectOps(t, "PutItem", "PutItem") // "one" is alone now
	for _, c := range w.calls {
		if strings.Contains(string(c.body), "gone") {
			t.Errorf("the withdrawn write was sent: %s", c.body)
		}
	}
}

func testACallerThatGivesUpWhileItsStatementIsOutLeavesTheOthersAlone(t *testing.T) {
	w := &wire{}
	inBubble(t, w, func(wr *writer) {
		ctx, cancel := context.WithCancel(wr.t.Context())
		one, gone := wr.swap(0, record("one", 5)), wr.swapUnder(ctx, 0, record("gone", 5))
		time.Sleep(latency + latency/2) // virtual: the first call is answered, the batch is out
		cancel()
		synctest.Wait()
		if !errors.Is(*gone, batch.ErrAmbiguous) || !errors.Is(*gone, context.Canceled) {
			t.Errorf("got %v", *gone)
		}
		wr.wait()
		if *one != nil {
			t.Errorf("the other: %v", *one)
		}
	})
	w.expectOps(t, "PutItem", batchOp)
}

// The caller backs off; a second back-off here would keep it from renewing.
func TestThrottledWrites(t *testing.T) {
	for _, code := range []string{
		"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "TransactionConflict", "InternalServerError",
	} {
		t.Run("statement/"+code, func(t *testing.T) {
			w := &wire{hook: onlyFirst(batchOp, func(c call) (*http.Response, error) {
				return statementErrors(c, map[int]string{1: code}), nil
			})}
			inBubble(t, w, func(wr *writer) {
				one, hot := wr.swap(0, record("one", 5)), wr.swap(4, record("hot", 5))
				wr.wait()
				if *one != nil {
					t.Errorf("got %v", *one)
				}
				expectBusy(t, *hot)
			})
			w.expectOps(t, "PutItem", batchOp)
		})
	}
	for _, code := range []string{"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "TransactionConflictException"} {
		for mode, batching := range modes {
			t.Run("alone/"+mode+"/"+code, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &wire{hook: func(call, int, func() *http.Response) (*http.Response, error) { return refuse(code), nil }}
					s := newStore(t, w.client(), dynamo.Config{Table: "t", Batch: batching})
					expectBusy(t, s.Swap(t.Context(), 0, record("a", 1)))
					w.expectOps(t, "PutItem")
				})
			})
		}
		t.Run("batch/"+code, func(t *testing.T) {
			w := &wire{hook: onlyFirst(batchOp, func(call) (*http.Response, error) { return refuse(code), nil })}
			inBubble(t, w, func(wr *writer) {
				one, other := wr.swap(0, record("one", 5)), wr.swap(4, record("other", 5))
				wr.wait()
				expectBusy(t, *one)
				expectBusy(t, *other)
			})
			w.expectOps(t, "PutItem", batchOp)
		})
	}
}

// expectBusy fails the test unless err says that a later try may succeed.
func expectBusy(t *testing.T, err error) {
	t.Helper()
	if _, lost := errors.AsType[*dedupe.ConflictError](err); err == nil || lost || errors.Is(err, dedupe.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func testAStatementWithoutAnAnswerIsAmbiguous(t *testing.T) {
	w := &wire{hook: onlyFirst(batchOp, func(call) (*http.Response, error) {
		return respond(200, `{"Responses":[{"TableName":"t"}]}`), nil
	})}
	inBubble(t, w, func(wr *writer) {
		one, other := wr.swap(0, record("a", 5)), wr.swap(0, record("b", 5))
		wr.wait()
		if *one != nil || !errors.Is(*other, batch.ErrNoAnswer) {
			t.Errorf("got %v, %v", *one, *other)
		}
	})
}

func testACallThatHangsEndsAtItsDeadline(t *testing.T) {
	for mode, batching := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{delay: time.Hour}
				s := newStore(t, w.client(), dynamo.Config{Table: "t", Batch: batching})
				start := time.Now()
				err := s.Swap(t.Context(), 0, record("a", 1))
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != dynamo.DefaultTimeout {
					t.Errorf("write: %v after %s", err, took)
				}
				start = time.Now()
				_, err = s.Get(t.Context(), "test#a")
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != dynamo.DefaultTimeout {
					t.Errorf("read: %v after %s", err, took)
				}
			})
		})
	}
}

// One call that hangs costs no other name its lease, also where leases are short.
func TestHungCall(t *testing.T) {
	for _, lease := range []time.Duration{5 * time.Second, 6 * time.Second, 7 * time.Second, 30 * time.Second} {
		for what, hung := range map[string]string{"another name's claim": `"q#other"`, "a renewal": `"q#victim"`} {
			t.Run(fmt.Sprint(lease, "/", what), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &wire{delay: latency}
					seen := 0
					w.hook = func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
						if strings.Contains(string(c.body), hung) {
							if seen++; seen == 2-strings.Count(hung, "other") { // the victim's first is its claim
								return nil, errHang
							}
						}
						return forward(), nil
					}
					s := newStore(t, w.client(), dynamo.Config{Table: "t", Timeout: dynamo.TimeoutFor(lease)})
					var lost atomic.Int32
					g, err := dedupe.New[int](s, dedupe.Config{
						Scope: "q", Lease: lease, Hooks: dedupe.Hooks{LeaseLost: func(dedupe.Attempt) { lost.Add(1) }},
					})
					if err != nil {
						t.Fatal(err)
					}
					var wg sync.WaitGroup
					do := func(name string, work time.Duration) {
						wg.Go(func() {
							_, err := g.Do(t.Context(), dedupe.Key{Name: name}, func(context.Context) (int, error) {
								time.Sleep(work) // virtual
								return 0, nil
							})
							if err != nil {
								t.Errorf("%s: %v", name, err)
							}
						})
					}
					do("victim", 3*lease)
					time.Sleep(time.Second) // virtual
					do("other", 0)
					wg.Wait()
					if n := lost.Load(); n != 0 {
						t.Errorf("%d leases were lost", n)
					}
				})
			})
		}
	}
}
