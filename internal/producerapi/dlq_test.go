package producerapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestDeadLetters(t *testing.T) {
	t.Run("with their records", testDeadLettersRecords)
	t.Run("page by page", testDeadLettersPages)
	t.Run("purge", testDeadLettersPurge)
	t.Run("no queue", testDeadLettersNoQueue)
	t.Run("outage", testDeadLettersOutage)
}

// inVirtualTime runs f on a bench for operators, in virtual time.
func inVirtualTime(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, operatorBench(t, "orders")) })
}

func (b *bench) look(query string) DeadLetters {
	b.t.Helper()
	return decode[DeadLetters](b.do(http.MethodGet, "/dlq?"+query, "", bearer...).want(http.StatusOK))
}

func testDeadLettersRecords(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, b *bench) {
		b.record("bad", b.claim("bad", body("bad")), fail(protocol.FailPermanent, "no such customer"))
		b.record("moved", b.claim("moved", body("moved")))
		b.deadLetter("bad", "m-1", "rejected")
		b.deadLetter("bad", "m-1", "rejected") // a second copy
		b.deadLetter("moved", "", "")
		for range 2 { // listing changes nothing
			got := b.look("")
			if got.Looked != 3 || got.Found != 3 || len(got.Messages) != 3 || got.Originals != 2 || !got.Complete || got.Next != "" || len(got.Groups) != 2 {
				t.Fatalf("answer is %+v", got)
			}
			slices.SortFunc(got.Messages, func(x, y DeadLetter) int { return len(x.Name) - len(y.Name) })
			bad, moved := got.Messages[0], got.Messages[2]
			if bad.Name != "bad" || bad.Reason != "rejected" || bad.Attempts != 5 || bad.OriginalID != "m-1" || bad.Error == "" ||
				bad.Record == nil || bad.Record.Status != protocol.Rejected || bad.Body != "" || bad.SentAt.IsZero() {
				t.Errorf("message is %+v", bad)
			}
			if moved.Reason != deadletter.MovedBySQS || moved.OriginalID != moved.MessageID || moved.Record == nil || moved.Record.Status != protocol.InProgress {
				t.Errorf("message is %+v", moved)
			}
		}
		if got := b.look("which=m-1&body=true"); len(got.Messages) != 2 || got.Messages[0].Body != body("bad") || got.Looked != 3 {
			t.Errorf("answer is %+v", got)
		}
	})
}

func testDeadLettersPages(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, b *bench) {
		for i := range 25 {
			b.deadLetter("n-"+strconv.Itoa(i), "m-"+strconv.Itoa(i), []string{"rejected", "mismatch"}[i%2])
		}
		seen := make(map[string]bool)
		pages, next := 0, ""
		for first := true; first || next != ""; first = false {
			got := b.look("limit=5&reason=mismatch&prefix=n-&after=" + url.QueryEscape(next))
			for _, m := range got.Messages {
				seen[m.Name] = true
			}
			if pages, next = pages+1, got.Next; got.Found != 12 || got.Looked != 25 || pages > 3 {
				t.Fatalf("page %d is %+v", pages, got)
			}
		}
		if len(seen) != 12 {
			t.Errorf("%d names are listed", len(seen))
		}
	})
	b := operatorBench(t, "orders")
	for _, limit := range []string{"0", "1001", "x"} {
		b.do(http.MethodGet, "/dlq?limit="+limit, "", bearer...).wantField(http.StatusBadRequest, "limit")
	}
	b.do(http.MethodGet, "/dlq?limit=%", "", bearer...).wantField(http.StatusBadRequest, "query")
	b.do(http.MethodGet, "/dlq?body=maybe", "", bearer...).wantField(http.StatusBadRequest, "body")
	b.do(http.MethodGet, "/dlq?after=page+2", "", bearer...).wantField(http.StatusBadRequest, "after")
}

