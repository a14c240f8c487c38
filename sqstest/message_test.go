package sqstest_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

func TestMessages(t *testing.T) {
	t.Run("message comes back with its system attributes", testMessageComesBackWithItsSystemAttributes)
	t.Run("attributes come only when asked for", testAttributesComeOnlyWhenAskedFor)
	t.Run("attribute digest is that of the documentation", testAttributeDigestIsThatOfTheDocumentation)
	t.Run("receive takes at most ten and counters add up", testReceiveTakesAtMostTenAndCountersAddUp)
	t.Run("message comes again after its visibility timeout", testMessageComesAgainAfterItsVisibilityTimeout)
	t.Run("old handles of standard queues", testOldHandlesOfStandardQueues)
	t.Run("visibility is changed from now on", testVisibilityIsChangedFromNowOn)
	t.Run("visibility ends twelve hours after the receive", testVisibilityEndsTwelveHoursAfterTheReceive)
	t.Run("visibility batch fails entry by entry", testVisibilityBatchFailsEntryByEntry)
	t.Run("messages are forgotten after the retention period", testMessagesAreForgottenAfterTheRetentionPeriod)
	t.Run("long poll returns when a message arrives", testLongPollReturnsWhenAMessageArrives)
	t.Run("long poll returns when a message is visible again", testLongPollReturnsWhenAMessageIsVisibleAgain)
	t.Run("cancelled poll returns at once and takes nothing", testCancelledPollReturnsAtOnceAndTakesNothing)
	t.Run("message called for by a cancelled poll goes to the next", testMessageCalledForByACancelledPollGoesToTheNext)
	t.Run("hundred polls of twenty seconds take twenty seconds", testHundredPollsOfTwentySecondsTakeTwentySeconds)
	t.Run("concurrent consumers get every message once", testConcurrentConsumersGetEveryMessageOnce)
	t.Run("messages due at the same time come in the order of sending", testMessagesDueAtTheSameTimeComeInTheOrderOfSending)
}

func testMessageComesBackWithItsSystemAttributes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		sent := time.Now().UnixMilli()
		out, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String("hello"), MessageGroupId: aws.String("tenant"),
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1")},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b.one(url, hidden(1))
		time.Sleep(time.Second)
		m := b.one(url)
		if *m.MessageId != *out.MessageId {
			t.Errorf("message id %s, want %s", *m.MessageId, *out.MessageId)
		}
		sum := md5.Sum([]byte("hello"))
		if want := hex.EncodeToString(sum[:]); *m.MD5OfBody != want {
			t.Errorf("MD5 of the body %s, want %s", *m.MD5OfBody, want)
		}
		want := map[string]string{
			"SenderId":                         "000000000000",
			"SentTimestamp":                    strconv.FormatInt(sent, 10),
			"ApproximateFirstReceiveTimestamp": strconv.FormatInt(sent+1000, 10),
			"ApproximateReceiveCount":          "2",
			"MessageGroupId":                   "tenant",
			"AWSTraceHeader":                   "Root=1",
		}
		if !maps.Equal(m.Attributes, want) {
			t.Errorf("attributes %v, want %v", m.Attributes, want)
		}
	})
}

func testAttributesComeOnlyWhenAskedFor(t *testing.T) {
	b := newBench(t)
	url := b.create("q", "VisibilityTimeout", "0")
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	if _, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"app.a": text("1"), "app.b": text("2"), "other": text("3"),
			"bin": {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 1, 255}},
			"num": {DataType: aws.String("Number"), StringValue: aws.String("-1.5e3")},
		}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		asked []string
		want  int
	}{
		{nil, 0}, {[]string{"All"}, 5}, {[]string{".*"}, 5}, {[]string{"*"}, 5}, {[]string{"app.*"}, 2}, {[]string{"other", "num", "none"}, 2},
	} {
		m := b.one(url, func(in *sqs.ReceiveMessageInput) {
			in.MessageSystemAttributeNames, in.MessageAttributeNames = nil, c.asked
		})
		if len(m.MessageAttributes) != c.want {
			t.Errorf("asked for %v: got %v, want %d", c.asked, m.MessageAttributes, c.want)
		}
		if len(m.Attributes) != 0 {
			t.Errorf("asked for no system attributes: got %v", m.Attributes)
		}
		if got := m.MD5OfMessageAttributes != nil; got != (c.want > 0) {
			t.Errorf("asked for %v: MD5 of attributes present is %v", c.asked, got)
		}
	}
	m := b.one(url, func(in *sqs.ReceiveMessageInput) {
		in.MessageSystemAttributeNames = nil
		in.AttributeNames = []types.QueueAttributeName{"SentTimestamp"} // deprecated, still in use
	})
	if len(m.Attributes) != 1 || m.Attributes["SentTimestamp"] == "" {
		t.Errorf("asked with AttributeNames for SentTimestamp: got %v", m.Attributes)
	}
	if got := m.MessageAttributes["bin"].BinaryValue; string(got) != "\x00\x01\xff" {
		t.Errorf("binary attribute %v, want [0 1 255]", got)
	}
}

