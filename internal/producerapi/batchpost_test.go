package producerapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/sqstest"
)

const (
	batchPath = "/messages:batch"
	ndjson    = "application/x-ndjson"
)

func (b *bench) postBatch(body, contentType string, headers ...string) reply {
	b.t.Helper()
	r := request(http.MethodPost, batchPath, body, headers...)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return b.serve(r)
}

func bodies(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{ "name":"n-%d" , "x": %d.0 }`, i, i)
	}
	return all
}

func TestBatchpost(t *testing.T) {
	t.Run("batch is sent as it is", testBatchIsSentAsItIs)
	t.Run("each item of a batch has its own answer", testEachItemOfABatchHasItsOwnAnswer)
	t.Run("batch that is none is refused whole", testBatchThatIsNoneIsRefusedWhole)
	t.Run("batch in an outage lists the accepted messages", testBatchInAnOutageListsTheAcceptedMessages)
	t.Run("group of a FIFO batch keeps its order", testGroupOfAFIFOBatchKeepsItsOrder)
	t.Run("group stops behind a message that was not accepted", testGroupStopsBehindAMessageThatWasNotAccepted)
	t.Run("batch in an outage is answered in time", testBatchInAnOutageIsAnsweredInTime)
	t.Run("batch whose client has gone is not sent on", testBatchWhoseClientHasGoneIsNotSentOn)
	t.Run("group stops behind a message that was refused", testGroupStopsBehindAMessageThatWasRefused)
	t.Run("group stops behind a message that SQS refused", testGroupStopsBehindAMessageThatSQSRefused)
}

func testBatchIsSentAsItIs(t *testing.T) {
	for name, queue := range map[string]string{"standard": "orders", "FIFO": "orders.fifo"} {
		for form, contentType := range map[string]string{"array": "application/json", "lines": ndjson, "other lines": "application/jsonl"} {
			t.Run(name+" "+form, func(t *testing.T) {
				b := newBench(t, queue, nil)
				sent := bodies(1000)
				text := "\r\n" + strings.Join(sent, "\r\n\n") + "\n"
				if form == "array" {
					text = " [" + strings.Join(sent, " ,\n") + "] "
				}
				got := decode[batchAnswer](b.postBatch(text, contentType).want(http.StatusAccepted))
				there := make(map[string]string)
				for _, m := range b.received(b.url) {
					there[*m.MessageId] = *m.Body
				}
				if got.Accepted != len(sent) || len(there) != len(sent) {
					t.Fatalf("%d accepted, %d messages", got.Accepted, len(there))
				}
				for i, it := range got.Items {
					want := item{Index: i, Status: 202, Name: "n-" + strconv.Itoa(i), MessageID: it.MessageID, Location: "/messages/n-" + strconv.Itoa(i)}
					if it != want || there[it.MessageID] != sent[i] {
						t.Fatalf("item %d is %+v with body %q", i, it, there[it.MessageID])
					}
				}
			})
		}
	}
}

func testEachItemOfABatchHasItsOwnAnswer(t *testing.T) {
	b := newBench(t, "orders", nil)
	r := b.postBatch(`[{"name":"a"},{"nome":"b"},17,{"name":"c","c":1,"c":2},{"name":"d"}]`, "").want(http.StatusOK)
	got := decode[batchAnswer](r)
	statuses := make([]int, 0, len(got.Items))
	for _, it := range got.Items {
		statuses = append(statuses, it.Status)
		if (it.Problem == nil) != (it.Status == http.StatusAccepted) || it.Problem != nil && it.Problem.Field == "" {
			t.Errorf("item is %+v", it)
		}
	}
	if !slices.Equal(statuses, []int{202, 400, 400, 400, 202}) || got.Accepted != 2 {
		t.Errorf("statuses are %v", statuses)
	}
	if n := len(b.received(b.url)); n != 2 {
		t.Errorf("%d messages", n)
	}
	// A broken line fails alone.
	got = decode[batchAnswer](b.postBatch("{\"name\":\"a\"}\n{\"name\":\n{\"name\":\"b\"}", ndjson).want(http.StatusOK))
	if got.Accepted != 2 || got.Items[1].Status != http.StatusBadRequest {
		t.Errorf("answer is %+v", got)
	}
}

func testBatchThatIsNoneIsRefusedWhole(t *testing.T) {
	b := newBench(t, "orders", nil)
	large := `[{"name":"a","b":"` + strings.Repeat("x", maxBatchBody) + `"}]`
	for name, tc := range map[string]struct {
		body, contentType, field string
		status                   int
		headers                  []string
	}{
		"object":          {body("a"), "", "body", 400, nil},
		"no JSON":         {"[{", "", "body", 400, nil},
		"broken":          {`[{"name":"a"},{"name":]`, "", "body", 400, nil},
		"no end":          {`[{"name":"a"}`, "", "body", 400, nil},
		"more than one":   {`[{"name":"a"}] [{"name":"a"}]`, "", "body", 400, nil},
		"empty array":     {`[]`, "", "body", 400, nil},
		"empty lines":     {"\n \n", ndjson, "body", 400, nil},
		"too many":        {"[" + strings.Join(bodies(1001), ",") + "]", "", "body", 400, nil},
		"too many lines":  {strings.Join(bodies(1001), "\n"), ndjson, "body", 400, nil},
		"too large":       {large, "", "body", 413, nil},
		"media type":      {body("a"), "text/csv", "Content-Type", 415, nil},
		"Idempotency-Key": {`[{}]`, "", "Idempotency-Key", 400, []string{"Idempotency-Key", "a"}},
		"delay":           {`[{}]`, "", "X-Sqsonce-Delay", 400, []string{"X-Sqsonce-Delay", "1h"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.postBatch(tc.body, tc.contentType, tc.headers...)
			got.t = t
			got.wantField(tc.status, tc.field)
		})
	}
	if n := len(b.received(b.url)); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

func testBatchInAnOutageListsTheAcceptedMessages(t *testing.T) {
	for _, queue := range []string{"orders", "orders.fifo"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, queue, nil)
			var calls atomic.Int64
			b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
				f := sqstest.Fault{Delay: time.Millisecond}
				if c.Operation == "SendMessageBatch" && calls.Add(1) > 2 {
					f.Error = &sqstest.Error{Code: "ServiceUnavailable"}
				}
				return f
			})
			r := b.postBatch("["+strings.Join(bodies(50), ",")+"]", "").want(http.StatusOK)
			got := decode[batchAnswer](r)
			b.server.Control(nil)
			if n := len(b.received(b.url)); n != got.Accepted || n == 0 || n == 50 || r.Header().Get("Retry-After") == "" {
				t.Errorf("%d accepted, %d messages, %v", got.Accepted, n, r.Header())
			}

			b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
				return sqstest.Fault{Delay: time.Millisecond, Error: &sqstest.Error{Code: "ServiceUnavailable"}}
			})
			b.postBatch("["+strings.Join(bodies(50), ",")+"]", "").want(http.StatusServiceUnavailable)
		})
	}
}

func testGroupOfAFIFOBatchKeepsItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders.fifo", nil)
		var calls atomic.Int64
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			f := sqstest.Fault{DelayAfter: time.Millisecond}
			if n := calls.Add(1); c.Operation == "SendMessageBatch" && n%3 == 2 {
				f.Error = &sqstest.Error{Code: "ServiceUnavailable"} // the SDK and the API try again
			}
			return f
		})
		sent := bodies(95)
		b.postBatch("["+strings.Join(sent, ",")+"]", "", "X-Sqsonce-Group", "g").want(http.StatusAccepted)
		b.server.Control(nil)
		got := b.drain(b.url)
		if len(got) != len(sent) {
			t.Fatalf("%d messages", len(got))
		}
		for i, m := range got {
			if *m.Body != sent[i] {
				t.Fatalf("message %d is %s", i, *m.Body)
			}
		}
	})
}

func testGroupStopsBehindAMessageThatWasNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders.fifo", nil)
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" {
				return sqstest.Fault{Delay: time.Millisecond, FailEntries: []int{9}}
			}
			return sqstest.Fault{}
		})
		// The tenth entry of each full call fails. Sent alone it succeeds.
		sent := bodies(30)
		got := decode[batchAnswer](b.postBatch("["+strings.Join(sent, ",")+"]", "", "X-Sqsonce-Group", "g").want(http.StatusAccepted))
		if got.Accepted != 30 {
			t.Errorf("%d accepted", got.Accepted)
		}
		b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" {
				return sqstest.Fault{Delay: time.Millisecond, FailEntries: []int{0}}
			}
			return sqstest.Fault{}
		})
		for i := range sent {
			sent[i] = strings.Replace(sent[i], "n-", "m-", 1)
		}
		got = decode[batchAnswer](b.postBatch("["+strings.Join(sent, ",")+"]", "", "X-Sqsonce-Group", "g").want(http.StatusOK))
		if got.Items[0].Status != 503 || got.Items[10].Status != 503 || !strings.Contains(got.Items[10].Problem.Detail, "must be accepted first") {
			t.Errorf("items are %+v and %+v", got.Items[0], got.Items[10])
		}
	})
}

func testBatchInAnOutageIsAnsweredInTime(t *testing.T) {
	unavailable := &sqstest.Error{Code: "ServiceUnavailable"}
	for name, tc := range map[string]struct {
		queue string
		fault sqstest.Fault
		bound time.Duration
	}{
		"FIFO":                     {"orders.fifo", sqstest.Fault{Error: unavailable}, DefaultSendTimeout},
		"standard":                 {"orders", sqstest.Fault{Error: unavailable}, batchTimeout},
		"FIFO, one of each call":   {"orders.fifo", sqstest.Fault{FailEntries: []int{0}}, batchTimeout},
		"standard, of a slow SQS":  {"orders", sqstest.Fault{Delay: callDeadline}, batchTimeout},
		"FIFO, of a very slow SQS": {"orders.fifo", sqstest.Fault{DelayAfter: callDeadline - time.Second}, batchTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tc.queue, nil)
				b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
					f := tc.fault
					f.Delay += time.Millisecond
					return f
				})
				began := time.Now()
				r := b.postBatch("["+strings.Join(bodies(1000), ",")+"]", "")
				if took := time.Since(began); took > tc.bound+callDeadline {
					t.Errorf("answered after %s", took)
				}
				if r.Header().Get("Retry-After") == "" {
					t.Errorf("answered %d without Retry-After", r.Code)
				}
				b.server.Control(nil)
				if r.Code == http.StatusServiceUnavailable {
					if text := decode[problem](r).Detail; !strings.Contains(text, "SQS did not accept") {
						t.Errorf("problem is %q", text)
					}
					return
				}
				got := decode[batchAnswer](r)
				last := got.Items[len(got.Items)-1]
				if last.Status != http.StatusServiceUnavailable || !strings.HasPrefix(last.Problem.Detail, "not sent: ") {
					t.Errorf("the last item is %+v", last)
				}
				if n := len(b.drain(b.url)); n != got.Accepted || n == 0 {
					t.Errorf("%d accepted, %d messages", got.Accepted, n)
				}
			})
		})
	}
}

func testBatchWhoseClientHasGoneIsNotSentOn(t *testing.T) {
	for _, queue := range []string{"orders", "orders.fifo"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, queue, nil)
			ctx, leave := context.WithCancel(t.Context())
			var late atomic.Int64
			b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
				if ctx.Err() != nil {
					late.Add(1)
				}
				leave()
				return sqstest.Fault{DelayAfter: time.Second}
			})
			b.serve(request(http.MethodPost, batchPath, "["+strings.Join(bodies(1000), ",")+"]").WithContext(ctx))
			b.api.Close()
			// Messages of the first call may be under way.
			if n := late.Load(); n > itemsAtATime/maxEntries {
				t.Errorf("%s: %d calls after the client had gone", queue, n)
			}
		})
	}
}

func testGroupStopsBehindAMessageThatWasRefused(t *testing.T) {
	large := `{"name":"large","x":"` + strings.Repeat("x", maxBody) + `"}`
	twice := `{"name":"a","x":[{"y":1,"y":2}]}`
	for name, tc := range map[string]struct {
		group string
		body  []string
		want  []int
	}{
		"bad":            {"g", []string{body("a"), `{"nome":"b"}`, body("c"), body("d")}, []int{202, 400, 424, 424}},
		"too large":      {"g", []string{body("a"), large, body("c"), `{}`}, []int{202, 413, 424, 400}},
		"own groups":     {"", []string{body("a"), `{"nome":"b"}`, body("c")}, []int{202, 400, 202}},
		"one name":       {"", []string{body("a"), `{"name":"b","x":"\u0001"}`, "{\"name\":\"b\",\"x\":\"\uffff\"}", body("b"), body("c")}, []int{202, 202, 400, 424, 202}},
		"key twice":      {"g", []string{twice, body("b")}, []int{400, 424}},
		"all of a group": {"g", []string{`{}`, body("b"), body("c")}, []int{400, 424, 424}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "orders.fifo", nil)
			var headers []string
			if tc.group != "" {
				headers = []string{"X-Sqsonce-Group", tc.group}
			}
			r := b.postBatch("["+strings.Join(tc.body, ",")+"]", "", headers...).want(http.StatusOK)
			got := decode[batchAnswer](r)
			accepted := 0
			for i, it := range got.Items {
				switch {
				case it.Status != tc.want[i]:
					t.Errorf("item %d is %+v, want %d", i, it, tc.want[i])
				case it.Status == http.StatusAccepted:
					accepted++
				case it.Status == http.StatusFailedDependency && !strings.Contains(it.Problem.Detail, "of its group must be accepted first, and was refused"):
					t.Errorf("item %d is not sent: %q", i, it.Problem.Detail)
				}
			}
			if n := len(b.drain(b.url)); n != accepted || got.Accepted != accepted {
				t.Errorf("%d messages, %d accepted", n, got.Accepted)
			}
			if r.Header().Get("Retry-After") != "" {
				t.Error("to try again is no help, and Retry-After is set")
			}
		})
	}
}

func testGroupStopsBehindAMessageThatSQSRefused(t *testing.T) {
	b := newBench(t, "orders.fifo", nil)
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		return sqstest.Fault{FailEntries: []int{3}, EntryError: &sqstest.Error{Code: "InvalidParameterValue", Message: "no", SenderFault: true}}
	})
	got := decode[batchAnswer](b.postBatch("["+strings.Join(bodies(30), ",")+"]", "", "X-Sqsonce-Group", "g").want(http.StatusOK))
	for i, it := range got.Items {
		want := http.StatusAccepted // for messages of the only call
		switch {
		case i == 3:
			want = http.StatusBadRequest
		case i >= maxEntries:
			want = http.StatusFailedDependency
		}
		if it.Status != want {
			t.Errorf("item %d is %+v, want %d", i, it, want)
		}
	}
}
