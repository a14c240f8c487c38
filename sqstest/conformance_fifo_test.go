package sqstest_test

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// extended asserts the order of delivery after one message of three was extended and the visibility
// timeout of the others has ended.
func extended(position int, want ...string) func(c *trial) {
	return func(c *trial) {
		url := c.fifo("VisibilityTimeout", "1")
		c.sendFIFO(url, "1", "foo", "bar", "baz")
		got := c.receive(url, most(5))
		expectBodies(c.t, got, "foo", "bar", "baz")
		c.changed(url, got[position], 30)
		c.pass(2)
		expectBodies(c.t, c.receive(url, most(5)), want...)
	}
}

// interleaved sends messages to three groups in turn; the first group gets five.
func (c *trial) interleaved() (url string) {
	url = c.fifo("ContentBasedDeduplication", "true")
	for _, m := range []string{"g1-m1", "g2-m1", "g1-m2", "g2-m2", "g1-m2", "g1-m3", "g1-m4", "g3-m1"} {
		c.grouped(url, m[:2], m)
	}
	return url
}

// oneOf checks that the order of messages is one of the recorded orders.
func (c *trial) oneOf(got []types.Message, orders ...string) {
	c.t.Helper()
	order := strings.Join(bodies(got), " ")
	for _, want := range orders {
		if order == want {
			return
		}
	}
	c.t.Errorf("received %s, want one of %q", order, orders)
}

