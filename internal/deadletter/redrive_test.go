package deadletter

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	attr "github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestRedrive(t *testing.T) {
	t.Run("selection", testRedriveSelection)
	t.Run("moved by SQS", testRedriveMovedBySQS)
	t.Run("unknown", testRedriveUnknown)
	t.Run("letters that would come back", testRedriveKept)
	t.Run("two payloads of a name", testRedriveTwoPayloads)
	t.Run("name that only the message id says", testRedriveKeepsName)
	t.Run("preview", testRedrivePreview)
	t.Run("letters that are back", testRedriveBack)
	t.Run("name is open before its letter is sent", testRedriveOpensFirst)
	t.Run("rate", testRedriveRate)
	t.Run("bound", testRedriveBound)
	t.Run("purge", testPurge)
}

func testRedriveSelection(t *testing.T) {
	for _, queue := range []string{"orders", "orders.fifo"} {
		for what, tc := range map[string]struct {
			order Order
			want  int
		}{
			"all": {Order{}, 25}, "name": {Order{Names: []string{"n-3"}}, 1}, "reason": {Order{Reason: "mismatch"}, 10},
			"both": {Order{Names: []string{"n-4"}, Reason: "mismatch"}, 1}, "neither": {Order{Names: []string{"n-3"}, Reason: "mismatch"}, 0}, "unknown reason": {Order{Reason: "x"}, 0},
		} {
			t.Run(queue+" by "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, queue, names.Config{})
					for i := range 25 {
						reason := "rejected"
						if i%2 == 0 && i < 20 {
							reason = "mismatch"
						}
						b.copied("n-"+strconv.Itoa(i), reason)
					}
					report := b.redrive(tc.order)
					if report.Count(Moved) != tc.want || len(report.Items) != tc.want || report.Looked != 25 || !report.Complete {
						t.Errorf("report is %+v", report)
					}
					moved, left := b.drain(b.main, 60), b.drain(b.dead, 60)
					if len(moved) != tc.want || len(left) != 25-tc.want {
						t.Errorf("%d moved, %d left", len(moved), len(left))
					}
					for _, m := range moved {
						if len(m.MessageAttributes) != 5 || m.MessageAttributes[consumer.AttrReason].StringValue == nil {
							t.Errorf("attributes are %v", m.MessageAttributes)
						}
					}
				})
			})
		}
	}
}

// A letter without a reason is no order to the worker: the redrive makes it one, or
// re-opens the name where it has no room for that.
func testRedriveMovedBySQS(t *testing.T) {
	for _, own := range []int{0, 8, 9, 10} {
		t.Run(strconv.Itoa(own)+" attributes", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", names.Config{})
				b.record("a", body("a"), fail(protocol.FailPermanent))
				b.movedBySQS(body("a"), attributes(own))
				report := b.redrive(Order{})
				if report.Count(Moved) != 1 || report.Items[0].Name != "a" {
					t.Fatalf("report is %+v", report)
				}
				m := b.drain(b.main, 60)[0]
				_, order := m.MessageAttributes[consumer.AttrReason]
				if order != (own < maxAttributes) || (b.status("a") == protocol.Retrying) == order {
					t.Errorf("the order is on the message: %t, the name is %s", order, b.status("a"))
				}
				if !b.runs("a", m) {
					t.Error("the worker returns it")
				}
			})
		})
	}
}

// runs reports whether the worker's claim for a message starts an attempt.
func (b *bench) runs(name string, m types.Message) bool {
	r, err := b.store.Get(b.t.Context(), protocol.RecordID(scope, name))
	if err != nil {
		b.t.Fatal(err)
	}
	_, order := m.MessageAttributes[consumer.AttrReason]
	_, verdict := protocol.Step(r, protocol.Claim{
		Now: time.Now(), Owner: protocol.Token{9}, Terms: terms, ID: r.ID, Name: name, MessageID: *m.MessageId, RedriveOrder: order,
		Fingerprint: letterOf(m, b.cfg.Keys).fingerprint,
	})
	return verdict == protocol.VerdictApply
}

