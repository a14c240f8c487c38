package sqstest_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// changed sets a visibility timeout and fails the test if SQS refuses it.
func (c *trial) changed(url string, m types.Message, seconds int32) {
	c.t.Helper()
	if err := c.change(url, m.ReceiptHandle, seconds); err != nil {
		c.t.Fatalf("ChangeMessageVisibility: %v", err)
	}
}

var visibilityFacts = []fact{
	{source: "receive_after_visibility_timeout", asserts: "a message comes again after its timeout, with another handle", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "1")
		c.send(url, "foobar")
		first := c.one(url)
		expectBodies(c.t, c.receive(url))
		c.equal("the handles are equal", *first.ReceiptHandle == *c.one(url, waiting(5)).ReceiptHandle, false)
	}},
	{source: "receive_terminate_visibility_timeout", asserts: "a receive may leave a message visible, once", run: func(c *trial) {
		url := c.queue()
		c.send(url, "foobar")
		first := c.seen(url)
		c.equal("the handles are equal", *first[0].ReceiptHandle == *c.one(url).ReceiptHandle, false)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "receive_message_with_visibility_timeout_updates_timeout", asserts: "each receive sets its own timeout", run: func(c *trial) {
		url := c.queue()
		c.send(url, "test")
		expectBodies(c.t, c.seen(url, waiting(2)), "test")
		expectBodies(c.t, c.receive(url, hidden(3)), "test")
		expectBodies(c.t, c.receive(url))
	}},
	{source: "extend_message_visibility_timeout_set_in_queue", asserts: "a timeout is extended again and again", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "2")
		c.send(url, "test")
		m := c.one(url, waiting(5))
		for range 4 {
			c.pass(1)
			c.changed(url, m, 2)
			expectBodies(c.t, c.receive(url))
		}
		expectBodies(c.t, c.receive(url, waiting(5)), "test")
	}},
	{source: "change_message_visibility_after_visibility_timeout_expiration", asserts: "an expired handle may set a timeout", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "1")
		c.send(url, "test")
		m := c.one(url)
		c.pass(2)
		c.changed(url, m, 2)
	}},
	{source: "terminate_visibility_timeout_after_receive", asserts: "the handle of an earlier delivery ends the timeout of the current one", run: func(c *trial) {
		url := c.queue()
		c.send(url, "test")
		first := c.seen(url, waiting(2))
		expectBodies(c.t, c.receive(url, hidden(30)), "test")
		c.changed(url, first[0], 0)
		expectBodies(c.t, c.receive(url, waiting(1)), "test")
	}},
	{source: "change_message_visibility_not_permanent", asserts: "a timeout of 0 shows a message at once, and only once", run: func(c *trial) {
		url := c.queue()
		c.send(url, "test")
		m := c.one(url)
		c.changed(url, m, 0)
		c.equal("the id", c.one(url).MessageId, m.MessageId)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "inflight_message_requeue", asserts: "a message that is visible again comes before one that was sent later", run: func(c *trial) {
		url := c.queue()
		c.send(url, "test1")
		c.one(url, hidden(3))
		c.pass(1)
		c.send(url, "test2")
		c.pass(3)
		c.equal("the first message", c.receive(url, most(1))[0].Body, "test1")
	}},
	{source: "invalid_receipt_handle_should_return_error_message", asserts: "what is no handle is refused", run: func(c *trial) {
		c.refused(c.change(c.queue(), aws.String("INVALID"), 60), "ReceiptHandleIsInvalid", 404, "")
	}},
	{source: "change_visibility_on_deleted_message_raises_invalid_parameter_value", asserts: "a deleted message has no timeout to change", run: func(c *trial) {
		url := c.queue()
		c.send(url, "foo")
		m := c.one(url, waiting(5))
		c.changed(url, m, 42)
		c.delete(url, m.ReceiptHandle)
		c.refused(c.change(url, m.ReceiptHandle, 42), "InvalidParameterValue", 400, fmt.Sprintf(
			"Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", *m.ReceiptHandle))
	}},
	{source: "change_message_visibility_batch_with_too_large_batch", asserts: "a batch has ten entries at most", run: func(c *trial) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(c.queue())}
		for i := range 20 {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String("x"), VisibilityTimeout: 123})
		}
		_, err := c.ChangeMessageVisibilityBatch(c.t.Context(), in)
		c.refused(err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400, "Maximum number of entries per request are 10. You have sent 20.")
	}},
	{source: guide + "sqs-visibility-timeout.html", asserts: "a timeout is twelve hours at most", run: func(c *trial) {
		url := c.queue()
		c.send(url, "a")
		m := c.one(url, hidden(600))
		c.changed(url, m, 43_000)
		c.refused(c.change(url, m.ReceiptHandle, 43_201), "InvalidParameterValue", 400, "")
	}},
	{source: api + "API_ChangeMessageVisibilityBatch.html", asserts: "the entries of a batch fail one by one", run: func(c *trial) {
		url := c.queue()
		c.send(url, "a", "b", "c")
		got := c.receive(url, hidden(600))
		out, err := c.ChangeMessageVisibilityBatch(c.t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("0"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 0},
			{Id: aws.String("1"), ReceiptHandle: aws.String("no handle"), VisibilityTimeout: 0},
			{Id: aws.String("2"), ReceiptHandle: got[2].ReceiptHandle, VisibilityTimeout: 0},
		}})
		if err != nil || len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "1" {
			c.t.Fatalf("%+v, %v", out, err)
		}
		c.expectCounts(url, 2, 1, 0)
	}},
}

