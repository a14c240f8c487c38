package dynamo_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
)

// inBothModes runs a test of a store on the local server, behind a wire.
func inBothModes(t *testing.T, test func(t *testing.T, w *wire, s *dynamo.Store)) {
	for mode, batching := range modes {
		t.Run(mode, func(t *testing.T) {
			w, client := wired(t)
			s := newStore(t, client, dynamo.Config{Table: newTable(t, client), Batch: batching})
			w.calls = nil // those that made the table
			test(t, w, s)
		})
	}
}

var terms = protocol.Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: time.Hour, MaxAttempts: 3}

func claim(owner byte, name string) protocol.Claim {
	return protocol.Claim{Now: time.Now(), Owner: protocol.Token{owner}, Terms: terms, ID: "test#" + name, Name: name}
}

// swapAll swaps all records at once, over their versions less one (1: absent),
// and returns the errors.
func swapAll(t *testing.T, s dedupe.Store, records []protocol.Record) []error {
	t.Helper()
	errs := make([]error, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		wg.Go(func() { errs[i] = s.Swap(t.Context(), r.Version-1, r) })
	}
	wg.Wait()
	return errs
}

// many returns n records of names that begin alike.
func many(prefix string, n int, v protocol.Version) []protocol.Record {
	records := make([]protocol.Record, n)
	for i := range records {
		records[i] = record(fmt.Sprint(prefix, i), v)
	}
	return records
}

// held sends a write that is answered only when finish is called. 25 writes
// meanwhile share one call: a full batch does not wait.
func held(t *testing.T, w *wire, s dedupe.Store) (finish func()) {
	t.Helper()
	release := make(chan struct{})
	started := make(chan struct{})
	inner := w.hook
	holder := record("holder-"+rand.Text(), 1)
	w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		if strings.Contains(string(c.body), holder.ID) {
			close(started)
			<-release
		}
		if inner == nil {
			return forward(), nil
		}
		return inner(c, n, forward)
	}
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = s.Swap(t.Context(), 0, holder) })
	<-started
	return func() {
		close(release)
		if wg.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestReads(t *testing.T) {
	t.Run("claim whose answer was lost is recognised by its token", testAClaimWhoseAnswerWasLostIsRecognisedByItsToken)
	t.Run("lost answer of a batch loses no write and doubles none", testALostAnswerOfABatchLosesNoWriteAndDoublesNone)
	t.Run("batch is accepted as it is", testABatchIsAcceptedAsItIs)
	t.Run("conflicts without an item are read back in one call", testConflictsWithoutAnItemAreReadBackInOneCall)
	t.Run("conflict that carries the item is not read back", testAConflictThatCarriesTheItemIsNotReadBack)
	t.Run("conflict of a single write without an item is read back", testAConflictOfASingleWriteWithoutAnItemIsReadBack)
	t.Run("unprocessed keys are asked for again", testUnprocessedKeysAreAskedForAgain)
	t.Run("one back-off", testOneBackOff)
	t.Run("where batch reads are denied the store reads one by one", testWhereBatchReadsAreDeniedTheStoreReadsOneByOne)
	t.Run("each refusal names the side that has to act", testEachRefusalNamesTheSideThatHasToAct)
}

func testAClaimWhoseAnswerWasLostIsRecognisedByItsToken(t *testing.T) {
	inBothModes(t, func(t *testing.T, w *wire, s *dynamo.Store) {
		w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
			if c.op == "PutItem" && n == 0 {
				return cut(forward())
			}
			return forward(), nil
		}
		event := claim(1, "a")
		next, _ := protocol.Step(protocol.Record{}, event)
		err := s.Swap(t.Context(), 0, next)
		conflict, lost := errors.AsType[*dedupe.ConflictError](err)
		if !lost {
			// Ambiguous: the writer does not repeat a write that may have been applied.
			if !errors.Is(err, errCut) {
				t.Fatalf("got %v", err)
			}
			if conflict, lost = errors.AsType[*dedupe.ConflictError](s.Swap(t.Context(), 0, next)); !lost {
				t.Fatal("the lost write was not applied")
			}
		}
		if got, verdict := protocol.Step(conflict.Current, event); verdict != protocol.VerdictApply || got.Version != next.Version {
			t.Errorf("verdict %d on version %d, want the claim to stand at %d", verdict, got.Version, next.Version)
		}
	})
}