var groupFacts = []fact{
	{source: "fifo_message_group_visibility", asserts: "a message in flight blocks what is sent to its group later, until it is deleted", run: func(c *trial) {
		url := c.fifo("VisibilityTimeout", "60", "ContentBasedDeduplication", "true")
		got := make(chan types.Message, 3)
		for range 3 {
			go func() {
				out, err := c.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 1, WaitTimeSeconds: 20})
				if err == nil && len(out.Messages) == 1 {
					got <- out.Messages[0]
				}
			}()
		}
		next := func() (m types.Message) {
			select {
			case m = <-got:
			case <-time.After(25 * time.Second): // longer than a poll
				c.t.Fatalf("no message")
			}
			return m
		}
		c.grouped(url, "1", "message-1")
		first := next()
		c.grouped(url, "1", "message-2")
		c.pass(2)
		c.equal("the messages that were received behind the first", len(got), 0)
		c.delete(url, first.ReceiptHandle)
		c.equal("the next message", next().Body, "message-2")
	}},
	{source: "fifo_messages_in_order_after_timeout", asserts: "after the timeout a group comes again in its order", run: func(c *trial) {
		url := c.fifo("VisibilityTimeout", "1")
		c.sendFIFO(url, "1", "message-0", "message-1", "message-2")
		expectBodies(c.t, c.receive(url), "message-0", "message-1", "message-2")
		c.pass(2)
		expectBodies(c.t, c.receive(url), "message-0", "message-1", "message-2")
	}},
	{source: "fifo_receive_message_group_id_ordering", asserts: "a receive brings one group after the other", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true")
		for _, m := range []string{"g1-m1", "g2-m1", "g1-m2", "g1-m3"} {
			c.grouped(url, m[:2], m)
		}
		expectBodies(c.t, c.receive(url), "g1-m1", "g1-m2", "g1-m3", "g2-m1")
	}},
	{source: "fifo_receive_message_visibility_timeout_shared_in_group", asserts: "messages in flight block the rest of their group until their timeout", run: func(c *trial) {
		url := c.fifo("VisibilityTimeout", "1", "ContentBasedDeduplication", "true")
		for _, m := range []string{"g1-m1", "g1-m2", "g1-m3", "g1-m4", "g2-m1", "g3-m1"} {
			c.grouped(url, m[:2], m)
		}
		expectBodies(c.t, c.receive(url, most(2)), "g1-m1", "g1-m2")
		expectBodies(c.t, c.receive(url, most(1)), "g2-m1")
		c.pass(2)
		c.oneOf(c.receive(url), "g3-m1 g1-m1 g1-m2 g1-m3 g1-m4 g2-m1", "g3-m1 g2-m1 g1-m1 g1-m2 g1-m3 g1-m4")
	}},
	{source: "fifo_receive_message_with_zero_visibility_timeout", asserts: "a receive that hides nothing blocks nothing", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true")
		for _, m := range []string{"g1-m1", "g2-m1", "g2-m2", "g3-m1", "g1-m2"} {
			c.grouped(url, m[:2], m)
		}
		expectBodies(c.t, c.seen(url, most(3)), "g1-m1", "g1-m2", "g2-m1")
		expectBodies(c.t, c.seen(url), "g3-m1", "g1-m1", "g1-m2", "g2-m1", "g2-m2")
	}},
	{source: "fifo_message_group_visibility_after_terminate_visibility_timeout", asserts: "a head that is shown again comes, though its follower is in flight", run: func(c *trial) {
		url := c.fifo("VisibilityTimeout", "30", "ContentBasedDeduplication", "true")
		for _, m := range []string{"g1-m1", "g1-m2", "g2-m1"} {
			c.grouped(url, m[:2], m)
		}
		got := c.receive(url, most(2))
		expectBodies(c.t, got, "g1-m1", "g1-m2")
		c.changed(url, got[0], 0)
		expectBodies(c.t, c.receive(url, most(3), waiting(2)), "g2-m1", "g1-m1")
	}},
	{source: "fifo_message_group_visibility_after_change_message_visibility", asserts: "and so does one whose timeout was shortened", run: func(c *trial) {
		url := c.fifo("VisibilityTimeout", "30", "ContentBasedDeduplication", "true")
		for _, m := range []string{"g1-m1", "g1-m2", "g2-m1"} {
			c.grouped(url, m[:2], m)
		}
		got := c.receive(url, most(2))
		expectBodies(c.t, got, "g1-m1", "g1-m2")
		c.changed(url, got[0], 1)
		c.pass(2)
		expectBodies(c.t, c.receive(url, most(3)), "g2-m1", "g1-m1")
	}},
	{source: "fifo_group_visibility_extends_with_change_message_visibility[0-visible]", asserts: "the first extended: none comes", run: extended(0)},
	{source: "fifo_group_visibility_extends_with_change_message_visibility[1-visible]", asserts: "the second extended: the first comes", run: extended(1, "foo")},
	{source: "fifo_group_visibility_extends_with_change_message_visibility[2-visible]", asserts: "the third extended: the others come", run: extended(2, "foo", "bar")},
	{source: "fifo_message_group_visibility_after_delete", asserts: "a group comes again when all in flight are deleted", run: func(c *trial) {
		url := c.interleaved()
		got := c.receive(url, most(2))
		expectBodies(c.t, got, "g1-m1", "g1-m2")
		c.delete(url, got[0].ReceiptHandle)
		c.delete(url, got[1].ReceiptHandle)
		c.oneOf(c.receive(url), "g2-m1 g2-m2 g1-m3 g1-m4 g3-m1", "g2-m1 g2-m2 g3-m1 g1-m3 g1-m4")
	}},
	{source: "fifo_message_group_visibility_after_partial_delete", asserts: "and not when some are", run: func(c *trial) {
		url := c.interleaved()
		got := c.receive(url, most(2))
		expectBodies(c.t, got, "g1-m1", "g1-m2")
		c.delete(url, got[0].ReceiptHandle)
		expectBodies(c.t, c.receive(url), "g2-m1", "g2-m2", "g3-m1")
	}},
	{source: "fifo_empty_message_groups_added_back_to_queue", asserts: "a group that was emptied takes messages again", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True"))
		c.sendFIFO(url, "g1", "Message-1")
		c.delete(url, c.one(url).ReceiptHandle)
		expectBodies(c.t, c.receive(url))
		c.sendFIFO(url, "g1", "Message-2")
		expectBodies(c.t, c.receive(url), "Message-2")
	}},
	{source: "fifo_queue_send_multiple_messages_multiple_single_receives", asserts: "a group comes one by one when each is deleted", run: func(c *trial) {
		url := c.fifo()
		c.sendFIFO(url, "g", "m0", "m1", "m2", "m3")
		for i := range 4 {
			m := c.one(url, most(1))
			c.equal("the message", m.Body, "m"+strconv.Itoa(i))
			c.delete(url, m.ReceiptHandle)
		}
	}},
	{source: "fifo_delete_after_visibility_timeout", asserts: "an expired handle does not delete", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "VisibilityTimeout", "1", "ContentBasedDeduplication", "True"))
		c.grouped(url, "1", "foobar")
		m := c.one(url, waiting(5))
		c.pass(1)
		_, err := c.DeleteMessage(c.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
		c.refused(err, "InvalidParameterValue", 400, "Value "+*m.ReceiptHandle+" for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")
	}},
	{source: "fifo_delete_after_visibility_timeout_extended", asserts: "one that was extended does", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "VisibilityTimeout", "1", "ContentBasedDeduplication", "True"))
		c.grouped(url, "1", "foobar")
		m := c.one(url, waiting(5))
		c.changed(url, m, 30)
		c.pass(2)
		c.delete(url, m.ReceiptHandle)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "send_message_with_delay_0_works_for_fifo", asserts: "a message may have no delay", run: func(c *trial) {
		url := c.fifo()
		sent := c.sent(url, sqs.SendMessageInput{MessageGroupId: aws.String("test"), MessageDeduplicationId: aws.String("42")}, withMember("DelaySeconds", 0))
		c.equal("the digest", c.seen(url)[0].MD5OfBody, sent.MD5OfMessageBody)
	}},
	{source: "fifo_queue_send_message_with_delay_seconds_fails", asserts: "and not one of its own", run: func(c *trial) {
		_, err := c.sendWith(c.fifo("ContentBasedDeduplication", "true"), sqs.SendMessageInput{MessageGroupId: aws.String("1"), DelaySeconds: 2})
		c.refused(err, "InvalidParameterValue", 400, "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.")
	}},
	{source: "fifo_queue_send_message_with_delay_on_queue_works", asserts: "the queue's delay holds for all, in order", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true", "DelaySeconds", "2")
		c.grouped(url, "1", "message-1", "message-2", "message-3")
		expectBodies(c.t, c.receive(url))
		c.pass(3)
		expectBodies(c.t, c.receive(url, most(3)), "message-1", "message-2", "message-3")
	}},
	{source: "fifo_queue_send_message_with_zero_delay_defaults_to_queue_delay", asserts: "also for a message with a delay of 0", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true", "DelaySeconds", "2")
		c.sent(url, sqs.SendMessageInput{MessageGroupId: aws.String("1")}, withMember("DelaySeconds", 0))
		expectBodies(c.t, c.receive(url))
		c.pass(3)
		c.one(url)
	}},
	{source: "fifo_message_attributes", asserts: "a message has its group, its ids and its number, the same in each delivery", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true", "VisibilityTimeout", "0", "DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId")
		sent := c.sent(url, sqs.SendMessageInput{MessageGroupId: aws.String("group-1"), MessageDeduplicationId: aws.String("dedup-1")})
		for _, count := range []string{"1", "2"} {
			c.subset(c.one(url, waiting(10)).Attributes, map[string]string{
				"ApproximateReceiveCount": count, "MessageDeduplicationId": "dedup-1", "MessageGroupId": "group-1", "SequenceNumber": aws.ToString(sent.SequenceNumber),
			})
		}
	}},
	{source: "fifo_sequence_number_increases", asserts: "numbers increase", run: func(c *trial) {
		url, last := c.fifo(), ""
		for _, id := range []string{"m1", "m2", "m3"} {
			got := aws.ToString(c.sent(url, sqs.SendMessageInput{MessageGroupId: aws.String("group"), MessageDeduplicationId: &id}).SequenceNumber)
			if len(got) < len(last) || len(got) == len(last) && got <= last {
				c.t.Errorf("%s after %s", got, last)
			}
			last = got
		}
	}},
}