func testRedriveUnknown(t *testing.T) {
	for what, tc := range map[string]struct {
		events []protocol.Event
		later  time.Duration
	}{
		"recorded":      {[]protocol.Event{fail(protocol.FailUnknown)}, 0},
		"lease lapsed":  {nil, terms.Lease + terms.Skew + time.Second},
		"not the order": {[]protocol.Event{fail(protocol.FailUnknown)}, time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", names.Config{})
				b.record("u", body("u"), tc.events...)
				time.Sleep(tc.later)
				b.copied("u", "unknown outcome")
				b.copied("a", "rejected")
				report := b.redrive(Order{})
				if report.Count(Moved) != 1 || report.Count(Kept) != 1 || len(b.drain(b.main, 60)) != 1 {
					t.Fatalf("report is %+v", report)
				}
				for _, i := range report.Items {
					if i.Outcome == Kept && (i.Name != "u" || !i.Unknown) {
						t.Errorf("item is %+v", i)
					}
				}
				report = b.redrive(Order{ReopenUnknown: true})
				if report.Count(Moved) != 1 || report.Reopened != 1 || b.status("u") != protocol.Retrying {
					t.Errorf("report is %+v, the name is %s", report, b.status("u"))
				}
			})
		})
	}
}

func testRedriveKept(t *testing.T) {
	other := `{"name":"a","total":2}`
	for what, tc := range map[string]struct {
		body   string
		events []protocol.Event // after a claim
		moves  bool
	}{
		"no record":                      {"", nil, true},
		"rejected":                       {body("a"), []protocol.Event{fail(protocol.FailPermanent)}, true},
		"rejected with another payload":  {other, []protocol.Event{fail(protocol.FailPermanent)}, true},
		"retrying":                       {body("a"), []protocol.Event{fail(protocol.FailRetryable)}, true},
		"retrying with another payload":  {other, []protocol.Event{fail(protocol.FailRetryable)}, false},
		"being handled":                  {body("a"), nil, true},
		"completed":                      {body("a"), []protocol.Event{complete()}, true},
		"completed with another payload": {other, []protocol.Event{complete()}, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", names.Config{})
				if tc.body != "" {
					b.record("a", tc.body, tc.events...)
				}
				b.copied("a", "rejected")
				report := b.redrive(Order{})
				if (report.Count(Moved) == 1) != tc.moves || (report.Items[0].Why == "") != tc.moves || (len(b.drain(b.dead, 60)) == 0) != tc.moves {
					t.Errorf("report is %+v", report)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.put(b.dead, "no JSON", map[string]string{consumer.AttrReason: "bad message"})
		if report := b.redrive(Order{}); report.Count(Kept) != 1 || !strings.Contains(report.Items[0].Why, "cannot name it") {
			t.Errorf("report is %+v", report)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		newer := protocol.Record{ID: protocol.RecordID(scope, "a"), Name: "a", Status: "PARTLY", Format: protocol.Format + 1, Version: 1, ExpiresAt: time.Now().Add(time.Hour)}
		if err := b.store.Swap(t.Context(), 0, newer); err != nil {
			t.Fatal(err)
		}
		b.copied("a", "rejected")
		if report := b.redrive(Order{}); report.Count(Kept) != 1 || !strings.Contains(report.Items[0].Why, "newer release") {
			t.Errorf("report is %+v", report)
		}
	})
}

func testRedriveTwoPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.record("a", body("a"), fail(protocol.FailPermanent))
		for _, text := range []string{body("a"), body("a"), `{"name":"a","total":2}`} {
			b.put(b.dead, text, map[string]string{consumer.AttrReason: "rejected"})
			time.Sleep(time.Millisecond)
		}
		report := b.redrive(Order{})
		if report.Count(Moved) != 2 || report.Items[2].Outcome != Kept {
			t.Errorf("report is %+v: the worker would return the third", report)
		}
	})
}

func testRedriveKeepsName(t *testing.T) {
	for _, own := range []int{0, 9, 10} {
		t.Run(strconv.Itoa(own)+" attributes", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", names.Config{Key: "@message-id"})
				b.movedBySQS("no JSON", attributes(own))
				report := b.redrive(Order{})
				item := report.Items[0]
				if item.Name != item.ID {
					t.Fatalf("report is %+v", report)
				}
				if own == maxAttributes {
					if item.Outcome != Kept || !strings.Contains(item.Why, "no room") {
						t.Errorf("report is %+v", report)
					}
					return
				}
				if m := b.drain(b.main, 60)[0]; letterOf(m, b.cfg.Keys).Name != item.ID {
					t.Errorf("the message has another name: %v", m.MessageAttributes)
				}
			})
		})
	}
	t.Run("worker's copy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "orders", names.Config{Key: "@message-id"})
			own := attributes(6)
			for name, value := range map[string]string{
				consumer.AttrReason: "rejected (name: first; original-id: first)", consumer.AttrError: "x", attr.Attempts: "1", attr.OriginalID: "first",
			} {
				own[name] = value
			}
			b.put(b.dead, "no JSON", own)
			b.redrive(Order{})
			m := b.drain(b.main, 60)[0]
			if l := letterOf(m, b.cfg.Keys); l.Name != "first" || len(m.MessageAttributes) > maxAttributes || m.MessageAttributes["own-5"].StringValue == nil {
				t.Errorf("the message is named %q, with %v", l.Name, m.MessageAttributes)
			}
		})
	})
}