func testALostAnswerOfABatchLosesNoWriteAndDoublesNone(t *testing.T) {
	w, client := wired(t)
	s := newStore(t, client, dynamo.Config{Table: newTable(t, client)})
	w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		if c.op == batchOp && n == 0 {
			return cut(forward())
		}
		return forward(), nil
	}
	finish := held(t, w, s)
	records := many("a", 25, 1)
	for i, err := range swapAll(t, s, records) {
		if _, lost := errors.AsType[*dedupe.ConflictError](err); lost || !errors.Is(err, errCut) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	finish()
	for i, err := range swapAll(t, s, records) {
		lost, ok := errors.AsType[*dedupe.ConflictError](err)
		if !ok {
			t.Errorf("write %d again: %v", i, err)
		} else if !storetest.Same(lost.Current, records[i]) {
			t.Errorf("write %d left %+v, want %+v", i, lost.Current, records[i])
		}
	}
}

func testABatchIsAcceptedAsItIs(t *testing.T) {
	w, client := wired(t)
	s := newStore(t, client, dynamo.Config{Table: newTable(t, client)})
	records := many("a", 25, 1)
	for v := range protocol.Version(3) {
		for i := range records {
			records[i].Version = v + 1
			records[i].Status = []protocol.Status{protocol.InProgress, protocol.Completed, protocol.Forgotten}[v]
			records[i].Result = [][]byte{nil, []byte(`{"a":[1]}`), nil}[v]
		}
		w.calls = nil
		finish := held(t, w, s)
		if err := errors.Join(swapAll(t, s, records)...); err != nil {
			t.Fatal(err)
		}
		finish()
		w.expectOps(t, "PutItem", batchOp)
		for _, r := range records {
			if got, err := s.Get(t.Context(), r.ID); err != nil || !storetest.Same(got, r) {
				t.Errorf("stored %+v, %v, want %+v", got, err, r)
			}
		}
	}
}

func testConflictsWithoutAnItemAreReadBackInOneCall(t *testing.T) {
	w, client := wired(t)
	s := newStore(t, client, dynamo.Config{Table: newTable(t, client)})
	there := slices.Concat(many("new", 5, 1), many("old", 5, 1))
	if err := errors.Join(swapAll(t, s, there)...); err != nil {
		t.Fatal(err)
	}
	w.calls = nil
	finish := held(t, w, s)
	// INSERTs and UPDATEs that lose, an UPDATE of a missing item, and winners.
	losers := slices.Concat(many("new", 5, 1), many("old", 5, 9), many("gone", 1, 9))
	winners := many("fine", 25-len(losers), 1)
	errs := swapAll(t, s, slices.Concat(losers, winners))
	finish()
	for i, err := range errs {
		if i >= len(losers) {
			if err != nil {
				t.Errorf("winner: %v", err)
			}
			continue
		}
		lost, ok := errors.AsType[*dedupe.ConflictError](err)
		want := protocol.Record{}
		if i < len(there) {
			want = there[i]
		}
		if !ok {
			t.Errorf("loser %d: %v", i, err)
		} else if !storetest.Same(lost.Current, want) {
			t.Errorf("loser %d is shown %+v, want %+v", i, lost.Current, want)
		}
	}
	if got := w.carried("BatchGetItem"); !slices.Equal(got, []int{len(losers)}) || slices.Contains(w.ops(), "GetItem") {
		t.Errorf("read back by %q, %v keys at a time", w.ops(), got)
	}
	for _, c := range w.calls {
		if c.op == "BatchGetItem" && !strings.Contains(string(c.body), `"ConsistentRead":true`) {
			t.Errorf("the read is not strongly consistent: %s", c.body)
		}
	}
}

