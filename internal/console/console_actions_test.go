package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
	"github.com/sqsonce/sqsonce/internal/deadletter"
)

// inVirtualTime runs f with a running worker, and stops it before the bubble ends.
func inVirtualTime(t *testing.T, o consoletest.Options, f func(t *testing.T, w *consoletest.Worker, c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := consoletest.New(t, o)
		w.Run(t)
		f(t, w, newClient(t, w.Handler))
	})
}

func TestActions(t *testing.T) {
	t.Run("names story is told and forgotten", testANamesStoryIsToldAndForgotten)
	t.Run("only the workers own calls count for a message", testOnlyTheWorkersOwnCallsCountForAMessage)
	t.Run("live lease is forgotten only by force", testALiveLeaseIsForgottenOnlyByForce)
	t.Run("long name is whole wherever it leads to its story", testALongNameIsWholeWhereverItLeadsToItsStory)
	t.Run("dead letters are shown by reason and stay visible", testDeadLettersAreShownByReasonAndStayVisible)
	t.Run("dead letters are paged and filtered", testDeadLettersArePagedAndFiltered)
	t.Run("redrive keeps unknown names", testARedriveKeepsUnknownNames)
	t.Run("dead letters go back one a group or all", testDeadLettersGoBackOneAGroupOrAll)
	t.Run("redrive opens a rejected name again", testARedriveOpensARejectedNameAgain)
	t.Run("redrive does not feed itself", testARedriveDoesNotFeedItself)
	t.Run("redrive that has not seen all says so", testARedriveThatHasNotSeenAllSaysSo)
	t.Run("letter that cannot be sent stops no other", testALetterThatCannotBeSentStopsNoOther)
	t.Run("redrive wants one way of choosing", testARedriveWantsOneWayOfChoosing)
	t.Run("trouble of the queue is said and loses nothing", testTroubleOfTheQueueIsSaidAndLosesNothing)
	t.Run("log names client and action in bounded lines", testLogNamesClientAndActionInBoundedLines)
	t.Run("replay shows one run and the rest suppressed", testAReplayShowsOneRunAndTheRestSuppressed)
	t.Run("replay that cannot send ends", testAReplayThatCannotSendEnds)
	t.Run("message can be sent", testAMessageCanBeSent)
	t.Run("pause resume and drain are carried out", testPauseResumeAndDrainAreCarriedOut)
}

func testANamesStoryIsToldAndForgotten(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		story := get[console.Story](c, "/api/queues/sqsonce/names?name=order-17")
		if story.Found || len(story.Path) != 0 || len(story.Events) != 0 {
			t.Fatalf("before it was seen the story is %+v", story)
		}
		w.Send(t, w.QueueURL, "order-17", nil)
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(time.Minute)
		story = get[console.Story](c, "/api/queues/sqsonce/names?name=order-17")
		if !story.Found || story.Record.Status != "COMPLETED" || !story.Record.Final || story.Record.Attempts != 1 || story.Record.Result != "{}" {
			t.Fatalf("the story is %+v of %+v", story, story.Record)
		}
		if len(story.Events) != 3 || story.Events[0].Kind != "claimed" || story.Record.HeldHere {
			t.Errorf("the events are %+v", story.Events)
		}
		rec := c.act("/api/queues/sqsonce/forget", map[string]any{"name": "order-17"})
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), fmt.Sprint(time.Now().Add(time.Minute).UnixMilli())) {
			t.Fatalf("forget answers %d %s", rec.Code, rec.Body)
		}
		story = get[console.Story](c, "/api/queues/sqsonce/names?name=order-17")
		if story.Found || story.Events[3].Kind != "forgotten" {
			t.Errorf("after it was forgotten the story is %+v", story)
		}
		for _, bad := range []string{"", "name=", "name=%00", "name=" + strings.Repeat("a", 1025)} {
			if rec := c.ask(http.MethodGet, "/api/queues/sqsonce/names?"+bad, nil); rec.Code != http.StatusBadRequest {
				t.Errorf("%.20q answers %d", bad, rec.Code)
			}
		}
	})
}