func testAttributeDigestIsThatOfTheDocumentation(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	out, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"b": {DataType: aws.String("Binary"), BinaryValue: []byte("v")},
			"a": {DataType: aws.String("Number"), StringValue: aws.String("7")},
		}})
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum([]byte("\x00\x00\x00\x01a\x00\x00\x00\x06Number\x01\x00\x00\x00\x017\x00\x00\x00\x01b\x00\x00\x00\x06Binary\x02\x00\x00\x00\x01v"))
	if want := hex.EncodeToString(sum[:]); aws.ToString(out.MD5OfMessageAttributes) != want {
		t.Errorf("digest %s, want %s", aws.ToString(out.MD5OfMessageAttributes), want)
	}
}

func TestInvalidMessagesAreRefused(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	small := b.create("small", "MaximumMessageSize", "1024")
	attr := func(name, kind, value string) map[string]types.MessageAttributeValue {
		return map[string]types.MessageAttributeValue{name: {DataType: &kind, StringValue: &value}}
	}
	many := map[string]types.MessageAttributeValue{}
	for i := range 11 {
		maps.Copy(many, attr(fmt.Sprintf("a%d", i), "String", "v"))
	}
	for _, c := range []struct {
		what string
		in   sqs.SendMessageInput
		code string
	}{
		{"empty body", sqs.SendMessageInput{MessageBody: aws.String("")}, "MissingParameter"},
		{"NUL", sqs.SendMessageInput{MessageBody: aws.String("a\x00")}, "InvalidMessageContents"},
		{"U+FFFF", sqs.SendMessageInput{MessageBody: aws.String("a\uffff")}, "InvalidMessageContents"},
		{"1 MiB and a byte", sqs.SendMessageInput{MessageBody: aws.String(strings.Repeat("a", 1<<20+1))}, "InvalidParameterValue"},
		{"1 MiB and attributes", sqs.SendMessageInput{MessageBody: aws.String(strings.Repeat("a", 1<<20)), MessageAttributes: attr("a", "String", "v")}, "InvalidParameterValue"},
		{"over the queue's maximum", sqs.SendMessageInput{QueueUrl: &small, MessageBody: aws.String(strings.Repeat("a", 1025))}, "InvalidParameterValue"},
		{"long delay", sqs.SendMessageInput{MessageBody: aws.String("a"), DelaySeconds: 901}, "InvalidParameterValue"},
		{"eleven attributes", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: many}, "InvalidParameterValue"},
		{"attribute name", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: attr("AWS.x", "String", "v")}, "InvalidParameterValue"},
		{"attribute name", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: attr("x..y", "String", "v")}, "InvalidParameterValue"},
		{"attribute type", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: attr("x", "Text", "v")}, "InvalidParameterValue"},
		{"no number", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: attr("x", "Number", "v")}, "InvalidParameterValue"},
		{"empty attribute", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: attr("x", "String", "")}, "InvalidParameterValue"},
		{"deduplication id", sqs.SendMessageInput{MessageBody: aws.String("a"), MessageDeduplicationId: aws.String("d")}, "InvalidParameterValue"},
	} {
		if c.in.QueueUrl == nil {
			c.in.QueueUrl = &url
		}
		_, err := b.SendMessage(t.Context(), &c.in)
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != c.code || e.ErrorFault() != smithy.FaultClient {
			t.Errorf("%s: error %v, want the client's fault %s", c.what, err, c.code)
		}
	}
	b.send(url, strings.Repeat("a", 1<<20), "tab\t, newline\n and \U0001F600 <&>")
	b.send(small, strings.Repeat("a", 1024))
	b.expectCounts(url, 2, 0, 0)
}