func testDeadLettersPurge(t *testing.T) {
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

func testDeadLettersNoQueue(t *testing.T) {
	b := operatorBench(t, "orders")
	b.withoutDeadLetters()
	b.do(http.MethodGet, "/dlq", "", bearer...).want(http.StatusNotFound)
	b.do(http.MethodDelete, "/dlq", "", bearer...).want(http.StatusNotFound)
	b.do(http.MethodPost, "/dlq/redrive", "{}", bearer...).want(http.StatusNotFound)
	b.api.dead = nil // as with a read-only store
	b.do(http.MethodGet, "/dlq", "", bearer...).want(http.StatusServiceUnavailable)
}

func testDeadLettersOutage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, b *bench) {
		b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Delay: time.Millisecond, Error: &sqstest.Error{Code: "ServiceUnavailable"}}
		})
		b.do(http.MethodGet, "/dlq", "", bearer...).want(http.StatusServiceUnavailable)
		b.do(http.MethodDelete, "/dlq", "", bearer...).want(http.StatusServiceUnavailable)
		b.do(http.MethodPost, "/dlq/redrive", "{}", bearer...).want(http.StatusServiceUnavailable)
	})
}

func (b *bench) redrive(order map[string]any) Redrive {
	b.t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		b.t.Fatal(err)
	}
	return decode[Redrive](b.do(http.MethodPost, "/dlq/redrive", string(text), bearer...).want(http.StatusOK))
}

func TestRedrive(t *testing.T) {
	t.Run("report of each message", testRedriveReport)
	t.Run("more than one request", testRedriveMore)
	t.Run("bad order", testRedriveBadOrder)
	t.Run("sending fails", testRedriveSendingFails)
}

func testRedriveReport(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, b *bench) {
		b.record("u", b.claim("u", body("u")), fail(protocol.FailUnknown, "timed out"))
		b.deadLetter("u", "m-1", "unknown outcome")
		b.deadLetter("a", "m-2", "rejected")
		preview := b.redrive(map[string]any{"preview": true})
		if preview.Moved != 1 || preview.Kept != 1 || !preview.Preview || preview.More || len(b.received(b.url)) != 0 {
			t.Errorf("preview is %+v", preview)
		}
		got := b.redrive(map[string]any{})
		if got.Moved != 1 || got.Kept != 1 || got.Looked != 2 || len(got.Items) != 2 || got.Began.IsZero() || b.record("u").Status != protocol.Unknown {
			t.Errorf("report is %+v", got)
		}
		kept := got.Items[slices.IndexFunc(got.Items, func(i RedriveItem) bool { return i.Name == "u" })]
		if kept.Outcome != deadletter.Kept || !kept.Unknown {
			t.Errorf("item is %+v", kept)
		}
		got = b.redrive(map[string]any{"name": "u", "reopen_unknown": true})
		if got.Moved != 1 || got.Reopened != 1 || b.record("u").Status != protocol.Retrying || len(b.received(b.url)) != 2 {
			t.Errorf("report is %+v", got)
		}
	})
}

func testRedriveMore(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, b *bench) {
		for i := range 100 {
			b.deadLetter("n-"+strconv.Itoa(i), "m", "rejected")
		}
		order := map[string]any{"rate": 1, "reason": "rejected"}
		moved, requests := 0, 0
		for more := true; more && requests < 10; requests++ {
			got := b.redrive(order)
			moved, more, order["began"] = moved+got.Moved, got.More, got.Began
		}
		if moved != 100 || requests < 2 || requests == 10 {
			t.Errorf("%d are moved by %d requests", moved, requests)
		}
	})
}

func testRedriveBadOrder(t *testing.T) {
	b := operatorBench(t, "orders")
	b.do(http.MethodPost, "/dlq/redrive", `{"rate":10001}`, bearer...).wantField(http.StatusBadRequest, "rate")
	b.do(http.MethodPost, "/dlq/redrive", `{"all":true}`, bearer...).wantField(http.StatusBadRequest, "body")
}

func testRedriveSendingFails(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, b *bench) {
		for i := range 30 {
			b.deadLetter("n-"+strconv.Itoa(i), "m", "rejected")
		}
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessage" {
				return sqstest.Fault{Error: &sqstest.Error{Code: "AccessDenied", SenderFault: true}}
			}
			return sqstest.Fault{}
		})
		if got := b.redrive(map[string]any{}); got.Moved != 0 || got.Failed != 10 || !got.More || !strings.Contains(got.Error, "AccessDenied") {
			t.Errorf("report is %+v", got)
		}
		b.server.Control(nil)
		if got := b.look(""); got.Found != 30 {
			t.Errorf("%d are left", got.Found)
		}
	})
}