func testOnlyTheWorkersOwnCallsCountForAMessage(t *testing.T) {
	counting := &counted{}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) {
		counting.Records, counting.queue, counting.url = c.Records, c.Queue, c.QueueURL
		c.Records = counting
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(10*time.Second + time.Second/2) // between two receives
		w.Pool.Pause()
		synctest.Wait()
		calls := func() float64 {
			return get[map[string]any](c, "/api/queues/sqsonce/status")["status"].(map[string]any)["figures"].(map[string]any)["calls_per_message"].(float64)
		}
		before := calls()
		for i := range 20 {
			w.Send(t, w.DLQURL, fmt.Sprint("other-", i), nil)
			get[console.Story](c, "/api/queues/sqsonce/names?name=order-17")
		}
		if after := calls(); after != before {
			t.Errorf("%g calls for one message, %g after others have sent and looked", before, after)
		}
	})
}

// counted makes a call to the queue for each lookup, like a lookup in a table.
type counted struct {
	console.Records
	queue console.Queue
	url   string
}

func (r *counted) Lookup(ctx context.Context, name string) (protocol.Record, error) {
	if _, err := r.queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &r.url}); err != nil {
		return protocol.Record{}, err
	}
	return r.Records.Lookup(ctx, name)
}

func testALiveLeaseIsForgottenOnlyByForce(t *testing.T) {
	inVirtualTime(t, consoletest.Options{Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
		<-ctx.Done()
		return dedupe.Payload{}, ctx.Err()
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(5 * time.Second)
		story := get[console.Story](c, "/api/queues/sqsonce/names?name=order-17")
		if story.Record.Status != "IN_PROGRESS" || !story.Record.HeldHere || story.Record.LeaseUntil <= story.Now {
			t.Errorf("the record is %+v", story.Record)
		}
		status := get[map[string]any](c, "/api/queues/sqsonce/status")
		row := status["flights"].([]any)[0].(map[string]any)
		if row["name"] != "order-17" || row["phase"] != "running" || row["attempt"] != 1.0 || row["lease_until"] == nil || row["visible_at"] == nil {
			t.Errorf("in flight is %v", row)
		}
		if rec := c.act("/api/queues/sqsonce/forget", map[string]any{"name": "order-17"}); rec.Code != http.StatusConflict {
			t.Errorf("forget answers %d %s", rec.Code, rec.Body)
		}
		if rec := c.act("/api/queues/sqsonce/forget", map[string]any{"name": "order-17", "force": true}); rec.Code != http.StatusOK {
			t.Errorf("forget by force answers %d %s", rec.Code, rec.Body)
		}
	})
}

// fillDead sends dead letters with three reasons to the queue.
func testALongNameIsWholeWhereverItLeadsToItsStory(t *testing.T) {
	long := func(end string) string { return strings.Repeat("n", protocol.MaxNameBytes-len(end)) + end }
	inVirtualTime(t, consoletest.Options{Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
		if a, _ := dedupe.AttemptFrom(ctx); a.Name == long("waits") {
			<-ctx.Done()
			return dedupe.Payload{}, context.Cause(ctx)
		}
		return dedupe.Payload{}, errors.New("card declined")
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		w.Send(t, w.QueueURL, long("waits"), nil)
		w.Send(t, w.QueueURL, long("fails"), nil)
		time.Sleep(500 * time.Millisecond)
		all := get[struct {
			Flights  []console.FlightRow `json:"flights"`
			Outcomes []console.Outcome   `json:"outcomes"`
			Failures []console.Failure   `json:"failures"`
		}](c, "/api/queues/sqsonce/status")
		if len(all.Flights) != 1 || len(all.Outcomes) != 1 || len(all.Failures) != 1 {
			t.Fatalf("the page shows %+v", all)
		}
		for what, got := range map[string][2]string{
			"flight": {all.Flights[0].Name, long("waits")}, "outcome": {all.Outcomes[0].Name, long("fails")}, "failure": {all.Failures[0].Name, long("fails")},
		} {
			if got[0] != got[1] {
				t.Errorf("the name of the %s has %d bytes: %q", what, len(got[0]), got[0])
			}
		}

		w.Send(t, w.DLQURL, long("fails"), map[string]string{consumer.AttrReason: "rejected"})
		w.Send(t, w.DLQURL, long("fails")+"!", map[string]string{consumer.AttrReason: "too long"})
		w.Send(t, w.DLQURL, strings.Repeat("n", 5000), map[string]string{consumer.AttrReason: "much too long"})
		for _, group := range decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", nil).Body.Bytes()).Groups {
			name, status := group.Messages[0].Name, http.StatusBadRequest // without a name there is no story
			if group.Reason == "rejected" {
				status = http.StatusOK
			}
			if rec := c.ask(http.MethodGet, "/api/queues/sqsonce/names?name="+url.QueryEscape(name), nil); rec.Code != status || len(name) > protocol.MaxNameBytes+3 {
				t.Errorf("the story of %s, a name of %d bytes, answers %d", group.Reason, len(name), rec.Code)
			}
			if group.Reason == "rejected" && name != long("fails") {
				t.Errorf("the letter is of %q", name)
			}
		}
	})
}

