package sqstest_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/sqstest"
)

func TestHookSeesEveryCall(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	var got []sqstest.Call
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		got = append(got, c)
		return sqstest.Fault{}
	})
	b.send(url, "a")
	m := b.one(url)
	if _, err := b.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle}, {Id: aws.String("b"), ReceiptHandle: m.ReceiptHandle},
	}}); err != nil {
		t.Fatal(err)
	}
	b.server.Control(nil)
	b.send(url, "b")
	want := []sqstest.Call{{"SendMessage", "q", 1}, {"ReceiveMessage", "q", 10}, {"DeleteMessageBatch", "q", 2}}
	if !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}

func TestFaults(t *testing.T) {
	t.Run("error is answered instead of the effect", testErrorIsAnsweredInsteadOfTheEffect)
	t.Run("client tries again after a server error", testClientTriesAgainAfterAServerError)
	t.Run("lost answer leaves the effect", testLostAnswerLeavesTheEffect)
	t.Run("delay comes before the effect and delay after behind it", testDelayComesBeforeTheEffectAndDelayAfterBehindIt)
	t.Run("chosen entries fail without effect", testChosenEntriesFailWithoutEffect)
	t.Run("duplicate is delivered at once with a handle of its own", testDuplicateIsDeliveredAtOnceWithAHandleOfItsOwn)
	t.Run("FIFO duplicate waits for its group", testFIFODuplicateWaitsForItsGroup)
}

func testErrorIsAnsweredInsteadOfTheEffect(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	send := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a")}
	b.failOnce("SendMessage", sqstest.Fault{Error: &sqstest.Error{Code: "RequestThrottled", Status: 403, SenderFault: true}})
	_, err := b.impatient().SendMessage(t.Context(), send)
	expectError[*types.RequestThrottled](t, err)
	b.expectCounts(url, 0, 0, 0)
}

func testClientTriesAgainAfterAServerError(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		b.failOnce("SendMessage", sqstest.Fault{Error: &sqstest.Error{}})
		b.send(url, "a")
		b.expectCounts(url, 1, 0, 0)
	})
}

func testLostAnswerLeavesTheEffect(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		b.failOnce("SendMessage", sqstest.Fault{LoseAnswer: true})
		_, err := b.impatient().SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a")})
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v, want a connection reset", err)
		}
		b.expectCounts(url, 1, 0, 0)

		b.failOnce("SendMessage", sqstest.Fault{LoseAnswer: true})
		b.send(url, "b") // the client's retry sends it twice
		b.expectCounts(url, 3, 0, 0)

		b.failOnce("ReceiveMessage", sqstest.Fault{LoseAnswer: true})
		b.receive(url, most(1))
		b.expectCounts(url, 1, 2, 0) // the lost one stays in flight
	})
}

func testDelayComesBeforeTheEffectAndDelayAfterBehindIt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		send := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := b.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a")})
			return err
		}
		start := time.Now()
		b.failOnce("SendMessage", sqstest.Fault{Delay: 3 * time.Second})
		if err := send(2 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
		b.expectCounts(url, 0, 0, 0)
		b.failOnce("SendMessage", sqstest.Fault{DelayAfter: 3 * time.Second})
		if err := send(2 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
		b.expectCounts(url, 1, 0, 0)
		b.failOnce("SendMessage", sqstest.Fault{Delay: time.Second, DelayAfter: time.Second})
		if err := send(3 * time.Second); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 6*time.Second {
			t.Errorf("took %v, want 6s", d)
		}
	})
}

func testChosenEntriesFailWithoutEffect(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	b.failOnce("SendMessageBatch", sqstest.Fault{FailEntries: []int{1, 7}, EntryError: &sqstest.Error{Code: "KmsThrottled", SenderFault: true}})
	out, err := b.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("a")}, {Id: aws.String("b"), MessageBody: aws.String("b")}, {Id: aws.String("c"), MessageBody: aws.String("c")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "b" || *out.Failed[0].Code != "KmsThrottled" || !out.Failed[0].SenderFault {
		t.Errorf("successful %v, failed %v, want b failed with KmsThrottled", out.Successful, out.Failed)
	}
	got := b.receive(url)
	expectBodies(t, got, "a", "c")

	b.failOnce("DeleteMessageBatch", sqstest.Fault{FailEntries: []int{0}})
	deleted, err := b.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle}, {Id: aws.String("c"), ReceiptHandle: got[1].ReceiptHandle},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(deleted.Failed) != 1 || *deleted.Failed[0].Code != "InternalError" || deleted.Failed[0].SenderFault {
		t.Errorf("failed %v, want InternalError of the receiver", deleted.Failed)
	}
	b.expectCounts(url, 0, 1, 0)
}

func testDuplicateIsDeliveredAtOnceWithAHandleOfItsOwn(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	b.send(url, "a", "b", "c")
	b.failOnce("ReceiveMessage", sqstest.Fault{Duplicate: true})
	first := b.receive(url, most(2))
	expectBodies(t, first, "a", "b")
	b.expectCounts(url, 3, 2, 0)
	second := b.receive(url)
	expectBodies(t, second, "a", "b", "c")
	if *second[0].MessageId != *first[0].MessageId || *second[0].ReceiptHandle == *first[0].ReceiptHandle || second[0].Attributes["ApproximateReceiveCount"] != "2" {
		t.Errorf("duplicate %s with count %s, want id %s, another handle, count 2", *second[0].MessageId, second[0].Attributes["ApproximateReceiveCount"], *first[0].MessageId)
	}
	b.delete(url, first[0].ReceiptHandle)
	if err := b.change(url, second[0].ReceiptHandle, 60); err != nil {
		t.Errorf("the copy has gone with the other: %v", err)
	}
	b.delete(url, second[0].ReceiptHandle)
	b.expectCounts(url, 0, 3, 0)
}

func testFIFODuplicateWaitsForItsGroup(t *testing.T) {
	b := newBench(t)
	url := b.createFIFO("q.fifo")
	b.sendFIFO(url, "g", "a", "b")
	b.failOnce("ReceiveMessage", sqstest.Fault{Duplicate: true})
	first := b.one(url, most(1))
	expectBodies(t, b.receive(url))
	b.delete(url, first.ReceiptHandle)
	expectBodies(t, b.receive(url), "a", "b")
}
