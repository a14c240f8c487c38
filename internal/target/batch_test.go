package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/failure"
)

func TestPostBatch(t *testing.T) {
	t.Run("request", testBatchRequest)
	t.Run("answer", testBatchAnswer)
	t.Run("failure as a whole", testBatchWholeFailure)
	t.Run("suspicion counts a batch once", testBatchSuspicion)
	t.Run("one success acquits the target", testBatchAcquits)
	t.Run("messages of an excused batch fail by themselves later", testBatchGuilty)
}

// batchOf are requests for messages.
func batchOf(ids ...string) []Request {
	rs := make([]Request, len(ids))
	for i, id := range ids {
		rs[i] = Request{
			MessageID: id, Name: "name of " + id, Fence: int64(i + 7), Attempt: 1, ReceiveCount: 2, Body: "<" + id + ">",
			SentAt: time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC), Attributes: map[string]string{"kind": "k" + id},
		}
	}
	return rs
}

// answering is a target that gives one answer to everything.
func answering(t *testing.T, cfg Config, status int, body string) (*Target, func()) {
	return newPiped(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func testBatchRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var header http.Header
		var items []map[string]any
		target, stop := newPiped(t, Config{Token: "ticket", Secret: "s", Queue: "orders"}, func(_ http.ResponseWriter, r *http.Request) {
			header = r.Header
			if err := json.NewDecoder(r.Body).Decode(&items); err != nil {
				t.Error(err)
			}
		})
		defer stop()
		rs := batchOf("a", "b")
		rs[1].Body, rs[1].Attributes, rs[1].Binary = "\xff", nil, map[string][]byte{"raw": {1}}
		if failed, err := target.PostBatch(t.Context(), rs); err != nil || errors.Join(failed...) != nil {
			t.Fatal(failed, err)
		}
		want := `[map[attempt:1 attributes:map[kind:ka] body:<a> fence:7 messageId:a name:name of a receiveCount:2 sentAt:2026-11-30T01:02:03Z] ` +
			`map[attempt:1 attributes:map[] base64:/w== binaryAttributes:map[raw:AQ==] fence:8 messageId:b name:name of b receiveCount:2 sentAt:2026-11-30T01:02:03Z]]`
		if got := fmt.Sprint(items); got != want {
			t.Errorf("the target got\n%s, want\n%s", got, want)
		}
		for name, value := range map[string]string{
			"X-Sqsonce-Batch": "2", "Content-Type": "application/json", "Authorization": "Bearer ticket", "X-Aws-Sqsd-Queue": "orders", "Idempotency-Key": "",
		} {
			if header.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, header.Get(name), value)
			}
		}
		of := func(ids ...string) string {
			req, err := target.PreviewBatch(t.Context(), batchOf(ids...))
			if err != nil {
				t.Fatal(err)
			}
			return req.Header.Get("Webhook-Id")
		}
		if both := header.Get("Webhook-Id"); both != of("a", "b") || both == of("a") || of("ab", "c") == of("a", "bc") {
			t.Errorf("webhook ids %q, %q, %q: want another one for other messages", both, of("a"), of("b"))
		}
	})
}