// An item in the answer saves the read.
func testAConflictThatCarriesTheItemIsNotReadBack(t *testing.T) {
	w := &wire{hook: onlyFirst(batchOp, func(call) (*http.Response, error) {
		return respond(200, `{"Responses":[{"TableName":"t"},{"Error":{"Code":"ConditionalCheckFailed","Item":{
			"id":{"S":"test#b"},"name":{"S":"b"},"format":{"N":"1"},"status":{"S":"COMPLETED"},"version":{"N":"77"}}}}]}`), nil
	})}
	inBubble(t, w, func(wr *writer) {
		wr.swap(0, record("a", 5))
		err := wr.swap(4, record("b", 5))
		wr.wait()
		if lost, ok := errors.AsType[*dedupe.ConflictError](*err); !ok || lost.Current.Version != 77 {
			t.Errorf("got %v", *err)
		}
	})
	w.expectOps(t, "PutItem", batchOp)
}

func testAConflictOfASingleWriteWithoutAnItemIsReadBack(t *testing.T) {
	inBothModes(t, func(t *testing.T, w *wire, s *dynamo.Store) {
		r := record("a", 5)
		if err := s.Swap(t.Context(), 0, r); err != nil {
			t.Fatal(err)
		}
		w.hook = func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
			resp := forward()
			if c.op == "PutItem" {
				return withoutItem(t, resp), nil
			}
			return resp, nil
		}
		for _, old := range []protocol.Version{0, 3} {
			next := r
			next.Version = 9
			lost, ok := errors.AsType[*dedupe.ConflictError](s.Swap(t.Context(), old, next))
			if !ok || !storetest.Same(lost.Current, r) {
				t.Errorf("over version %d: %+v, want %+v", old, lost, r)
			}
		}
	})
}

// withoutItem takes the item out of an answer.
func withoutItem(t *testing.T, resp *http.Response) *http.Response {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close() // read to its end
	var body map[string]json.RawMessage
	if err := json.Unmarshal(data, &body); err != nil {
		t.Error(err)
	}
	delete(body, "Item")
	if data, err = json.Marshal(body); err != nil {
		t.Error(err)
	}
	return respond(resp.StatusCode, string(data))
}

func testUnprocessedKeysAreAskedForAgain(t *testing.T) {
	w := &wire{hook: func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		found := func(names ...string) string {
			var items []string
			for _, name := range names {
				items = append(items, fmt.Sprintf(
					`{"id":{"S":"test#%s"},"name":{"S":%[1]q},"format":{"N":"1"},"status":{"S":"RETRYING"},"version":{"N":"7"}}`, name))
			}
			return strings.Join(items, ",")
		}
		switch {
		case c.op != "BatchGetItem":
			return forward(), nil
		case n == 0:
			return respond(200, `{"Responses":{"t":[`+found("a")+`]},"UnprocessedKeys":{"t":{"Keys":[
				{"id":{"S":"test#b"}},{"id":{"S":"test#c"}}]}}}`), nil
		default:
			return respond(200, `{"Responses":{"t":[`+found("b")+`]},"UnprocessedKeys":{}}`), nil
		}
	}}
	inBubble(t, w, func(wr *writer) {
		versions := make([]protocol.Version, 4)
		errs := make([]error, 4)
		for i, name := range []string{"lone", "a", "b", "c"} {
			wr.wg.Go(func() {
				r, err := wr.store.Get(wr.t.Context(), "test#"+name)
				versions[i], errs[i] = r.Version, err
			})
			wr.settle()
		}
		wr.wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if !slices.Equal(versions, []protocol.Version{0, 7, 7, 0}) {
			t.Errorf("read versions %v", versions)
		}
	})
	if got := w.carried("BatchGetItem"); !slices.Equal(got, []int{3, 2}) {
		t.Errorf("batches of %v", got)
	}
	for _, c := range w.calls {
		if c.op == "BatchGetItem" && !strings.Contains(string(c.body), `"ConsistentRead":true`) {
			t.Errorf("the read is not strongly consistent: %s", c.body)
		}
	}
}