func testReceiveTakesAtMostTenAndCountersAddUp(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	for i := range 25 {
		b.send(url, strconv.Itoa(i))
	}
	b.expectCounts(url, 25, 0, 0)
	first := b.receive(url)
	expectBodies(t, first, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	b.expectCounts(url, 15, 10, 0)
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range first {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	entries[9].ReceiptHandle = aws.String("bogus")
	out, err := b.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 9 || len(out.Failed) != 1 || *out.Failed[0].Id != "9" || *out.Failed[0].Code != "ReceiptHandleIsInvalid" || !out.Failed[0].SenderFault {
		t.Errorf("successful %d, failed %v, want 9 and ReceiptHandleIsInvalid for 9", len(out.Successful), out.Failed)
	}
	b.expectCounts(url, 15, 1, 0)
	for _, n := range []int32{-1, 11} {
		_, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: n})
		expectCode(t, err, "InvalidParameterValue")
	}
}

func TestBatchesAreChecked(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	batch := func(body string, ids ...string) (*sqs.SendMessageBatchOutput, error) {
		in := &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{}}
		for _, id := range ids {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body})
		}
		return b.SendMessageBatch(t.Context(), in)
	}
	_, err := batch("x")
	expectError[*types.EmptyBatchRequest](t, err)
	_, err = batch("x", strings.Split("0123456789a", "")...)
	expectError[*types.TooManyEntriesInBatchRequest](t, err)
	_, err = batch("x", "a", "a")
	expectError[*types.BatchEntryIdsNotDistinct](t, err)
	_, err = batch("x", "a b")
	expectError[*types.InvalidBatchEntryId](t, err)
	_, err = batch(strings.Repeat("x", 1<<19+1), "a", "b")
	expectError[*types.BatchRequestTooLong](t, err)
	b.expectCounts(url, 0, 0, 0)
	out, err := batch(strings.Repeat("x", 1<<19), "a", "b")
	if err != nil || len(out.Successful) != 2 {
		t.Errorf("batch of exactly 1 MiB: %v, %v", out, err)
	}

	out, err = b.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("good"), MessageBody: aws.String("x")}, {Id: aws.String("bad"), MessageBody: aws.String("\x01")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || *out.Successful[0].Id != "good" || len(out.Failed) != 1 || *out.Failed[0].Code != "InvalidMessageContents" {
		t.Errorf("successful %v, failed %v, want good and bad", out.Successful, out.Failed)
	}
}

func testMessageComesAgainAfterItsVisibilityTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "VisibilityTimeout", "10")
		b.send(url, "a")
		first := b.one(url)
		time.Sleep(10*time.Second - time.Millisecond)
		expectBodies(t, b.receive(url))
		time.Sleep(time.Millisecond)
		second := b.one(url, hidden(100))
		if *first.ReceiptHandle == *second.ReceiptHandle || second.Attributes["ApproximateReceiveCount"] != "2" {
			t.Errorf("second delivery: same handle %v, count %s", *first.ReceiptHandle == *second.ReceiptHandle, second.Attributes["ApproximateReceiveCount"])
		}
		time.Sleep(99 * time.Second)
		b.expectCounts(url, 0, 1, 0)
		time.Sleep(time.Second)
		b.expectCounts(url, 1, 0, 0)
	})
}

// Recorded: test_remove_message_with_old_receipt_handle,
// test_terminate_visibility_timeout_after_receive,
// test_change_message_visibility_after_visibility_timeout_expiration.
func testOldHandlesOfStandardQueues(t *testing.T) {
	t.Run("hide a visible message again", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.create("q", "VisibilityTimeout", "10")
			b.send(url, "a")
			expired := b.one(url)
			time.Sleep(20 * time.Second)
			b.expectCounts(url, 1, 0, 0)
			if err := b.change(url, expired.ReceiptHandle, 60); err != nil {
				t.Fatal(err)
			}
			b.expectCounts(url, 0, 1, 0)
			time.Sleep(60 * time.Second)
			b.expectCounts(url, 1, 0, 0)
		})
	})
	t.Run("change the current delivery", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.create("q", "VisibilityTimeout", "10")
			b.send(url, "a")
			stale := b.one(url)
			time.Sleep(10 * time.Second)
			b.one(url)
			if err := b.change(url, stale.ReceiptHandle, 0); err != nil {
				t.Fatal(err)
			}
			b.expectCounts(url, 1, 0, 0)
		})
	})
	t.Run("delete the current delivery", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.create("q", "VisibilityTimeout", "10")
			b.send(url, "a")
			stale := b.one(url)
			time.Sleep(10 * time.Second)
			current := b.one(url)
			b.delete(url, stale.ReceiptHandle)
			b.expectCounts(url, 0, 0, 0)
			b.delete(url, current.ReceiptHandle) // no error, though the message is gone
		})
	})
	t.Run("delete a visible message", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			url := b.create("q", "VisibilityTimeout", "10")
			b.send(url, "a")
			expired := b.one(url)
			time.Sleep(10 * time.Second)
			b.delete(url, expired.ReceiptHandle)
			b.expectCounts(url, 0, 0, 0)
		})
	})
}

func testVisibilityIsChangedFromNowOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "VisibilityTimeout", "10")
		b.send(url, "a")
		m := b.one(url)
		time.Sleep(9 * time.Second)
		if err := b.change(url, m.ReceiptHandle, 30); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		b.expectCounts(url, 0, 1, 0)
		if err := b.change(url, m.ReceiptHandle, 0); err != nil {
			t.Fatal(err)
		}
		b.expectCounts(url, 1, 0, 0)
		m = b.one(url)
		time.Sleep(9 * time.Second)
		b.expectCounts(url, 0, 1, 0)
		b.delete(url, m.ReceiptHandle)
		expectCode(t, b.change(url, m.ReceiptHandle, 30), "InvalidParameterValue")
		expectError[*types.ReceiptHandleIsInvalid](t, b.change(url, aws.String("bogus"), 30))
		expectCode(t, b.change(url, m.ReceiptHandle, 43201), "InvalidParameterValue")
	})
}

func testVisibilityEndsTwelveHoursAfterTheReceive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		b.send(url, "a")
		m := b.one(url, hidden(43200))
		time.Sleep(time.Hour)
		expectCode(t, b.change(url, m.ReceiptHandle, 11*3600+1), "InvalidParameterValue")
		if err := b.change(url, m.ReceiptHandle, 11*3600); err != nil {
			t.Errorf("up to exactly 12 h: %v", err)
		}
	})
}

func testVisibilityBatchFailsEntryByEntry(t *testing.T) {
	b := newBench(t)
	url := b.create("q")
	b.send(url, "a", "b", "c")
	got := b.receive(url)
	b.delete(url, got[2].ReceiptHandle)
	entry := func(id string, handle *string, seconds int32) types.ChangeMessageVisibilityBatchRequestEntry {
		return types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: handle, VisibilityTimeout: seconds}
	}
	out, err := b.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url,
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			entry("zero", got[0].ReceiptHandle, 0), entry("more", got[1].ReceiptHandle, 60),
			entry("gone", got[2].ReceiptHandle, 60), entry("bogus", aws.String("bogus"), 60),
		}})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for _, f := range out.Failed {
		codes[*f.Id] = *f.Code
	}
	want := map[string]string{"gone": "InvalidParameterValue", "bogus": "ReceiptHandleIsInvalid"}
	if len(out.Successful) != 2 || !maps.Equal(codes, want) {
		t.Errorf("successful %d, failed %v, want 2 and %v", len(out.Successful), codes, want)
	}
	b.expectCounts(url, 1, 1, 0)
}

func TestDelayHidesNewMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "DelaySeconds", "5")
		b.send(url, "queue delay")
		if _, err := b.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("own delay"), DelaySeconds: 10}); err != nil {
			t.Fatal(err)
		}
		b.expectCounts(url, 0, 0, 2)
		start := time.Now()
		expectBodies(t, b.receive(url, waiting(20)), "queue delay")
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("visible after %v, want 5s", d)
		}
		b.expectCounts(url, 0, 1, 1)
		expectBodies(t, b.receive(url, waiting(20)), "own delay")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("visible after %v, want 10s", d)
		}
	})
}

func testMessagesAreForgottenAfterTheRetentionPeriod(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "MessageRetentionPeriod", "60", "VisibilityTimeout", "300")
		b.send(url, "received", "waiting")
		b.receive(url, most(1))
		time.Sleep(30 * time.Second)
		b.send(url, "younger")
		time.Sleep(30 * time.Second)
		b.expectCounts(url, 1, 0, 0)
		expectBodies(t, b.receive(url), "younger")
	})
}