func testRedrivePreview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.record("u", body("u"), fail(protocol.FailUnknown))
		b.copied("u", "unknown outcome")
		b.copied("a", "rejected")
		report := b.redrive(Order{Preview: true})
		if report.Count(Moved) != 1 || report.Count(Kept) != 1 {
			t.Errorf("report is %+v", report)
		}
		if report := b.redrive(Order{Preview: true, ReopenUnknown: true}); report.Count(Moved) != 2 {
			t.Errorf("report is %+v", report)
		}
		if len(b.drain(b.main, 60)) != 0 || len(b.drain(b.dead, 60)) != 2 || b.status("u") != protocol.Unknown {
			t.Error("a preview has changed something")
		}
	})
}

// A letter that the worker dead-letters again during the redrive is reported as returned and not
// sent again. A letter that came back before a further call is not sent either.
func testRedriveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		for i := range 30 {
			b.copied("n-"+strconv.Itoa(i), "rejected")
		}
		time.Sleep(time.Second)
		began := time.Now()
		bounced := 0
		report, err := b.Redrive(t.Context(), Order{Began: began}, func(Report) {
			for _, m := range b.drain(b.main, 60) {
				time.Sleep(time.Millisecond)
				b.put(b.dead, *m.Body, map[string]string{consumer.AttrReason: "rejected", attr.OriginalID: *m.MessageId})
				bounced++
			}
		})
		if err != nil || report.Count(Returned) != 30 || report.Count(Moved) != 0 || bounced != 30 || !report.Complete {
			t.Errorf("%d have bounced, report is %+v: %v", bounced, report, err)
		}
		if report := b.redrive(Order{Began: began}); len(report.Items) != 0 || report.Looked != 30 {
			t.Errorf("the second report is %+v", report)
		}
		if report := b.redrive(Order{}); report.Count(Moved) != 30 {
			t.Errorf("a redrive that begins later moves %d", report.Count(Moved))
		}
	})
}

// A worker may receive a letter at once: it would return it if its name were still closed.
func testRedriveOpensFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		closed := map[string]protocol.FailKind{"u": protocol.FailUnknown, "v": protocol.FailUnknown, "r": protocol.FailPermanent}
		for name, kind := range closed {
			b.record(name, body(name), fail(kind))
			b.copied(name, "moved")
		}
		var sent atomic.Int64
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessage" {
				sent.Add(1)
				for name, kind := range closed {
					if got := b.status(name); kind == protocol.FailUnknown && got != protocol.Retrying {
						t.Errorf("while a letter is sent, %q is %s", name, got)
					}
				}
			}
			return sqstest.Fault{}
		})
		if report := b.redrive(Order{ReopenUnknown: true}); report.Count(Moved) != 3 || report.Reopened != 2 || sent.Load() != 3 {
			t.Errorf("%d sent, report is %+v", sent.Load(), report)
		}
	})
}

func testRedriveRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		for i := range 21 {
			b.copied("n-"+strconv.Itoa(i), "rejected")
		}
		start := time.Now()
		if report := b.redrive(Order{Rate: 2}); report.Count(Moved) != 21 || time.Since(start) < 10*time.Second {
			t.Errorf("%d moved in %s", report.Count(Moved), time.Since(start))
		}
	})
}

// A call that is over before all letters were looked at says so, and the next one
// goes on with the others.
func testRedriveBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		for i := range 100 {
			b.copied("n-"+strconv.Itoa(i), []string{"rejected", "mismatch"}[i%2])
		}
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "ReceiveMessage" {
				return sqstest.Fault{Delay: time.Second}
			}
			return sqstest.Fault{}
		})
		moved, calls := 0, 0
		for complete := false; !complete && calls < 20; calls++ {
			report := b.redrive(Order{Reason: "mismatch", Bound: 2 * time.Second})
			moved, complete = moved+report.Count(Moved), report.Complete
		}
		if moved != 50 || calls < 2 || calls == 20 {
			t.Errorf("%d moved by %d calls", moved, calls)
		}
	})
}