// A read without an answer is tried again by one back-off: pauses that
// double from 25 ms, and no tries of the SDK's between them.
func testOneBackOff(t *testing.T) {
	const troubles = 4
	throttled := func(call) (*http.Response, error) { return refuse("ProvisionedThroughputExceededException"), nil }
	for name, c := range map[string]struct {
		op      string
		trouble func(call) (*http.Response, error)
	}{
		"one throttled":    {"GetItem", throttled},
		"one lost":         {"GetItem", func(call) (*http.Response, error) { return nil, errCut }},
		"batch throttled":  {"BatchGetItem", throttled},
		"batch not served": {"BatchGetItem", func(call) (*http.Response, error) { return respond(500, `{}`), nil }},
		"batch unprocessed": {"BatchGetItem", func(c call) (*http.Response, error) {
			return respond(200, `{"Responses":{},"UnprocessedKeys":{"t":{"Keys":[{"id":{"S":"test#a"}},{"id":{"S":"test#b"}}]}}}`), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var tries []time.Time
			w := &wire{hook: func(made call, n int, forward func() *http.Response) (*http.Response, error) {
				if made.op != c.op {
					return forward(), nil
				}
				tries = append(tries, time.Now())
				if n < troubles {
					return c.trouble(made)
				}
				return forward(), nil
			}}
			inBubble(t, w, func(wr *writer) {
				names := []string{"a"}
				if c.op == "BatchGetItem" {
					names = []string{"lone", "a", "b"}
				}
				for _, name := range names {
					wr.wg.Go(func() {
						if _, err := wr.store.Get(wr.t.Context(), "test#"+name); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					})
					wr.settle()
				}
				wr.wait()
			})
			if len(tries) != troubles+1 {
				t.Fatalf("%d tries, want %d", len(tries), troubles+1)
			}
			for i, most := 1, 25*time.Millisecond; i < len(tries); i, most = i+1, 2*most {
				if pause := tries[i].Sub(tries[i-1]) - latency; pause < most/2 || pause > most {
					t.Errorf("pause %d: %s, want %s to %s", i, pause, most/2, most)
				}
			}
		})
	}
}

func testWhereBatchReadsAreDeniedTheStoreReadsOneByOne(t *testing.T) {
	w := &wire{hook: func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
		if c.op == "BatchGetItem" {
			return refuse("AccessDeniedException"), nil
		}
		return forward(), nil
	}}
	inBubble(t, w, func(wr *writer) {
		for round := range 2 {
			for _, name := range []string{"lone", "a", "b"} {
				wr.wg.Go(func() {
					if _, err := wr.store.Get(wr.t.Context(), "test#"+name); err != nil {
						t.Errorf("round %d: %v", round, err)
					}
				})
				wr.settle()
			}
			wr.wait()
		}
		wr.tellsOnce("BatchGetItem")
	})
	if n := len(w.carried("BatchGetItem")); n != 1 {
		t.Errorf("%d batch reads", n)
	}
}

func testEachRefusalNamesTheSideThatHasToAct(t *testing.T) {
	for code, want := range map[string]error{
		"ResourceNotFoundException":   dynamo.ErrNoTable,
		"AccessDeniedException":       dynamo.ErrDenied,
		"UnrecognizedClientException": dynamo.ErrDenied,
		"ExpiredTokenException":       dynamo.ErrDenied,
		"InvalidSignatureException":   dynamo.ErrDenied,
		"ValidationException":         dynamo.ErrInvalid,
		"UnknownOperationException":   dynamo.ErrInvalid,
	} {
		w := &wire{hook: func(call, int, func() *http.Response) (*http.Response, error) { return refuse(code), nil }}
		s := newStore(t, w.client(), dynamo.Config{Table: "t", Batch: dynamo.BatchOff})
		if err := s.Swap(t.Context(), 0, record("a", 1)); !errors.Is(err, want) || !errors.Is(err, dedupe.ErrUnavailable) {
			t.Errorf("write, %s: got %v", code, err)
		}
		if _, err := s.Get(t.Context(), "test#a"); !errors.Is(err, want) || !errors.Is(err, dedupe.ErrUnavailable) {
			t.Errorf("read, %s: got %v", code, err)
		}
	}
}