// arrivesOnce asserts that a copy of a deleted message is dropped.
func arrivesOnce(byContent bool) func(c *trial) {
	return func(c *trial) {
		url, in := c.deduplicating(byContent)
		c.sent(url, in)
		m := c.one(url, waiting(3))
		c.delete(url, m.ReceiptHandle)
		c.sent(url, in)
		expectBodies(c.t, c.receive(url, waiting(1)))
	}
}

// notOnGroup asserts that deduplication spans all groups.
func notOnGroup(byContent bool) func(c *trial) {
	return func(c *trial) {
		url, in := c.deduplicating(byContent)
		c.sent(url, in)
		in.MessageGroupId = aws.String("group-2")
		c.sent(url, in)
		expectBodies(c.t, c.receive(url, waiting(2)), "item")
	}
}

// deduplicating makes a queue and a message for it.
func (c *trial) deduplicating(byContent bool) (url string, in sqs.SendMessageInput) {
	in = sqs.SendMessageInput{MessageBody: aws.String("item"), MessageGroupId: aws.String("group-1")}
	if byContent {
		return c.fifo("ContentBasedDeduplication", "true"), in
	}
	in.MessageDeduplicationId = aws.String("dedup1")
	return c.fifo(), in
}

// copied sends a body with the deduplication id "same" and returns the bodies then received.
func (c *trial) copied(url, group, id, body string) []string {
	c.t.Helper()
	c.sent(url, sqs.SendMessageInput{MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &id})
	got := c.receive(url, most(1))
	for _, m := range got {
		c.delete(url, m.ReceiptHandle)
	}
	return bodies(got)
}