func testLongPollReturnsWhenAMessageArrives(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "ReceiveMessageWaitTimeSeconds", "20")
		start := time.Now()
		got := make(chan int)
		for range 3 {
			go func() { got <- len(b.receive(url)) }()
		}
		time.Sleep(7 * time.Second)
		b.send(url, "a")
		if n := <-got; n != 1 || time.Since(start) != 7*time.Second {
			t.Errorf("%d messages after %v, want 1 after 7s", n, time.Since(start))
		}
		for range 2 {
			if n := <-got; n != 0 || time.Since(start) != 20*time.Second {
				t.Errorf("%d messages after %v, want none after 20s", n, time.Since(start))
			}
		}
	})
}

func testLongPollReturnsWhenAMessageIsVisibleAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "VisibilityTimeout", "15")
		b.send(url, "a")
		m := b.one(url)
		start := time.Now()
		got := make(chan int)
		for range 2 {
			go func() { got <- len(b.receive(url, waiting(20))) }()
		}
		time.Sleep(time.Second)
		if err := b.change(url, m.ReceiptHandle, 3); err != nil { // before the polls' alarm
			t.Fatal(err)
		}
		if n := <-got; n != 1 || time.Since(start) != 4*time.Second {
			t.Errorf("%d messages after %v, want 1 after 4s", n, time.Since(start))
		}
		if n := <-got; n != 1 || time.Since(start) != 19*time.Second {
			t.Errorf("%d messages after %v, want 1 after 19s", n, time.Since(start))
		}
	})
}

func testCancelledPollReturnsAtOnceAndTakesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		go func() {
			_, err := b.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
			errs <- err
		}()
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("error %v after %v, want context canceled at once", err, time.Since(start))
		}
		b.send(url, "a")
		b.expectCounts(url, 1, 0, 0)
		if m := b.one(url); m.Attributes["ApproximateReceiveCount"] != "1" {
			t.Errorf("receive count %s, want 1", m.Attributes["ApproximateReceiveCount"])
		}
	})
}

func testMessageCalledForByACancelledPollGoesToTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := b.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
			first <- err
		}()
		synctest.Wait()
		second := make(chan int)
		go func() { second <- len(b.receive(url, waiting(20))) }()
		synctest.Wait()
		start := time.Now()
		cancel() // the send has signalled the first poll, which may not have woken up yet
		b.send(url, "a")
		if err := <-first; err == nil {
			t.Error("cancelled poll took the message")
		}
		if n := <-second; n != 1 || time.Since(start) != 0 {
			t.Errorf("second poll got %d messages after %v, want 1 at once", n, time.Since(start))
		}
	})
}

func testHundredPollsOfTwentySecondsTakeTwentySeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		start := time.Now()
		got := make(chan int)
		for range 100 {
			go func() { got <- len(b.receive(url, waiting(20))) }()
		}
		for range 100 {
			if n := <-got; n != 0 {
				t.Errorf("got %d messages from an empty queue", n)
			}
		}
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("took %v, want 20s", d)
		}
	})
}

func testConcurrentConsumersGetEveryMessageOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q")
		const senders, each = 8, 250
		for s := range senders {
			go func() {
				for i := range each {
					b.send(url, fmt.Sprintf("%d-%d", s, i))
				}
			}()
		}
		got := make(chan []types.Message)
		for range 8 {
			go func() {
				for {
					ms := b.receive(url, waiting(20))
					for _, m := range ms {
						b.delete(url, m.ReceiptHandle)
					}
					got <- ms
					if len(ms) == 0 { // all messages are received
						return
					}
				}
			}()
		}
		seen := map[string]int{}
		for ended := 0; ended < 8; {
			ms := <-got
			if len(ms) == 0 {
				ended++
			}
			for _, m := range ms {
				if seen[*m.Body]++; seen[*m.Body] > 1 {
					t.Errorf("message %s received %d times", *m.Body, seen[*m.Body])
				}
			}
		}
		if len(seen) != senders*each {
			t.Errorf("received %d messages, want %d", len(seen), senders*each)
		}
		b.expectCounts(url, 0, 0, 0)
	})
}

func testMessagesDueAtTheSameTimeComeInTheOrderOfSending(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url := b.create("q", "DelaySeconds", "5")
		b.send(url, strings.Split("0123456789", "")...)
		time.Sleep(5 * time.Second)
		expectBodies(t, b.receive(url), strings.Split("0123456789", "")...)
	})
}
