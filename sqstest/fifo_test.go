package sqstest_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestFIFO(t *testing.T) {
	t.Run("FIFO receive returns several of one group in order", testFIFOReceiveReturnsSeveralOfOneGroupInOrder)
	t.Run("FIFO blocks the followers of a message in flight", testFIFOBlocksTheFollowersOfAMessageInFlight)
	t.Run("FIFO duplicate is accepted and dropped for five minutes", testFIFODuplicateIsAcceptedAndDroppedForFiveMinutes)
	t.Run("FIFO content based deduplication compares bodies", testFIFOContentBasedDeduplicationComparesBodies)
	t.Run("FIFO deduplication may be per group", testFIFODeduplicationMayBePerGroup)
	t.Run("FIFO send needs group and deduplication id", testFIFOSendNeedsGroupAndDeduplicationId)
	t.Run("FIFO queue delay keeps the order", testFIFOQueueDelayKeepsTheOrder)
	t.Run("FIFO receive attempt is answered again", testFIFOReceiveAttemptIsAnsweredAgain)
	t.Run("FIFO dead letters keep group and order", testFIFODeadLettersKeepGroupAndOrder)
	t.Run("FIFO deduplication ids are forgotten one by one", testFIFODeduplicationIdsAreForgottenOneByOne)
	t.Run("FIFO receive attempt ends when visibility is changed", testFIFOReceiveAttemptEndsWhenVisibilityIsChanged)
}

func testFIFOReceiveReturnsSeveralOfOneGroupInOrder(t *testing.T) {
	b := newBench(t)
	url := b.createFIFO("q.fifo")
	b.sendFIFO(url, "a", "a0", "a1", "a2")
	b.sendFIFO(url, "b", "b0")
	b.sendFIFO(url, "a", "a3")
	got := b.receive(url)
	expectBodies(t, got, "a0", "a1", "a2", "a3", "b0")
	last := ""
	for _, m := range got[:4] {
		seq := m.Attributes["SequenceNumber"]
		if len(seq) != 20 || seq <= last {
			t.Errorf("sequence number %q after %q, want 20 digits and increasing", seq, last)
		}
		last = seq
		if m.Attributes["MessageGroupId"] != "a" || m.Attributes["MessageDeduplicationId"] != *m.Body {
			t.Errorf("attributes %v", m.Attributes)
		}
	}
}

func testFIFOBlocksTheFollowersOfAMessageInFlight(t *testing.T) {
	t.Run("the rest of a group waits for all that was received", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.createFIFO("q.fifo")
			b.sendFIFO(url, "a", "a0", "a1", "a2")
			b.sendFIFO(url, "b", "b0")
			first := b.receive(url, most(2))
			expectBodies(t, first, "a0", "a1")
			expectBodies(t, b.receive(url), "b0")
			b.delete(url, first[0].ReceiptHandle)
			expectBodies(t, b.receive(url)) // a1 is in flight
			start := time.Now()
			done := make(chan []types.Message)
			go func() { done <- b.receive(url, waiting(20)) }()
			time.Sleep(3 * time.Second)
			b.delete(url, first[1].ReceiptHandle)
			expectBodies(t, <-done, "a2")
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("the poll returned after %v, want 3s: with the delete", d)
			}
		})
	})
	// Recorded: test_fifo_group_visibility_extends_with_change_message_visibility.
	for extended, want := range [][]string{{}, {"a0"}, {"a0", "a1"}} {
		t.Run("message "+strconv.Itoa(extended)+" is extended", func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				url := b.createFIFO("q.fifo", "VisibilityTimeout", "10")
				b.sendFIFO(url, "a", "a0", "a1", "a2", "a3")
				got := b.receive(url, most(3))
				if err := b.change(url, got[extended].ReceiptHandle, 60); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				expectBodies(t, b.receive(url, hidden(100)), want...)
				expectBodies(t, b.receive(url))
			})
		})
	}
	// Recorded: test_fifo_message_group_visibility_after_terminate_visibility_timeout.
	t.Run("messages come back one by one", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.createFIFO("q.fifo", "VisibilityTimeout", "10")
			b.sendFIFO(url, "a", "a0", "a1", "a2", "a3")
			got := b.receive(url, most(3))
			if err := b.change(url, got[2].ReceiptHandle, 0); err != nil { // last first
				t.Fatal(err)
			}
			expectBodies(t, b.receive(url)) // a0 and a1 are in flight
			if err := b.change(url, got[0].ReceiptHandle, 0); err != nil {
				t.Fatal(err)
			}
			expectBodies(t, b.receive(url, hidden(10)), "a0")
			expectBodies(t, b.receive(url))
			time.Sleep(10 * time.Second)
			expectBodies(t, b.receive(url), "a0", "a1", "a2", "a3")
		})
	})
}