var dedupFacts = []fact{
	{source: "fifo_content_based_message_deduplication_arrives_once", asserts: "equal bodies are one message", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true")
		c.grouped(url, "group-1", `{"foo": "bar"}`, `{"foo": "bar"}`)
		expectBodies(c.t, c.receive(url, most(1), waiting(2)), `{"foo": "bar"}`)
		expectBodies(c.t, c.receive(url, most(1), waiting(1)))
	}},
	{source: "fifo_deduplication_arrives_once_after_delete[True]", asserts: "also after a delete, by content", run: arrivesOnce(true)},
	{source: "fifo_deduplication_arrives_once_after_delete[False]", asserts: "and by id", run: arrivesOnce(false)},
	{source: "fifo_deduplication_not_on_message_group_id[True]", asserts: "also in another group, by content", run: notOnGroup(true)},
	{source: "fifo_deduplication_not_on_message_group_id[False]", asserts: "and by id", run: notOnGroup(false)},
	{source: "sqs_fifo_same_dedup_id_different_message_groups", asserts: "an id counts for the queue, also after a delete", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "ContentBasedDeduplication", "False"))
		c.equal("the first", c.copied(url, "group1", "same", "Test"), []string{"Test"})
		c.equal("the second", c.copied(url, "group2", "same", "Test"), nil)
	}},
	{source: "fifo_high_throughput_ordering", asserts: "with the scope messageGroup it counts for the group", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "ContentBasedDeduplication", "False",
			"DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId"))
		c.equal("the first", c.copied(url, "group1", "same", "Test1"), []string{"Test1"})
		c.equal("the second", c.copied(url, "group2", "same", "Test2"), []string{"Test2"})
	}},
	{source: "sqs_fifo_message_group_scope_no_throughput_setting", asserts: "also without the throughput limit of the group", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "ContentBasedDeduplication", "True", "DeduplicationScope", "messageGroup"))
		for _, group := range []string{"group1", "group2"} {
			c.grouped(url, group, "Test")
			m := c.one(url)
			c.equal("the message", m.Body, "Test")
			c.delete(url, m.ReceiptHandle)
		}
	}},
	{source: "fifo_change_to_high_throughput_after_creation", asserts: "a scope that is narrowed later has no effect", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "ContentBasedDeduplication", "False", "DeduplicationScope", "queue"))
		c.equal("the first", c.copied(url, "group1", "same", "Test1"), []string{"Test1"})
		c.equal("the second", c.copied(url, "group2", "same", "Test2"), nil)
		c.setAll(url, map[string]string{"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"})
		c.subset(c.attributes(url, "All"), map[string]string{"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"})
		c.equal("the third", c.copied(url, "group3", "same", "Test3"), nil)
		c.equal("the fourth", c.copied(url, "group4", "dedup_2", "Test4"), []string{"Test4"})
		c.equal("the fifth", c.copied(url, "group5", "dedup_2", "Test5"), nil)
	}},
	{source: "fifo_change_to_regular_throughput_after_creation", asserts: "nor has one that is widened", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "ContentBasedDeduplication", "False",
			"DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId"))
		c.equal("the first", c.copied(url, "group1", "same", "Test1"), []string{"Test1"})
		c.equal("the second", c.copied(url, "group2", "same", "Test2"), []string{"Test2"})
		c.setAll(url, map[string]string{"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"})
		c.subset(c.attributes(url, "All"), map[string]string{"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"})
		c.equal("the third", c.copied(url, "group3", "same", "Test3"), []string{"Test3"})
	}},
}
