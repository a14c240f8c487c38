package producerapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestDeadLettersAreShownWithTheirRecords(t *testing.T) {
	b := operatorBench(t, "orders")
	b.record("bad", b.claim("bad", body("bad")), fail(protocol.FailPermanent, "no such customer"))
	b.record("moved", b.claim("moved", body("moved")))
	b.deadLetter("bad", "m-1", "rejected")
	b.deadLetter("bad", "m-1", "rejected") // copies are at least once
	b.deadLetter("moved", "", "")
	for range 2 { // looking leaves everything as it is
		got := decode[DeadLetters](b.do(http.MethodGet, "/dlq", "", bearer...).want(http.StatusOK))
		if got.Visible != 3 || len(got.Messages) != 3 || got.Originals != 2 || !got.Complete {
			t.Fatalf("answer is %+v", got)
		}
		slices.SortFunc(got.Messages, func(x, y DeadLetter) int { return len(x.Name) - len(y.Name) })
		bad, moved := got.Messages[0], got.Messages[2]
		if bad.Name != "bad" || bad.Reason != "rejected" || bad.Attempts != 5 || bad.OriginalID != "m-1" || bad.Error == "" ||
			bad.Record == nil || bad.Record.Status != protocol.Rejected || bad.Body != "" || bad.SentAt.IsZero() {
			t.Errorf("message is %+v", bad)
		}
		if moved.Reason != "" || moved.OriginalID != moved.MessageID || moved.Record == nil || moved.Record.Status != protocol.InProgress {
			t.Errorf("message is %+v", moved)
		}
	}
	got := decode[DeadLetters](b.do(http.MethodGet, "/dlq?limit=2&body=true", "", bearer...).want(http.StatusOK))
	if len(got.Messages) != 2 || got.Complete || got.Messages[0].Body == "" {
		t.Errorf("answer is %+v", got)
	}
	for _, limit := range []string{"0", "1001", "x"} {
		b.do(http.MethodGet, "/dlq?limit="+limit, "", bearer...).wantField(http.StatusBadRequest, "limit")
	}
	b.do(http.MethodGet, "/dlq?limit=%", "", bearer...).wantField(http.StatusBadRequest, "query")
	b.do(http.MethodGet, "/dlq?body=maybe", "", bearer...).wantField(http.StatusBadRequest, "body")
}

func TestRedriveByATaskMovesEverything(t *testing.T) {
	b := operatorBench(t, "orders")
	b.do(http.MethodGet, "/dlq/redrive", "", bearer...).want(http.StatusNotFound)
	for i := range 30 {
		b.deadLetter("n-"+strconv.Itoa(i), "m", "rejected")
	}
	got := decode[Redrive](b.do(http.MethodPost, "/dlq/redrive", `{}`, bearer...).want(http.StatusAccepted))
	if got.Mode != ModeTask || got.Status != RedriveRunning || got.ToMove != 30 {
		t.Errorf("answer is %+v", got)
	}
	got = decode[Redrive](b.do(http.MethodGet, "/dlq/redrive", "", bearer...).want(http.StatusOK))
	if got.Status != RedriveCompleted || got.Moved != 30 {
		t.Errorf("answer is %+v", got)
	}
	moved := b.received(b.url)
	if len(moved) != 30 || len(b.received(b.dlqURL)) != 0 {
		t.Errorf("%d messages were moved", len(moved))
	}
	for _, m := range moved {
		if v := m.MessageAttributes[consumer.AttrReason]; v.StringValue == nil {
			t.Error("the order is gone from the message")
		}
	}
}

func TestRedriveOneByOneMovesWhatIsMeant(t *testing.T) {
	for _, queue := range []string{"orders", "orders.fifo"} {
		for order, want := range map[string]int{
			`{"name":"n-3"}`:                        1,
			`{"reason":"mismatch"}`:                 10,
			`{"one_by_one":true}`:                   25,
			`{"name":"n-3","reason":"mismatch"}`:    0,
			`{"name":"n-4","reason":"mismatch"}`:    1,
			`{"reason":"nobody knows this reason"}`: 0,
		} {
			b := operatorBench(t, queue)
			for i := range 25 {
				reason := "rejected"
				if i%2 == 0 && i < 20 {
					reason = "mismatch"
				}
				b.deadLetter("n-"+strconv.Itoa(i), "m", reason)
			}
			got := decode[Redrive](b.do(http.MethodPost, "/dlq/redrive", order, bearer...).want(http.StatusOK))
			if got != (Redrive{Mode: ModeOneByOne, Status: RedriveCompleted, Moved: int64(want)}) {
				t.Errorf("%s: answer is %+v", order, got)
			}
			moved, left := b.received(b.url), b.received(b.dlqURL)
			if len(moved) != want || len(left) != 25-want {
				t.Errorf("%s on %s: %d moved, %d left", order, queue, len(moved), len(left))
			}
			for _, m := range moved {
				if v := m.MessageAttributes[consumer.AttrReason]; v.StringValue == nil || len(m.MessageAttributes) != 5 {
					t.Errorf("attributes are %v", m.MessageAttributes)
				}
			}
		}
	}
}