// Recorded: test_fifo_delete_after_visibility_timeout.
func TestFIFORefusesExpiredHandles(t *testing.T) {
	expectExpired := func(t *testing.T, err error) {
		t.Helper()
		expectCode(t, err, "InvalidParameterValue")
		if err == nil || !strings.Contains(err.Error(), "Reason: The receipt handle has expired.") {
			t.Errorf("error %v, want one that says that the receipt handle has expired", err)
		}
	}
	for _, again := range []bool{false, true} {
		t.Run("received again "+strconv.FormatBool(again), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				url := b.createFIFO("q.fifo", "VisibilityTimeout", "10")
				b.sendFIFO(url, "a", "a0")
				old := b.one(url)
				time.Sleep(10 * time.Second)
				want := [3]int{1, 0, 0}
				if again {
					b.one(url)
					want = [3]int{0, 1, 0}
				}
				_, err := b.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: old.ReceiptHandle})
				expectExpired(t, err)
				expectExpired(t, b.change(url, old.ReceiptHandle, 60))
				b.expectCounts(url, want[0], want[1], want[2])
			})
		})
	}
	t.Run("extended in time", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.createFIFO("q.fifo", "VisibilityTimeout", "10")
			b.sendFIFO(url, "a", "a0")
			m := b.one(url)
			if err := b.change(url, m.ReceiptHandle, 60); err != nil {
				t.Fatal(err)
			}
			time.Sleep(59 * time.Second)
			b.delete(url, m.ReceiptHandle)
			b.delete(url, m.ReceiptHandle) // gone already: no error
			b.expectCounts(url, 0, 0, 0)
		})
	})
}

func testFIFODuplicateIsAcceptedAndDroppedForFiveMinutes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.createFIFO("q.fifo")
		send := func() *sqs.SendMessageOutput {
			t.Helper()
			out, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{
				QueueUrl: &url, MessageBody: aws.String("x"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		first := send()
		b.delete(url, b.one(url).ReceiptHandle)
		time.Sleep(5*time.Minute - time.Millisecond)
		second := send()
		if *second.MessageId != *first.MessageId || *second.SequenceNumber != *first.SequenceNumber {
			t.Errorf("duplicate answered with %s, %s, want %s, %s", *second.MessageId, *second.SequenceNumber, *first.MessageId, *first.SequenceNumber)
		}
		b.expectCounts(url, 0, 0, 0)
		time.Sleep(time.Millisecond)
		if third := send(); *third.MessageId == *first.MessageId {
			t.Error("duplicate remembered for more than 5 minutes")
		}
		b.expectCounts(url, 1, 0, 0)
	})
}

func testFIFOContentBasedDeduplicationComparesBodies(t *testing.T) {
	b := newBench(t)
	url := b.createFIFO("q.fifo", "ContentBasedDeduplication", "true")
	for _, body := range []string{"x", "x", "y"} {
		if _, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageGroupId: aws.String("g")}); err != nil {
			t.Fatal(err)
		}
	}
	expectBodies(t, b.receive(url), "x", "y")
}

func testFIFODeduplicationMayBePerGroup(t *testing.T) {
	b := newBench(t)
	url := b.createFIFO("q.fifo", "DeduplicationScope", "messageGroup")
	for _, group := range []string{"a", "b", "a"} {
		b.sendFIFO(url, group, "x")
	}
	b.expectCounts(url, 2, 0, 0)
}