func fillDead(t *testing.T, w *consoletest.Worker) {
	t.Helper()
	for i := range 12 {
		w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", i), map[string]string{
			consumer.AttrReason: "rejected", consumer.AttrError: "card declined", attributes.Attempts: "5", attributes.OriginalID: "m-1",
		})
	}
	for i := range 3 {
		w.Send(t, w.DLQURL, fmt.Sprintf("invoice-%d", i), map[string]string{consumer.AttrReason: "mismatch"})
	}
	w.Send(t, w.DLQURL, "parcel", nil)
}

func testDeadLettersAreShownByReasonAndStayVisible(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		fillDead(t, w)
		for look := range 3 {
			rec := c.act("/api/queues/sqsonce/dead/peek", nil)
			if rec.Code != http.StatusOK {
				t.Fatalf("peek answers %d %s", rec.Code, rec.Body)
			}
			found := decode[console.DeadLetters](t, rec.Body.Bytes())
			if found.Seen != 16 || len(found.Groups) != 3 || found.More || found.Counted || found.Unreleased != 0 {
				t.Fatalf("look %d has found %+v", look, found)
			}
			first := found.Groups[0]
			if first.Reason != "rejected" || first.Count != 12 || first.Messages[0].Error != "card declined" || first.Messages[0].OriginalID != "m-1" {
				t.Errorf("the first group is %+v", first)
			}
			if got := first.Messages[0].Receives; got != look+1 {
				t.Errorf("look %d counts as receive %d", look, got)
			}
			if last := found.Groups[2]; last.Reason != deadletter.MovedBySQS {
				t.Errorf("the last group is %+v", last)
			}
		}
		// All messages are visible again.
		out, err := w.Queue.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &w.DLQURL, AttributeNames: []types.QueueAttributeName{"All"}})
		if err != nil || out.Attributes["ApproximateNumberOfMessages"] != "16" {
			t.Errorf("visible are %v: %v", out.Attributes["ApproximateNumberOfMessages"], err)
		}
	})
}

func testDeadLettersArePagedAndFiltered(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		for i := range 120 {
			w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", i), map[string]string{consumer.AttrReason: "rejected"})
		}
		w.Send(t, w.DLQURL, "parcel", map[string]string{consumer.AttrReason: "mismatch"})
		peek := func(in console.Peek) console.DeadLetters {
			return decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", in).Body.Bytes())
		}
		first := peek(console.Peek{Prefix: "order-"})
		if first.Seen != 121 || first.Found != 120 || first.More || len(first.Groups) != 1 || len(first.Groups[0].Messages) != 100 || first.Next == "" {
			t.Errorf("the first page is %+v", first)
		}
		second := peek(console.Peek{Prefix: "order-", After: first.Next})
		if len(second.Groups[0].Messages) != 20 || second.Groups[0].Count != 120 || second.Next != "" {
			t.Errorf("the second page is %+v", second)
		}
		if found := peek(console.Peek{Reason: "mismatch"}); found.Found != 1 || found.Groups[0].Messages[0].Name != "parcel" {
			t.Errorf("by reason: %+v", found)
		}
		if rec := c.act("/api/queues/sqsonce/dead/peek", console.Peek{After: "x"}); rec.Code != http.StatusBadRequest {
			t.Errorf("a cursor of no page answers %d", rec.Code)
		}
	})
}

