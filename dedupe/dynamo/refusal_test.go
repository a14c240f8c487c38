package dynamo_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// tellsOnce checks that the store has told, in its log and by its hook, that it
// does without an operation; "" is none.
func (w *writer) tellsOnce(operation string) {
	w.t.Helper()
	var want []string
	if operation != "" {
		want = []string{operation}
	}
	if lines := strings.Count(w.log.String(), "level=ERROR"); lines != len(want) || !slices.Equal(w.told, want) {
		w.t.Errorf("told of %q, want %q; %d lines:\n%s", w.told, want, lines, w.log)
	}
}

// rounds has writes share a call, n times: three INSERTs and three UPDATEs.
func (w *writer) rounds(from, n int) {
	for i := from; i < from+n; i++ {
		w.swap(0, record(fmt.Sprint("lone-", i), 5))
		for k := range 6 {
			w.swap(protocol.Version(k%2), record(fmt.Sprintf("n%d-%d", i, k), 5))
		}
		w.wait()
	}
}

// everyMember answers a batch with a code for each member that has the text.
func everyMember(c call, text, code string) *http.Response {
	codes := make(map[int]string)
	for i, s := range c.texts() {
		if strings.Contains(s, text) {
			codes[i] = code
		}
	}
	return statementErrors(c, codes)
}

// enough is the number of rounds after which the store must have understood.
const enough = 8

// refusal is a case of TestRefusedBatches.
type refusal struct {
	answer func(c call, n int) (*http.Response, error) // to a batch; nil: it goes through
	single func(c call, n int) *http.Response          // to a single write; nil: it goes through
	given  bool                                        // batches are given up
}

func TestRefusedBatches(t *testing.T) {
	for name, tc := range map[string]refusal{
		"denied":             {func(call, int) (*http.Response, error) { return refuse("AccessDeniedException"), nil }, nil, true},
		"unknown":            {func(call, int) (*http.Response, error) { return refuse("UnknownOperationException"), nil }, nil, true},
		"members denied":     {func(c call, _ int) (*http.Response, error) { return everyMember(c, "", "AccessDenied"), nil }, nil, true},
		"inserts malformed":  {func(c call, _ int) (*http.Response, error) { return everyMember(c, "INSERT", "ValidationError"), nil }, nil, true},
		"updates malformed":  {func(c call, _ int) (*http.Response, error) { return everyMember(c, "UPDATE", "ValidationError"), nil }, nil, true},
		"calls malformed":    {func(call, int) (*http.Response, error) { return refuse("ValidationException"), nil }, nil, true},
		"server errors":      {func(call, int) (*http.Response, error) { return refuse("InternalServerError"), nil }, nil, true},
		"broken connections": {func(call, int) (*http.Response, error) { return nil, errCut }, nil, true},
		"members that fail":  {func(c call, _ int) (*http.Response, error) { return everyMember(c, "", "InternalServerError"), nil }, nil, true},

		"fine":              {nil, nil, false},
		"throttled":         {func(call, int) (*http.Response, error) { return refuse("ThrottlingException"), nil }, nil, false},
		"members throttled": {func(c call, _ int) (*http.Response, error) { return everyMember(c, "", "ThrottlingError"), nil }, nil, false},
		"every second fails": {func(c call, n int) (*http.Response, error) {
			return []*http.Response{refuse("InternalServerError"), fine(c)}[n%2], nil
		}, nil, false},
		"bad records": {
			func(c call, _ int) (*http.Response, error) { return everyMember(c, "UPDATE", "ValidationError"), nil },
			func(c call, _ int) *http.Response {
				if strings.Contains(string(c.body), "lone") {
					return nil
				}
				return refuse("ValidationException")
			}, false,
		},
		"an outage, while batches are out": {
			func(c call, n int) (*http.Response, error) {
				return []*http.Response{refuse("InternalServerError"), fine(c)}[min(n/20, 1)], nil
			},
			func(_ call, n int) *http.Response {
				if n < 40 {
					return refuse("InternalServerError")
				}
				return nil
			}, false,
		},
	} {
		t.Run(name, tc.check)
	}
}

func (tc refusal) check(t *testing.T) {
	w := &wire{}
	w.hook = func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		if c.op == batchOp && tc.answer != nil {
			return tc.answer(c, n)
		}
		if c.op == "PutItem" && tc.single != nil {
			if resp := tc.single(c, n); resp != nil {
				return resp, nil
			}
		}
		return forward(), nil
	}
	inBubble(t, w, func(wr *writer) {
		wr.rounds(0, enough)
		before := len(w.carried(batchOp))
		wr.rounds(enough, 2)
		if given := len(w.carried(batchOp)) == before; given != tc.given {
			t.Errorf("batches given up: %v; calls %q", given, w.ops())
		}
		if tc.given {
			wr.tellsOnce(batchOp)
		} else {
			wr.tellsOnce("")
		}
	})
}

// Each write goes once in a batch and once alone until batches are given up, and
// none fails.
func TestRefusedBatches_calls(t *testing.T) {
	w := &wire{hook: func(c call, _ int, forward func() *http.Response) (*http.Response, error) {
		if c.op == batchOp {
			return everyMember(c, "UPDATE", "ValidationError"), nil
		}
		return forward(), nil
	}}
	inBubble(t, w, func(wr *writer) {
		var errs []*error
		for i := range 4 {
			errs = append(errs, wr.swap(1, record(fmt.Sprint("a", i), 5)))
		}
		wr.wait()
		for i := range 4 {
			errs = append(errs, wr.swap(1, record(fmt.Sprint("b", i), 5)))
		}
		wr.wait()
		for i, err := range errs {
			if *err != nil {
				t.Errorf("write %d: %v", i, *err)
			}
		}
	})
	w.expectOps(t, slices.Concat([]string{"PutItem", batchOp}, slices.Repeat([]string{"PutItem"}, 8))...)
}

func TestRefusal(t *testing.T) {
	t.Run("where everything is denied batches are not given up", testWhereEverythingIsDeniedBatchesAreNotGivenUp)
}

func testWhereEverythingIsDeniedBatchesAreNotGivenUp(t *testing.T) {
	w := &wire{hook: func(c call, n int, forward func() *http.Response) (*http.Response, error) {
		if c.op == batchOp && n == 0 || c.op == "PutItem" && (n == 1 || n == 2) {
			return refuse("AccessDeniedException"), nil
		}
		return forward(), nil
	}}
	inBubble(t, w, func(wr *writer) {
		one, other := wr.swap(0, record("a", 5)), wr.swap(0, record("b", 5))
		wr.wait()
		for _, err := range []error{*one, *other} {
			if !errors.Is(err, dynamo.ErrDenied) || !errors.Is(err, dedupe.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
		for _, name := range []string{"c", "d", "e"} {
			wr.swap(0, record(name, 5))
		}
		wr.wait()
	})
	w.expectOps(t, "PutItem", batchOp, "PutItem", "PutItem", "PutItem", batchOp)
}