func testFIFOSendNeedsGroupAndDeduplicationId(t *testing.T) {
	b := newBench(t)
	url := b.createFIFO("q.fifo")
	for _, c := range []struct {
		in   sqs.SendMessageInput
		code string
	}{
		{sqs.SendMessageInput{MessageDeduplicationId: aws.String("d")}, "MissingParameter"},
		{sqs.SendMessageInput{MessageGroupId: aws.String("g")}, "InvalidParameterValue"},
		{sqs.SendMessageInput{MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"), DelaySeconds: 1}, "InvalidParameterValue"},
		{sqs.SendMessageInput{MessageGroupId: aws.String("a b"), MessageDeduplicationId: aws.String("d")}, "InvalidParameterValue"},
	} {
		c.in.QueueUrl, c.in.MessageBody = &url, aws.String("x")
		_, err := b.SendMessage(t.Context(), &c.in)
		expectCode(t, err, c.code)
	}
}

func testFIFOQueueDelayKeepsTheOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.createFIFO("q.fifo", "DelaySeconds", "5")
		b.sendFIFO(url, "a", "a0", "a1", "a2")
		b.expectCounts(url, 0, 0, 3)
		expectBodies(t, b.receive(url, waiting(20)), "a0", "a1", "a2")
		b.sendFIFO(url, "b", "b0")
		b.set(url, "DelaySeconds", "0") // applies to messages already there
		expectBodies(t, b.receive(url), "b0")
	})
}

func testFIFOReceiveAttemptIsAnsweredAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.createFIFO("q.fifo", "VisibilityTimeout", "10")
		b.sendFIFO(url, "a", "a0", "a1")
		first := b.receive(url, attempt("1"))
		time.Sleep(9 * time.Second)
		again := b.receive(url, attempt("1"))
		expectBodies(t, again, "a0", "a1")
		for i := range again {
			if *again[i].ReceiptHandle != *first[i].ReceiptHandle || again[i].Attributes["ApproximateReceiveCount"] != "1" {
				t.Errorf("message %d: same handle %v, count %s, want the first delivery again", i,
					*again[i].ReceiptHandle == *first[i].ReceiptHandle, again[i].Attributes["ApproximateReceiveCount"])
			}
		}
		expectBodies(t, b.receive(url, attempt("2")))
		time.Sleep(9 * time.Second) // less than the timeout, which the retry has restarted
		b.expectCounts(url, 0, 2, 0)
		b.delete(url, first[0].ReceiptHandle)
		expectBodies(t, b.receive(url, attempt("1"))) // a message of the attempt has changed
	})
}

func testFIFODeadLettersKeepGroupAndOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		dlq := b.createFIFO("dlq.fifo")
		url := b.createFIFO("q.fifo", "VisibilityTimeout", "10", "RedrivePolicy", redriveTo("dlq.fifo", 1))
		b.sendFIFO(url, "a", "a0", "a1")
		b.receive(url)
		b.sendFIFO(url, "a", "a2")
		time.Sleep(10 * time.Second)
		expectBodies(t, b.receive(url), "a2")
		got := b.receive(dlq)
		expectBodies(t, got, "a0", "a1")
		if got[0].Attributes["MessageGroupId"] != "a" {
			t.Errorf("group %q in the dead-letter queue, want a", got[0].Attributes["MessageGroupId"])
		}
	})
}

func testFIFODeduplicationIdsAreForgottenOneByOne(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.createFIFO("q.fifo")
		b.sendFIFO(url, "g", "x")
		time.Sleep(3 * time.Minute)
		b.sendFIFO(url, "g", "y")
		time.Sleep(2 * time.Minute)
		b.sendFIFO(url, "g", "x", "y")
		expectBodies(t, b.receive(url), "x", "y", "x")
	})
}

func testFIFOReceiveAttemptEndsWhenVisibilityIsChanged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.createFIFO("q.fifo", "VisibilityTimeout", "10")
		b.sendFIFO(url, "a", "a0")
		m := b.one(url, attempt("1"))
		if err := b.change(url, m.ReceiptHandle, 60); err != nil {
			t.Fatal(err)
		}
		expectBodies(t, b.receive(url, attempt("1")))
		time.Sleep(60 * time.Second)
		if again := b.one(url, attempt("1")); again.Attributes["ApproximateReceiveCount"] != "2" {
			t.Errorf("receive count %s, want 2: a new delivery", again.Attributes["ApproximateReceiveCount"])
		}
	})
}