func TestRedriveFaults(t *testing.T) {
	t.Run("one letter", testFaultOneLetter)
	t.Run("every send", testFaultEverySend)
	t.Run("deletion", testFaultDeletion)
	t.Run("receive", testFaultReceive)
	t.Run("order of a group", testFaultGroup)
	t.Run("re-opening", testFaultReopen)
}

func testFaultOneLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		for i := range 15 {
			b.copied("n-"+strconv.Itoa(i), "rejected")
		}
		b.refuse(func(n int64) bool { return n == 4 })
		report := b.redrive(Order{})
		if report.Count(Moved) != 14 || report.Count(Failed) != 1 || !report.Complete {
			t.Errorf("report is %+v", report)
		}
		if left := b.drain(b.dead, 60); len(left) != 1 {
			t.Errorf("%d are left", len(left))
		}
	})
}

// refuse lets SQS refuse the nth message that is sent, from 1 on.
func (b *bench) refuse(which func(n int64) bool) {
	var sent atomic.Int64
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if c.Operation == "SendMessage" && which(sent.Add(1)) {
			return sqstest.Fault{Error: &sqstest.Error{Code: "InvalidMessageContents", SenderFault: true}}
		}
		return sqstest.Fault{}
	})
}

func testFaultEverySend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		for i := range 100 {
			b.copied("n-"+strconv.Itoa(i), "rejected")
		}
		b.refuse(func(int64) bool { return true })
		report, err := b.Redrive(t.Context(), Order{}, nil)
		if err == nil || !strings.Contains(err.Error(), "InvalidMessageContents") || report.Count(Failed) != maxFailures || report.Complete {
			t.Errorf("%v: report is %+v", err, report)
		}
		b.server.Control(nil)
		if page := b.list(Query{}, 100, ""); page.Found != 100 {
			t.Errorf("%d are visible", page.Found)
		}
	})
}

func testFaultDeletion(t *testing.T) {
	for what, fault := range map[string]sqstest.Fault{
		"call": {Error: &sqstest.Error{Code: "AccessDenied", SenderFault: true}}, "entry": {FailEntries: []int{0}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", names.Config{})
				b.copied("a", "rejected")
				b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
					if c.Operation == "DeleteMessageBatch" {
						return fault
					}
					return sqstest.Fault{}
				})
				report := b.redrive(Order{})
				if report.Count(Copied) != 1 || report.Count(Moved) != 0 || len(b.drain(b.main, 60)) != 1 {
					t.Errorf("report is %+v", report)
				}
			})
		})
	}
}

func testFaultReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.copied("a", "rejected")
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "ReceiveMessage" {
				return sqstest.Fault{Error: &sqstest.Error{Code: "AccessDenied", SenderFault: true}}
			}
			return sqstest.Fault{}
		})
		if _, err := b.Redrive(t.Context(), Order{}, nil); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("redrive: %v", err)
		}
		if _, err := b.List(t.Context(), Query{}, 1, ""); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("list: %v", err)
		}
	})
}

func testFaultGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders.fifo", names.Config{Key: "@message-id"})
		for i := range 5 {
			b.put(b.dead, "one group", map[string]string{consumer.AttrReason: "rejected", attr.OriginalID: strconv.Itoa(i)})
		}
		b.refuse(func(n int64) bool { return n == 3 })
		report := b.redrive(Order{})
		if report.Count(Moved) != 2 || report.Count(Failed) != 3 || len(b.drain(b.main, 60)) != 2 {
			t.Errorf("report is %+v: a letter has overtaken an earlier one of its group", report)
		}
	})
}

func testFaultReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.record("u", body("u"), fail(protocol.FailUnknown))
		b.copied("u", "unknown outcome")
		b.cfg.Records = closed{b.operator}
		report := b.redrive(Order{ReopenUnknown: true})
		if report.Count(Kept) != 1 || !strings.Contains(report.Items[0].Why, "denied") || len(b.drain(b.main, 60)) != 0 {
			t.Errorf("report is %+v", report)
		}
	})
}

// closed are records that cannot be written.
type closed struct{ Records }

func (closed) Reopen(context.Context, string) (protocol.Record, error) {
	return protocol.Record{}, errors.New("denied")
}

func testPurge(t *testing.T) {
	b := newBench(t, "orders", names.Config{})
	b.copied("a", "rejected")
	if n, err := b.Purge(t.Context()); n != 1 || err != nil || len(b.drain(b.dead, 60)) != 0 {
		t.Errorf("%d are purged: %v", n, err)
	}
	_, err := b.Purge(t.Context())
	if _, busy := errors.AsType[*types.PurgeQueueInProgress](err); !busy {
		t.Errorf("a second one: %v", err)
	}
}