func testBatchAnswer(t *testing.T) {
	for body, want := range map[string]string{
		"":                            "done, done",
		"null":                        "done, done",
		"{}":                          "done, done",
		`{"batchItemFailures": null}`: "done, done",
		`{"batchItemFailures": []}`:   "done, done",
		`{"batchItemFailures": [{"itemIdentifier": "b"}]}`:                                           "done, 500",
		`{"batchItemFailures": [{"itemIdentifier": "a", "status": 422, "error": "no\nname"}]}`:       "422 permanent no name, done",
		`{"batchItemFailures": [{"itemIdentifier": "b", "retryAfter": 7}, {"itemIdentifier": "a"}]}`: "500, 500 after 7s",
		`{"batchItemFailures": [{"itemIdentifier": "b", "status": 503, "retryAfter": 1e9}]}`:         "done, 503 after 12h0m0s",
		`{"batchItemFailures": [{"itemIdentifier": ""}]}`:                                            "batchItemFailures[0]: has no itemIdentifier",
		`{"batchItemFailures": [{"itemIdentifier": null}]}`:                                          "batchItemFailures[0]: has no itemIdentifier",
		`{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemId": "a"}]}`:                          "batchItemFailures[1]: has no itemIdentifier",
		`{"batchItemFailures": [{"itemIdentifier": "x"}]}`:                                           `itemIdentifier "x" is not in the batch`,
		`{"batchItemFailures": [{"itemIdentifier": "a", "status": 200}]}`:                            "status 200: must be from 300 to 599",
		`{"batchItemFailures": [{"itemIdentifier": "a", "retryAfter": -1}]}`:                         "retryAfter -1: must be seconds",
		`{"BatchItemFailures": [{"ItemIdentifier": "b"}], "count": 2}`:                               "done, 500",
		"\ufeff" + `{"batchItemFailures": [{"itemIdentifier": "b"}]}`:                                "done, 500",
		"\ufeff": "done, done",
		`{"batch_item_failures": [{"itemIdentifier": "a"}]}`: `has the member "batch_item_failures": want "batchItemFailures"`,
		`{"batchItemFailure": []}`:                           `has the member "batchItemFailure"`,
		`{"batchItemFailures": ["a"]}`:                       "want {",
		"fine":                                               "want {",
		"[]":                                                 "want {",
		`{"batchItemFailures": [` + strings.Repeat(" ", maxBatchAnswer) + `]}`: "bytes, more than 1048576",
	} {
		synctest.Test(t, func(t *testing.T) {
			target, stop := answering(t, Config{}, http.StatusOK, body)
			defer stop()
			failed, err := target.PostBatch(t.Context(), batchOf("a", "b"))
			var got []string
			for _, err := range failed {
				status, _ := errors.AsType[*StatusError](err)
				text := "done"
				if status != nil {
					text = strconv.Itoa(status.Status)
					if status.Permanent() {
						text += " permanent"
					}
					if status.Excerpt != "" {
						text += " " + status.Excerpt
					}
					if status.RetryAfter() > 0 {
						text += " after " + status.RetryAfter().String()
					}
				}
				got = append(got, text)
			}
			if err == nil && strings.Join(got, ", ") != want {
				t.Errorf("%.90s: got %v, want %s", body, got, want)
			}
			if err != nil && (!strings.Contains(err.Error(), want) || !failure.Is(err, failure.OutcomeUnknown.OutcomeUnknown) || weigh(err) != failing) {
				t.Errorf("%.90s: got %v, want %s", body, err, want)
			}
		})
	}
}

func testBatchWholeFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := answering(t, Config{}, http.StatusBadRequest, "no")
		defer stop()
		_, err := target.PostBatch(t.Context(), batchOf("a", "b"))
		if status, ok := errors.AsType[*StatusError](err); !ok || status.Status != 400 {
			t.Errorf("got %v, want the status", err)
		}
	})
}

// postBatch posts a batch whose target fails as a whole, and reports whether it is excused.
func (j *judged) postBatch(ids ...string) bool {
	rs := batchOf(ids...)
	for i := range rs {
		rs[i].Attributes = nil
	}
	_, err := j.PostBatch(j.t.Context(), rs)
	_, excused := errors.AsType[*DownError](err)
	return excused
}

func testBatchSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newBatchJudged(t, 500, "")
		defer j.stop()
		for i := range suspectAfter {
			ids := []string{fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)}
			if excused := j.postBatch(ids...); excused != (i == suspectAfter-1) {
				t.Errorf("batch %d: excused %v", i+1, excused)
			}
		}
	})
}

// newBatchJudged is a judge over a target with one answer.
func newBatchJudged(t *testing.T, status int, body string) *judged {
	target, stop := answering(t, Config{}, status, body)
	return &judged{t: t, stop: stop, Judge: NewJudge(target, JudgeConfig{SuspectAfter: suspectAfter})}
}

func testBatchAcquits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newBatchJudged(t, 200, `{"batchItemFailures": [{"itemIdentifier": "b"}]}`)
		defer j.stop()
		for i := range 3 * suspectAfter {
			failed, err := j.PostBatch(t.Context(), batchOf(fmt.Sprint("a", i), "b"))
			if _, excused := errors.AsType[*DownError](failed[1]); err != nil || excused {
				t.Fatalf("batch %d: %v, %v", i+1, failed, err)
			}
		}
		all := newBatchJudged(t, 200, `{"batchItemFailures": [{"itemIdentifier": "x"}, {"itemIdentifier": "y"}]}`)
		defer all.stop()
		for range 3 * suspectAfter {
			failed, _ := all.PostBatch(context.WithoutCancel(t.Context()), batchOf("x", "y"))
			if _, excused := errors.AsType[*DownError](failed[0]); excused {
				t.Fatal("the same messages make the target suspect")
			}
		}
	})
}

func testBatchGuilty(t *testing.T) {
	s, now := newSuspicion(2), time.Now()
	s.learnAll([]string{"a", "b"}, failing, now)
	if !s.learnAll([]string{"c", "d"}, failing, now) {
		t.Error("two batches that failed do not make the target suspect")
	}
	s.learnAll([]string{"a"}, success, now)
	for range 3 {
		if s.learnAll([]string{"c", "d"}, failing, now) {
			t.Error("messages that were held make the target suspect again")
		}
	}
	s.learnAll([]string{"d", "e"}, failing, now)
	if !s.learnAll([]string{"f"}, failing, now) {
		t.Error("a batch with a message that was never held does not count")
	}
}