func TestDeadLettersArePurged(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		fillDead(t, w)
		if rec := c.act("/api/queues/sqsonce/dead/purge", nil); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"purged":16`) {
			t.Errorf("purge answers %d %s", rec.Code, rec.Body)
		}
		if rec := c.act("/api/queues/sqsonce/dead/purge", nil); rec.Code != http.StatusConflict {
			t.Errorf("a second one answers %d %s", rec.Code, rec.Body)
		}
		if found := decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", nil).Body.Bytes()); found.Seen != 0 {
			t.Errorf("%d are left", found.Seen)
		}
	})
}

// A name with an unknown outcome and its dead letter stay until an operator decides.
func testARedriveKeepsUnknownNames(t *testing.T) {
	inVirtualTime(t, consoletest.Options{Hold: true, Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
		if a, _ := dedupe.AttemptFrom(ctx); a.Name == "order-17" && !mended.Load() {
			return dedupe.Payload{}, &outcomeUnknown{}
		}
		return dedupe.Payload{}, nil
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		mended.Store(false)
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(time.Minute)
		for _, order := range []console.Redrive{{All: true, Preview: true}, {All: true}} {
			step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", order))
			if step.Moved != 0 || step.Kept != 1 || step.Unknown != 1 || !step.Done || step.Items[0].Name != "order-17" || step.Items[0].Why == "" {
				t.Fatalf("%+v ends with %+v", order, step)
			}
		}
		mended.Store(true)
		if step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", console.Redrive{All: true, ReopenUnknown: true})); step.Moved != 1 {
			t.Fatalf("it ends with %+v", step)
		}
		time.Sleep(time.Minute)
		if story := get[console.Story](c, "/api/queues/sqsonce/names?name=order-17"); story.Record.Status != "COMPLETED" {
			t.Errorf("the record is %+v", story.Record)
		}
	})
}

var mended atomic.Bool

type outcomeUnknown struct{}

func (*outcomeUnknown) Error() string        { return "the connection broke" }
func (*outcomeUnknown) OutcomeUnknown() bool { return true }

func testDeadLettersGoBackOneAGroupOrAll(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		w.Pool.Pause()
		fillDead(t, w)
		time.Sleep(time.Minute)
		found := decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", nil).Body.Bytes())
		one := found.Groups[0].Messages[3]
		for _, tc := range []struct {
			name  string
			order map[string]any
			moved int
			left  int
		}{
			{"one", map[string]any{"ids": []string{one.ID}}, 1, 15},
			{"one that is not there", map[string]any{"ids": []string{one.ID}}, 0, 15},
			{"a group", map[string]any{"reason": "mismatch"}, 3, 12},
			{"those that SQS has moved", map[string]any{"reason": deadletter.MovedBySQS}, 1, 11},
			{"all", map[string]any{"all": true}, 11, 0},
		} {
			rec := c.act("/api/queues/sqsonce/dead/redrive", tc.order)
			step := last[console.RedriveStep](t, rec)
			if step.Moved != tc.moved || !step.Done || step.Error != "" || step.Doubly != 0 {
				t.Fatalf("%s: the last step is %+v", tc.name, step)
			}
			found = decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", nil).Body.Bytes())
			if found.Seen != tc.left {
				t.Fatalf("%s: %d are left, want %d", tc.name, found.Seen, tc.left)
			}
		}
		w.Pool.Resume()
		time.Sleep(time.Minute)
		for _, name := range []string{one.Name, "order-0", "invoice-2", "parcel"} {
			if story := get[console.Story](c, "/api/queues/sqsonce/names?name="+name); !story.Found || story.Record.Status != "COMPLETED" {
				t.Errorf("%s was sent back, but its story is %+v", name, story)
			}
		}
	})
}

func testARedriveOpensARejectedNameAgain(t *testing.T) {
	broken := true
	inVirtualTime(t, consoletest.Options{Handle: func(context.Context, consumer.Message) (dedupe.Payload, error) {
		if broken {
			return dedupe.Payload{}, &permanent{}
		}
		return dedupe.Payload{}, nil
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(time.Minute)
		if story := get[console.Story](c, "/api/queues/sqsonce/names?name=order-17"); story.Record.Status != "REJECTED" {
			t.Fatalf("the record is %+v", story.Record)
		}
		broken = false
		if step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", map[string]any{"all": true})); step.Moved != 1 {
			t.Fatalf("the redrive has ended with %+v", step)
		}
		time.Sleep(time.Minute)
		story := get[console.Story](c, "/api/queues/sqsonce/names?name=order-17")
		if story.Record.Status != "COMPLETED" || story.Path[1] != (console.Step{From: "REJECTED", To: "IN_PROGRESS", Times: 1}) {
			t.Errorf("the story is %+v of %+v", story, story.Record)
		}
	})
}

func testARedriveDoesNotFeedItself(t *testing.T) {
	var runs atomic.Int64
	inVirtualTime(t, consoletest.Options{Handle: func(context.Context, consumer.Message) (dedupe.Payload, error) {
		runs.Add(1)
		return dedupe.Payload{}, &permanent{}
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		w.Send(t, w.QueueURL, "order-17", nil)
		time.Sleep(time.Minute)
		for _, order := range []map[string]any{{"all": true}, {"reason": "rejected"}} {
			before := runs.Load()
			step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", order))
			time.Sleep(time.Minute)
			if step.Moved != 0 || step.Returned != 1 || !step.Done || runs.Load() != before+1 {
				t.Fatalf("%v has ended with %+v after %d runs", order, step, runs.Load()-before)
			}
		}
	})
}

func testARedriveThatHasNotSeenAllSaysSo(t *testing.T) {
	f := &failing{takes: 50 * time.Second}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { f.Queue, c.Queue = c.Queue, f }}, func(t *testing.T, w *consoletest.Worker, c *client) {
		for i := range 60 {
			w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", i), map[string]string{consumer.AttrReason: "rejected"})
		}
		step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", map[string]any{"reason": "mismatch"}))
		if step.Done || !step.More || step.Error != "" {
			t.Errorf("it has met its own hidden messages, and ended with %+v", step)
		}
	})
}

func testALetterThatCannotBeSentStopsNoOther(t *testing.T) {
	f := &failing{refuse: "order-3"}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { f.Queue, c.Queue = c.Queue, f }}, func(t *testing.T, w *consoletest.Worker, c *client) {
		fillDead(t, w)
		step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", map[string]any{"all": true}))
		if step.Moved != 15 || step.Refused != 1 || !step.Done || !strings.Contains(step.Items[0].Why, "InvalidMessageContents") {
			t.Errorf("it has ended with %+v", step)
		}
	})
}

type permanent struct{}

func (*permanent) Error() string   { return "card declined" }
func (*permanent) Permanent() bool { return true }

func testARedriveWantsOneWayOfChoosing(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{})
	c := newClient(t, w.Handler)
	for _, order := range []map[string]any{
		{}, {"all": false}, {"all": true, "reason": "rejected"}, {"ids": []string{"a"}, "all": true}, {"ids": []string{}}, {"ids": make([]string, 101)},
	} {
		if rec := c.act("/api/queues/sqsonce/dead/redrive", order); rec.Code != http.StatusBadRequest {
			t.Errorf("%v answers %d", order, rec.Code)
		}
	}
}

// failing is a queue whose calls fail in part.
type failing struct {
	console.Queue
	send, show, receive, del bool
	refuse                   string        // name of a letter that cannot be sent
	takes                    time.Duration // duration of a receive
}

func (f *failing) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if f.receive {
		return nil, errors.New("AccessDenied: no sqs:ReceiveMessage")
	}
	defer time.Sleep(f.takes)
	return f.Queue.ReceiveMessage(ctx, in, o...)
}

func (f *failing) SendMessage(ctx context.Context, in *sqs.SendMessageInput, o ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if f.send {
		return nil, errors.New("AccessDenied: no sqs:SendMessage")
	}
	if name := in.MessageAttributes[consumer.AttrName].StringValue; name != nil && *name == f.refuse {
		return nil, errors.New("InvalidMessageContents")
	}
	return f.Queue.SendMessage(ctx, in, o...)
}

func (f *failing) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if f.del {
		return nil, errors.New("AccessDenied: no sqs:DeleteMessage")
	}
	return f.Queue.DeleteMessageBatch(ctx, in, o...)
}

func (f *failing) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if f.show {
		return nil, errors.New("AccessDenied: no sqs:ChangeMessageVisibility")
	}
	return f.Queue.ChangeMessageVisibilityBatch(ctx, in, o...)
}

func testTroubleOfTheQueueIsSaidAndLosesNothing(t *testing.T) {
	f := &failing{}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { f.Queue, c.Queue = c.Queue, f }}, func(t *testing.T, w *consoletest.Worker, c *client) {
		fillDead(t, w)
		left := func() int {
			t.Helper()
			time.Sleep(3 * time.Minute) // until hidden messages are visible again
			*f = failing{Queue: f.Queue}
			return decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", nil).Body.Bytes()).Seen
		}
		f.receive = true
		if rec := c.act("/api/queues/sqsonce/dead/peek", nil); rec.Code != http.StatusBadGateway || !strings.Contains(rec.Body.String(), "sqs:ReceiveMessage") {
			t.Errorf("a look that is denied answers %d %s", rec.Code, rec.Body)
		}
		f.receive, f.show = false, true
		if found := decode[console.DeadLetters](t, c.act("/api/queues/sqsonce/dead/peek", nil).Body.Bytes()); found.Unreleased != 16 {
			t.Errorf("%d are reported as invisible", found.Unreleased)
		}
		if n := left(); n != 16 {
			t.Fatalf("%d are left", n)
		}
		f.send = true
		if step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", map[string]any{"all": true})); step.Moved != 0 || step.Done || !strings.Contains(step.Error, "sqs:SendMessage") {
			t.Errorf("a redrive that cannot send ends with %+v", step)
		}
		if n := left(); n != 16 {
			t.Fatalf("%d are left", n)
		}
		f.del = true
		if step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", map[string]any{"reason": "mismatch"})); step.Moved != 0 || step.Doubly != 3 {
			t.Errorf("a redrive that cannot delete ends with %+v", step)
		}
		if n := left(); n != 16 {
			t.Errorf("%d are left", n)
		}
	})
}

func testLogNamesClientAndActionInBoundedLines(t *testing.T) {
	log, lines := logged()
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Logger = log }}, func(t *testing.T, w *consoletest.Worker, c *client) {
		long := strings.Repeat("x", 1<<20)
		for path, order := range map[string]map[string]any{
			"/api/queues/sqsonce/forget":       {"name": long},
			"/api/queues/sqsonce/dead/redrive": {"reason": long},
		} {
			lines.Reset()
			c.act(path, order)
			if got := lines.Len(); got > 4<<10 || !strings.Contains(lines.String(), "who=127.0.0.1:4711") {
				t.Errorf("%s writes %d bytes to the log: %.200s", path, got, lines)
			}
		}
		lines.Reset()
		c.act("/api/queues/sqsonce/dead/redrive", map[string]any{"ids": slices.Repeat([]string{long[:10<<10]}, 100)})
		if got := lines.Len(); got > 16<<10 {
			t.Errorf("a hundred long ids write %d bytes to the log", got)
		}
		if got := lines.String(); !strings.Contains(got, `msg="console redrive ended" action=dead/redrive who=127.0.0.1:4711 moved=0`) {
			t.Errorf("log: %.200s", got)
		}
	})
}

func testAReplayShowsOneRunAndTheRestSuppressed(t *testing.T) {
	inVirtualTime(t, consoletest.Options{Handle: func(context.Context, consumer.Message) (dedupe.Payload, error) {
		time.Sleep(300 * time.Millisecond)
		return dedupe.Payload{}, nil
	}}, func(t *testing.T, w *consoletest.Worker, c *client) {
		rec := c.act("/api/queues/sqsonce/replay", map[string]any{"name": "order-17", "count": 500, "concurrency": 16})
		step := last[console.ReplayStep](t, rec)
		if step.Accepted != 500 || step.Handled != 1 || step.Suppressed != 499 || step.Open != 0 || !step.Done || step.Failed != 0 {
			t.Errorf("it ended with %+v", step)
		}
		if lines := strings.Count(rec.Body.String(), "\n"); lines < 3 {
			t.Errorf("%d lines of progress", lines)
		}
		step = last[console.ReplayStep](t, c.act("/api/queues/sqsonce/replay", map[string]any{"name": "order-17", "count": 20}))
		if step.Handled != 0 || step.Suppressed != 20 {
			t.Errorf("a second one ended with %+v", step)
		}
	})
}

func testAReplayThatCannotSendEnds(t *testing.T) {
	f := &failing{send: true}
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { f.Queue, c.Queue = c.Queue, f }}, func(t *testing.T, _ *consoletest.Worker, c *client) {
		step := last[console.ReplayStep](t, c.act("/api/queues/sqsonce/replay", map[string]any{"name": "order-17", "count": 50}))
		if step.Done || !strings.Contains(step.Error, "sqs:SendMessage") {
			t.Errorf("it ended with %+v", step)
		}
		if rec := c.act("/api/queues/sqsonce/send", map[string]any{"name": "order-17"}); rec.Code != http.StatusBadGateway {
			t.Errorf("send answers %d", rec.Code)
		}
	})
}

func TestAReplayIsBounded(t *testing.T) {
	c := newClient(t, consoletest.New(t, consoletest.Options{}).Handler)
	for _, order := range []map[string]any{
		{"name": ""}, {"name": "a", "count": -1}, {"name": "a", "count": 10_001}, {"name": "a", "concurrency": 65}, {"name": "a\x00"},
	} {
		if rec := c.act("/api/queues/sqsonce/replay", order); rec.Code != http.StatusBadRequest {
			t.Errorf("%v answers %d", order, rec.Code)
		}
	}
}

func testAMessageCanBeSent(t *testing.T) {
	inVirtualTime(t, consoletest.Options{}, func(t *testing.T, w *consoletest.Worker, c *client) {
		for _, order := range []map[string]any{{"name": "order-1"}, {"name": "order-2", "body": `{"total":42}`}} {
			if rec := c.act("/api/queues/sqsonce/send", order); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "message_id") {
				t.Errorf("%v answers %d %s", order, rec.Code, rec.Body)
			}
		}
		time.Sleep(time.Minute)
		for _, name := range []string{"order-1", "order-2"} {
			if story := get[console.Story](c, "/api/queues/sqsonce/names?name="+name); !story.Found {
				t.Errorf("%s was not handled", name)
			}
		}
	})
}

func testPauseResumeAndDrainAreCarriedOut(t *testing.T) {
	drained := 0
	inVirtualTime(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Drain = func() { drained++ } }}, func(t *testing.T, w *consoletest.Worker, c *client) {
		time.Sleep(time.Second)
		state := func() string { return string(w.Pool.Stats().State) }
		for _, tc := range []struct{ path, state string }{{"/api/queues/sqsonce/pause", "paused"}, {"/api/queues/sqsonce/resume", "running"}} {
			if rec := c.act(tc.path, nil); rec.Code != http.StatusOK || state() != tc.state {
				t.Errorf("%s answers %d, and the pool is %s", tc.path, rec.Code, state())
			}
		}
		if rec := c.act("/api/drain", nil); rec.Code != http.StatusOK || drained != 1 {
			t.Errorf("drain answers %d, and was carried out %d times", rec.Code, drained)
		}
	})
}