// badEntryID asserts that a batch of deletes refuses an entry's id.
func badEntryID(id string) func(c *trial) {
	return func(c *trial) {
		_, err := c.DeleteMessageBatch(c.t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(c.queue()), Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: &id, ReceiptHandle: aws.String("testHandle1")},
		}})
		c.refused(err, "AWS.SimpleQueueService.InvalidBatchEntryId", 400, entryText)
	}
}

var deleteFacts = []fact{
	{source: "delete_after_visibility_timeout", asserts: "an expired handle deletes", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "1")
		c.send(url, "foobar")
		m := c.one(url, waiting(5))
		c.pass(1)
		c.delete(url, m.ReceiptHandle)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "remove_message_with_old_receipt_handle", asserts: "a message deleted by an expired handle is not counted", run: func(c *trial) {
		url := c.queue()
		c.send(url, "test")
		m := c.one(url, hidden(1))
		c.pass(2)
		c.delete(url, m.ReceiptHandle)
		c.expectCounts(url, 0, 0, 0)
	}},
	{source: "delete_message_deletes_with_change_visibility_timeout", asserts: "a message that was shown again is deleted by its last handle", run: func(c *trial) {
		url := c.queue()
		c.send(url, "test")
		m := c.one(url)
		expectBodies(c.t, c.receive(url))
		c.changed(url, m, 0)
		again := c.one(url)
		c.equal("the id", again.MessageId, m.MessageId)
		c.delete(url, again.ReceiptHandle)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "delete_message_with_illegal_receipt_handle", asserts: "what is no handle is refused", run: func(c *trial) {
		_, err := c.DeleteMessage(c.t.Context(), &sqs.DeleteMessageInput{QueueUrl: aws.String(c.queue()), ReceiptHandle: aws.String("garbage")})
		c.refused(err, "ReceiptHandleIsInvalid", 404, `The input receipt handle "garbage" is not a valid receipt handle.`)
	}},
	{source: "delete_message_with_deleted_receipt_handle", asserts: "a message may be deleted again and again", run: func(c *trial) {
		url := c.queue()
		c.send(url, "foo")
		m := c.one(url, waiting(5))
		for range 3 {
			c.delete(url, m.ReceiptHandle)
		}
	}},
	{source: "delete_message_batch_invalid_msg_id[]", asserts: "an entry has an id", run: badEntryID("")},
	{source: "delete_message_batch_invalid_msg_id[testLongId]", asserts: "an entry's id has 80 characters at most", run: badEntryID(strings.Repeat("testLongId", 10))},
	{source: "delete_message_batch_invalid_msg_id[invalid:id]", asserts: "an entry's id is simple", run: badEntryID("invalid:id")},
	{source: "delete_message_batch_with_too_large_batch", asserts: "a batch has ten entries at most", run: func(c *trial) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(c.queue())}
		for i := range 20 {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String("x")})
		}
		_, err := c.DeleteMessageBatch(c.t.Context(), in)
		c.refused(err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400, "Maximum number of entries per request are 10. You have sent 20.")
	}},
	{source: api + "API_DeleteMessageBatch.html", asserts: "an entry with no handle fails alone", run: func(c *trial) {
		url := c.queue()
		c.send(url, "a")
		out, err := c.DeleteMessageBatch(c.t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: c.one(url).ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: aws.String("no handle")},
		}})
		if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 {
			c.t.Fatalf("%+v, %v", out, err)
		}
		c.equal("the failure", []any{out.Failed[0].Id, out.Failed[0].Code, out.Failed[0].SenderFault}, []any{"bad", "ReceiptHandleIsInvalid", true})
	}},
	{source: api + "API_DeleteMessage.html", asserts: "the handle of an earlier delivery succeeds", run: func(c *trial) {
		url := c.queue()
		c.send(url, "a")
		first := c.flash(url)
		c.one(url, waiting(20))
		c.delete(url, first.ReceiptHandle)
	}},
}