func TestRedriveNeedsAWordForUnknownNames(t *testing.T) {
	for _, order := range []string{`"rate":0`, `"one_by_one":true`} {
		b := operatorBench(t, "orders")
		b.record("u", b.claim("u", body("u")), fail(protocol.FailUnknown, "timed out"))
		b.deadLetter("u", "m-1", "unknown outcome")
		b.deadLetter("u", "m-2", "unknown outcome")
		b.deadLetter("a", "m-3", "rejected")
		r := b.do(http.MethodPost, "/dlq/redrive", `{`+order+`}`, bearer...)
		r.wantField(http.StatusConflict, "reopen_unknown")
		if got := decode[problem](r).Names; !slices.Equal(got, []string{"u"}) {
			t.Errorf("names are %q", got)
		}
		if n := len(b.received(b.url)); n != 0 || b.record("u").Status != protocol.Unknown {
			t.Errorf("%d messages were moved, record is %+v", n, b.record("u"))
		}
		// Only the others: no word is needed.
		b.do(http.MethodPost, "/dlq/redrive", `{"name":"a"}`, bearer...).want(http.StatusOK)
		b.do(http.MethodPost, "/dlq/redrive", `{"reopen_unknown":true,`+order+`}`, bearer...)
		if n := len(b.received(b.url)); n != 3 || b.record("u").Status != protocol.Retrying {
			t.Errorf("%d messages were moved, record is %+v", n, b.record("u"))
		}
	}
}

func TestRedriveWithoutTasksGoesMessageByMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := operatorBench(t, "orders")
		b.deadLetter("a", "m-1", "rejected")
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			switch c.Operation {
			case "StartMessageMoveTask", "ListMessageMoveTasks":
				return sqstest.Fault{Error: &sqstest.Error{Code: "InvalidAction", SenderFault: true}}
			}
			return sqstest.Fault{}
		})
		got := decode[Redrive](b.do(http.MethodPost, "/dlq/redrive", `{}`, bearer...).want(http.StatusOK))
		if got.Mode != ModeOneByOne || got.Moved != 1 {
			t.Errorf("answer is %+v", got)
		}
		b.do(http.MethodGet, "/dlq/redrive", "", bearer...).want(http.StatusNotFound)
	})
}

func TestRedriveThatCannotBeStartedSaysWhy(t *testing.T) {
	b := operatorBench(t, "orders")
	for i := range 10 {
		b.deadLetter("n-"+strconv.Itoa(i), "m", "rejected")
	}
	b.do(http.MethodPost, "/dlq/redrive", `{"rate":1}`, bearer...).want(http.StatusAccepted)
	b.do(http.MethodPost, "/dlq/redrive", `{"rate":1}`, bearer...).want(http.StatusConflict) // one at a time
	b.do(http.MethodPost, "/dlq/redrive", `{"rate":501}`, bearer...).wantField(http.StatusBadRequest, "rate")
	b.do(http.MethodPost, "/dlq/redrive", `{"all":true}`, bearer...).wantField(http.StatusBadRequest, "body")
	if got := decode[Redrive](b.do(http.MethodGet, "/dlq/redrive", "", bearer...).want(http.StatusOK)); got.Status != RedriveRunning {
		t.Errorf("answer is %+v", got)
	}
}

func TestMessageThatCannotBeSentStaysWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := operatorBench(t, "orders")
		for i := range 5 {
			b.deadLetter("n-"+strconv.Itoa(i), "m", "rejected")
		}
		var sent atomic.Int64
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessage" && sent.Add(1) > 2 {
				return sqstest.Fault{Error: &sqstest.Error{Code: "ServiceUnavailable"}}
			}
			return sqstest.Fault{}
		})
		b.do(http.MethodPost, "/dlq/redrive", `{"one_by_one":true}`, bearer...).want(http.StatusServiceUnavailable)
		b.server.Control(nil)
		if moved, left := len(b.received(b.url)), len(b.received(b.dlqURL)); moved != 2 || left != 3 {
			t.Errorf("%d moved, %d left", moved, left)
		}
	})
}

func TestPurgeEmptiesTheDeadLetterQueue(t *testing.T) {
	b := operatorBench(t, "orders")
	b.deadLetter("a", "m-1", "rejected")
	got := decode[struct{ Purged int }](b.do(http.MethodDelete, "/dlq", "", bearer...).want(http.StatusAccepted))
	if got.Purged != 1 || len(b.received(b.dlqURL)) != 0 {
		t.Errorf("answer is %+v", got)
	}
	r := b.do(http.MethodDelete, "/dlq", "", bearer...).want(http.StatusConflict)
	if r.Header().Get("Retry-After") != "60" {
		t.Errorf("headers are %v", r.Header())
	}
}

func TestQueueWithoutADeadLetterQueueSaysSo(t *testing.T) {
	b := operatorBench(t, "orders")
	b.api.cfg.QueueURL = b.dlqURL // which has none itself
	b.do(http.MethodGet, "/dlq", "", bearer...).want(http.StatusNotFound)
	b.do(http.MethodPost, "/dlq/redrive", "{}", bearer...).want(http.StatusNotFound)
}

func TestDeadLetterQueueThatDoesNotAnswerIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := operatorBench(t, "orders")
		b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Delay: time.Millisecond, Error: &sqstest.Error{Code: "ServiceUnavailable"}}
		})
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			b.do(method, "/dlq", "", bearer...).want(http.StatusServiceUnavailable)
		}
	})
}
