package sqstest_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	idText    = "can only include alphanumeric and punctuation characters. 1 to 128 in length."
	dedupText = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
	entryText = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
	groupText = "The request must contain the parameter MessageGroupId."
	trace     = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
)

// badID asserts that SQS refuses an id.
func badID(parameter, value string, send func(c *trial, id *string) error) func(c *trial) {
	return func(c *trial) {
		c.refused(send(c, &value), "InvalidParameterValue", 400, fmt.Sprintf("Value %s for parameter %s is invalid. Reason: %s %s", value, parameter, parameter, idText))
	}
}

func toStandardGroup(c *trial, id *string) error {
	_, err := c.sendWith(c.queue(), sqs.SendMessageInput{MessageGroupId: id})
	return err
}

func withDedupID(c *trial, id *string) error {
	_, err := c.sendWith(c.fifo(), sqs.SendMessageInput{MessageGroupId: aws.String("test"), MessageDeduplicationId: id})
	return err
}

// carries asserts that a body is received as it was sent.
func carries(body string) func(c *trial) {
	return func(c *trial) {
		url := c.queue()
		sent := c.sent(url, sqs.SendMessageInput{MessageBody: &body})
		m := c.one(url)
		c.equal("body, digest, id", []any{m.Body, m.MD5OfBody, m.MessageId}, []any{body, sent.MD5OfMessageBody, sent.MessageId})
	}
}

var sendFacts = []fact{
	{source: "send_receive_message", asserts: "a message is received with its id, digest and a handle", run: func(c *trial) {
		url := c.queue()
		sent := c.sent(url, sqs.SendMessageInput{MessageBody: aws.String("message")})
		m := c.one(url)
		c.equal("the digest", []any{sent.MD5OfMessageBody, m.MD5OfBody}, []any{"78e731027d8fd50ed642340b7c9a63b3", "78e731027d8fd50ed642340b7c9a63b3"})
		c.equal("body and id", []any{m.Body, m.MessageId}, []any{"message", sent.MessageId})
		c.equal("there is a handle", aws.ToString(m.ReceiptHandle) != "", true)
	}},
	{source: "send_empty_message", asserts: "an empty body is missing", run: func(c *trial) {
		_, err := c.sendWith(c.queue(), sqs.SendMessageInput{MessageBody: aws.String("")})
		c.refused(err, "MissingParameter", 400, "The request must contain the parameter MessageBody.")
	}},
	{source: "send_receive_message_multiple_queues", asserts: "queues are apart", run: func(c *trial) {
		first, second := c.queue(), c.queue()
		c.send(first, "message")
		expectBodies(c.t, c.receive(second))
		expectBodies(c.t, c.receive(first), "message")
	}},
	{source: "send_receive_message_encoded_content", asserts: "entities and carriage returns are carried", run: carries("\"&quot;&quot;\r")},
	{source: "message_with_carriage_return", asserts: "line ends are carried", run: carries("{\r\n\"machineID\" : \"d357006e26ff47439e1ef894225d4307\"}")},
	{source: "publish_get_delete_message", asserts: "a deleted message does not come again", run: func(c *trial) {
		url := c.queue()
		sent := c.sent(url, sqs.SendMessageInput{})
		m := c.one(url)
		c.equal("the id", m.MessageId, sent.MessageId)
		c.delete(url, m.ReceiptHandle)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "posting_to_queue_via_queue_name", asserts: "a queue's name does for its URL", run: func(c *trial) {
		sent := c.sent(nameOf(c.queue()), sqs.SendMessageInput{MessageBody: aws.String("Using name instead of URL")})
		c.equal("the digest", sent.MD5OfMessageBody, "86a83f96652a1bfad3891e7d523750cb")
	}},
	{source: "send_oversized_message", asserts: "body and attributes together have a mebibyte", run: func(c *trial) {
		_, err := c.sendWith(c.queue(), oversized(1<<20))
		c.refused(err, "InvalidParameterValue", 400, "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.")
	}},
	{source: "send_message_with_updated_maximum_message_size", asserts: "a queue may take less", run: func(c *trial) {
		url := c.queue()
		c.set(url, "MaximumMessageSize", "1024")
		c.send(url, strings.Repeat("a", 1024))
		_, err := c.sendWith(url, oversized(1024))
		c.refused(err, "InvalidParameterValue", 400, "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.")
	}},
	{source: "send_message_to_standard_queue_with_invalid_message_group_id[empty]", asserts: "an empty group id is refused", run: badID("MessageGroupId", "", toStandardGroup)},
	{source: "send_message_to_standard_queue_with_invalid_message_group_id[too_long]", asserts: "a group id has 128 characters at most", run: badID("MessageGroupId", strings.Repeat("a", 129), toStandardGroup)},
	{source: "send_message_to_standard_queue_with_invalid_message_group_id[spaces]", asserts: "a group id has no spaces", run: badID("MessageGroupId", "group 123", toStandardGroup)},
	{source: "message_deduplication_id_success", asserts: "a deduplication id may have 128 characters", run: func(c *trial) {
		if err := withDedupID(c, aws.String(strings.Repeat("a", 128))); err != nil {
			c.t.Errorf("SendMessage: %v", err)
		}
	}},
	{source: "message_deduplication_id_invalid[empty]", asserts: "an empty deduplication id is refused", run: badID("MessageDeduplicationId", "", withDedupID)},
	{source: "message_deduplication_id_invalid[too_long]", asserts: "a deduplication id has 128 characters at most", run: badID("MessageDeduplicationId", strings.Repeat("a", 129), withDedupID)},
	{source: "message_deduplication_id_invalid[spaces]", asserts: "a deduplication id has no spaces", run: badID("MessageDeduplicationId", "group 123", withDedupID)},
	{source: "posting_to_fifo_requires_deduplicationid_group_id", asserts: "a FIFO queue wants a deduplication id and a group id", run: func(c *trial) {
		url := c.fifo()
		_, err := c.sendWith(url, sqs.SendMessageInput{MessageGroupId: aws.String("g")})
		c.refused(err, "InvalidParameterValue", 400, dedupText)
		_, err = c.sendWith(url, sqs.SendMessageInput{MessageDeduplicationId: aws.String("d")})
		c.refused(err, "MissingParameter", 400, groupText)
	}},
	{source: "fair_queue_with_message_group_id", asserts: "a standard queue keeps the group id", run: func(c *trial) {
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{MessageGroupId: aws.String("test")})
		got := c.one(url, waiting(5)).Attributes
		c.subset(got, map[string]string{"MessageGroupId": "test", "ApproximateReceiveCount": "1", "SequenceNumber": ""})
	}},
	{source: "send_message_with_invalid_payload_characters", asserts: "characters that XML cannot hold are refused in a body", run: func(c *trial) {
		_, err := c.sendWith(c.queue(), sqs.SendMessageInput{MessageBody: aws.String("Invalid-\x00-\b-\x13-\uffff")})
		c.refused(err, "InvalidMessageContents", 400, "")
	}},
	{source: "invalid_string_attributes_cause_invalid_parameter_value_error", asserts: "and in an attribute", run: func(c *trial) {
		_, err := c.sendWith(c.queue(), sqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{"attr1": text("Invalid-\b,\v")}})
		c.refused(err, "InvalidParameterValue", 400, "")
	}},
	{source: "send_message_with_empty_string_attribute", asserts: "an attribute has a value", run: func(c *trial) {
		_, err := c.sendWith(c.queue(), sqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{"ErrorDetails": text("")}})
		c.refused(err, "InvalidParameterValue", 400, "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.")
	}},
	{source: "send_message_with_invalid_string_attributes", asserts: "names have letters of any script, and neither AWS. nor Amazon. in front", run: func(c *trial) {
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{"attr.1øßä": text("Valida")}})
		for _, name := range []string{"aWs.-x", "AMAZON.-x", ".-x", "x-!-x", `x-"-x`, "x-§-x", "x-(-x", "x-?-x", strings.Repeat("L", 257), "x."} {
			_, err := c.sendWith(url, sqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{name: text("Valid")}})
			c.refused(err, "InvalidParameterValue", 400, "")
		}
		for _, kind := range []string{"Invalid", "Number." + strings.Repeat("L", 256)} {
			_, err := c.sendWith(url, sqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: &kind, StringValue: aws.String("1")}}})
			c.refused(err, "InvalidParameterValue", 400, "")
		}
	}},
	{source: "message_with_attributes_should_be_enqueued", asserts: "a number comes back as it was", run: sameAttributes(map[string]types.MessageAttributeValue{
		"timestamp": {DataType: aws.String("Number"), StringValue: aws.String("1614717034367")},
	}, "")},
	{source: "send_message_with_attributes", asserts: "attributes and their digest come back", run: sameAttributes(map[string]types.MessageAttributeValue{
		"attr1": text("test1"), "attr2": text("test2"),
	}, "")},
	{source: "send_message_with_binary_attributes", asserts: "binary attributes come back", run: sameAttributes(map[string]types.MessageAttributeValue{
		"attr1": {DataType: aws.String("Binary"), BinaryValue: []byte("traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01")},
	}, "8cbe4db156db8a94db8b801b7addb984")},
	{source: "sent_message_retains_attributes_after_receive", asserts: "attributes come with every delivery", run: func(c *trial) {
		url, want := c.queue(), map[string]types.MessageAttributeValue{"attr1": text("test1")}
		c.sent(url, sqs.SendMessageInput{MessageAttributes: want})
		c.seen(url)
		c.equal("the attributes", c.one(url).MessageAttributes, want)
	}},
	{source: "system_attributes_have_no_effect_on_attr_md5", asserts: "system attributes have a digest of their own", run: func(c *trial) {
		url := c.queue()
		in := sqs.SendMessageInput{MessageBody: aws.String("test"), MessageAttributes: map[string]types.MessageAttributeValue{
			"timestamp": {DataType: aws.String("Number"), StringValue: aws.String("1493147359900")},
		}}
		without := c.sent(url, in)
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(trace)}}
		with := c.sent(url, in)
		c.equal("the attributes' digest", with.MD5OfMessageAttributes, without.MD5OfMessageAttributes)
		c.equal("the system attributes' digests", []any{without.MD5OfMessageSystemAttributes, with.MD5OfMessageSystemAttributes}, []any{nil, "5ae4d5d7636402d80f4eb6d213245a88"})
	}},
	{source: "aws_trace_header_propagation", asserts: "the header X-Amzn-Trace-Id becomes AWSTraceHeader", run: func(c *trial) {
		const id = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{}, withHeader("X-Amzn-Trace-Id", id))
		c.equal("AWSTraceHeader", c.one(url, waiting(2)).Attributes["AWSTraceHeader"], id)
	}},
	{source: "sequence_number", asserts: "a FIFO queue answers with a sequence number, a standard one with none", run: func(c *trial) {
		first := c.sent(c.fifo(), sqs.SendMessageInput{MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d")})
		c.equal("a number is there", []bool{first.SequenceNumber != nil, c.sent(c.queue(), sqs.SendMessageInput{}).SequenceNumber != nil}, []bool{true, false})
	}},
	{source: "send_delay_and_wait_time", asserts: "a delayed message comes late", run: func(c *trial) {
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{DelaySeconds: 1})
		expectBodies(c.t, c.receive(url))
		c.one(url, waiting(2))
	}},
	{source: guide + "sqs-delay-queues.html", asserts: "a delayed message is counted as delayed", run: func(c *trial) {
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{DelaySeconds: 900})
		c.expectCounts(url, 0, 0, 1)
	}},
	{source: api + "API_SendMessage.html", asserts: "a message may have a mebibyte", run: carries(strings.Repeat("x", 1<<20))},
}

// oversized returns a message of most+1 bytes, attributes included.
func oversized(most int) sqs.SendMessageInput {
	return sqs.SendMessageInput{
		MessageBody:       aws.String(strings.Repeat("a", most-len("k")-len("String")-len("x")+1)),
		MessageAttributes: map[string]types.MessageAttributeValue{"k": text("x")},
	}
}

// sameAttributes asserts that attributes are received as sent, with their digest. A digest that is
// not empty must be the recorded one.
func sameAttributes(want map[string]types.MessageAttributeValue, digest string) func(c *trial) {
	return func(c *trial) {
		url := c.queue()
		sent := c.sent(url, sqs.SendMessageInput{MessageAttributes: want})
		m := c.one(url)
		c.equal("the attributes", m.MessageAttributes, want)
		c.equal("id and digest", []any{m.MessageId, m.MD5OfMessageAttributes}, []any{sent.MessageId, sent.MD5OfMessageAttributes})
		if digest != "" {
			c.equal("the recorded digest", m.MD5OfMessageAttributes, digest)
		}
	}
}

// batch sends entries with ids 0, 1, ...
func (c *trial) batch(url string, entries ...types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	for i := range entries {
		if entries[i].Id == nil {
			entries[i].Id = aws.String(strconv.Itoa(i))
		}
	}
	if entries == nil {
		entries = []types.SendMessageBatchRequestEntry{}
	}
	return c.SendMessageBatch(c.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
}

// entries returns n batch entries.
func entries(n int) (out []types.SendMessageBatchRequestEntry) {
	for i := range n {
		out = append(out, types.SendMessageBatchRequestEntry{MessageBody: aws.String(fmt.Sprint("m", i))})
	}
	return out
}

var batchFacts = []fact{
	{source: "send_message_batch", asserts: "the messages of a batch come one by one", run: func(c *trial) {
		url := c.queue()
		if _, err := c.batch(url, entries(2)...); err != nil {
			c.t.Fatalf("SendMessageBatch: %v", err)
		}
		c.equal("the messages", []string{*c.one(url, most(1)).Body, *c.one(url, most(1)).Body}, []string{"m0", "m1"})
		expectBodies(c.t, c.receive(url))
	}},
	{source: "send_batch_receive_multiple", asserts: "a batch and a message are all received", run: func(c *trial) {
		url := c.queue()
		if _, err := c.batch(url, entries(2)...); err != nil {
			c.t.Fatalf("SendMessageBatch: %v", err)
		}
		c.send(url, "m2")
		c.equal("the messages", c.collect(url, 3), []string{"m0", "m1", "m2"})
	}},
	{source: "publish_get_delete_message_batch", asserts: "ten messages are sent, received and deleted", run: func(c *trial) {
		url := c.queue()
		sent, err := c.batch(url, entries(10)...)
		if err != nil {
			c.t.Fatalf("SendMessageBatch: %v", err)
		}
		ids := map[string]bool{}
		for _, s := range sent.Successful {
			ids[*s.MessageId] = true
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
		for len(in.Entries) < 10 {
			got := c.receive(url, waiting(5))
			if len(got) == 0 {
				c.t.Fatalf("received %d messages, want 10", len(in.Entries))
			}
			for _, m := range got {
				c.equal("a message of the batch", ids[*m.MessageId], true)
				in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
			}
		}
		if out, err := c.DeleteMessageBatch(c.t.Context(), in); err != nil || len(out.Successful) != 10 {
			c.t.Errorf("DeleteMessageBatch: %v, %v", out, err)
		}
		expectBodies(c.t, c.receive(url))
	}},
	{source: "send_message_batch_with_empty_list", asserts: "a batch has an entry", run: func(c *trial) {
		_, err := c.batch(c.queue())
		c.refused(err, "AWS.SimpleQueueService.EmptyBatchRequest", 400, "")
	}},
	{source: "too_many_entries_in_batch_request", asserts: "and ten at most", run: func(c *trial) {
		_, err := c.batch(c.queue(), entries(20)...)
		c.refused(err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400, "Maximum number of entries per request are 10. You have sent 20.")
	}},
	{source: "invalid_batch_id", asserts: "ids of entries are simple", run: func(c *trial) {
		_, err := c.batch(c.queue(), types.SendMessageBatchRequestEntry{Id: aws.String("message:1"), MessageBody: aws.String("x")})
		c.refused(err, "AWS.SimpleQueueService.InvalidBatchEntryId", 400, entryText)
	}},
	{source: "send_message_batch_with_oversized_contents", asserts: "a batch has a mebibyte in all", run: func(c *trial) {
		full := oversized(1<<20 - 1)
		_, err := c.batch(c.queue(), types.SendMessageBatchRequestEntry{MessageBody: full.MessageBody, MessageAttributes: full.MessageAttributes},
			types.SendMessageBatchRequestEntry{MessageBody: aws.String("a")})
		c.refused(err, "AWS.SimpleQueueService.BatchRequestTooLong", 400, "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.")
	}},
	{source: "send_message_batch_with_oversized_contents_with_updated_maximum_message_size", asserts: "a queue's maximum is one for a message, not for a batch", run: func(c *trial) {
		url := c.queue("MaximumMessageSize", "2048")
		full := oversized(2047)
		out, err := c.batch(url, types.SendMessageBatchRequestEntry{MessageBody: full.MessageBody, MessageAttributes: full.MessageAttributes},
			types.SendMessageBatchRequestEntry{MessageBody: aws.String("a")})
		if err != nil || len(out.Successful) != 2 || len(out.Failed) != 0 {
			c.t.Fatalf("%v, %v", out, err)
		}
		c.equal("a digest", out.Successful[1].MD5OfMessageBody, "0cc175b9c0f1b6a831c399e269772661")
	}},
	{source: "send_batch_message_size", asserts: "a message that is too long fails alone", run: func(c *trial) {
		out, err := c.batch(c.queue("MaximumMessageSize", "1024"),
			types.SendMessageBatchRequestEntry{MessageBody: aws.String(strings.Repeat("a", 1024))}, types.SendMessageBatchRequestEntry{MessageBody: aws.String(strings.Repeat("a", 1025))})
		if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 {
			c.t.Fatalf("%v, %v", out, err)
		}
		c.equal("the digest", out.Successful[0].MD5OfMessageBody, "c9a34cfc85d982698c6ac89f76071abd")
		c.equal("the failure", out.Failed[0], types.BatchResultErrorEntry{Id: aws.String("1"), Code: aws.String("InvalidParameterValue"), SenderFault: true,
			Message: aws.String("One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.")})
	}},
	{source: "batch_send_with_invalid_char_should_succeed", asserts: "a message with a bad character fails alone", run: func(c *trial) {
		url := c.queue()
		out, err := c.batch(url, append(entries(9), types.SendMessageBatchRequestEntry{MessageBody: aws.String("\x01")})...)
		if err != nil || len(out.Failed) != 1 {
			c.t.Fatalf("%v, %v", out, err)
		}
		c.equal("id and code", []any{out.Failed[0].Id, out.Failed[0].Code}, []any{"9", "InvalidMessageContents"})
		c.equal("the messages", c.collect(url, 9), []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"})
	}},
	{source: "send_batch_missing_deduplication_id_for_fifo_queue", asserts: "an entry without a deduplication id fails the call", run: func(c *trial) {
		_, err := c.batch(c.fifo("ContentBasedDeduplication", "false"), fifoEntry("g", "d"), fifoEntry("g", ""))
		c.refused(err, "InvalidParameterValue", 400, dedupText)
	}},
	{source: "send_batch_missing_message_group_id_for_fifo_queue", asserts: "an entry without a group id fails the call", run: func(c *trial) {
		_, err := c.batch(c.fifo("ContentBasedDeduplication", "false"), fifoEntry("g", "d"), fifoEntry("", "e"))
		c.refused(err, "InvalidParameterValue", 400, groupText)
	}},
	{source: api + "API_SendMessageBatch.html", asserts: "ids of entries differ", run: func(c *trial) {
		_, err := c.batch(c.queue(), types.SendMessageBatchRequestEntry{Id: aws.String("a"), MessageBody: aws.String("x")}, types.SendMessageBatchRequestEntry{Id: aws.String("a"), MessageBody: aws.String("x")})
		c.refused(err, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400, "")
	}},
}

// fifoEntry returns a batch entry with the ids that are not empty.
func fifoEntry(group, dedup string) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{MessageBody: aws.String("messageBody")}
	if group != "" {
		e.MessageGroupId = &group
	}
	if dedup != "" {
		e.MessageDeduplicationId = &dedup
	}
	return e
}

// asking requests the named attributes and no others.
func asking(system []types.MessageSystemAttributeName, older []types.QueueAttributeName, own ...string) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) {
		in.MessageSystemAttributeNames, in.AttributeNames, in.MessageAttributeNames = system, older, own
	}
}

// attributeNames asserts the system attributes that a receive returns for the requested names.
func attributeNames(ask func(names ...string) (system []types.MessageSystemAttributeName, older []types.QueueAttributeName)) func(c *trial) {
	return func(c *trial) {
		url := c.queue("VisibilityTimeout", "0")
		c.sent(url, sqs.SendMessageInput{MessageBody: aws.String("msg"), MessageAttributes: map[string]types.MessageAttributeValue{"Foo": text("Bar")}})
		for i, t := range []struct {
			system, own []string
			want        []string
			digest      any
		}{
			{[]string{"All"}, nil, []string{"ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"}, nil},
			{[]string{"All"}, []string{"All"}, []string{"ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"}, "ae7155c6026991b6d54b11589678bf9c"},
			{[]string{"SenderId"}, nil, []string{"SenderId"}, nil},
			{[]string{"SenderId", "SequenceNumber"}, nil, []string{"SenderId"}, nil},
		} {
			system, older := ask(t.system...)
			m := c.one(url, waiting(5), asking(system, older, t.own...))
			c.equal(fmt.Sprint("system attributes ", i), sortedNames(m.Attributes), t.want)
			c.equal(fmt.Sprint("digest ", i), m.MD5OfMessageAttributes, t.digest)
		}
	}
}

var receiveFacts = []fact{
	{source: "send_receive_max_number_of_messages", asserts: "ten messages at most may be asked for", run: func(c *trial) {
		url := c.queue()
		_, err := c.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 11})
		c.refused(err, "InvalidParameterValue", 400, "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.")
	}},
	{source: "receive_empty_queue", asserts: "an empty queue gives no messages, after a while or at once", run: func(c *trial) {
		url := c.queue()
		expectBodies(c.t, c.receive(url, most(1)))
		expectBodies(c.t, c.receive(url, most(1), waiting(1)))
	}},
	{source: "send_receive_wait_time_seconds", asserts: "a poll waits 20 s at most, and not at all by default", run: func(c *trial) {
		url := c.queue()
		c.send(url, "a", "b")
		for _, seconds := range []int32{21, -1} {
			_, err := c.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: seconds})
			c.refused(err, "InvalidParameterValue", 400, fmt.Sprintf("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", seconds))
		}
		c.one(url, most(1))
		c.one(url, most(1), waiting(0))
	}},
	{source: "receive_message_attributes_timestamp_types", asserts: "times are whole numbers of milliseconds", run: func(c *trial) {
		url := c.queue()
		c.send(url, "message")
		got := c.seen(url)[0].Attributes
		for _, name := range []string{"ApproximateFirstReceiveTimestamp", "SentTimestamp"} {
			if _, err := strconv.ParseInt(got[name], 10, 64); err != nil || len(got[name]) < 12 {
				c.t.Errorf("%s is %q", name, got[name])
			}
		}
	}},
	{source: "receive_message_wait_time_seconds_and_max_number_of_messages_does_not_block", asserts: "a poll does not wait for more messages than are there", run: func(c *trial) {
		url := c.queue()
		c.send(url, "foobar1", "foobar2")
		var got []types.Message
		if d := took(func() { got = c.receive(url, most(3), waiting(20)) }); len(got) == 0 || d > 15*time.Second {
			c.t.Errorf("%d messages after %s", len(got), d)
		}
	}},
	{source: "wait_time_seconds_waits_correctly", asserts: "a poll ends with the message that comes", run: func(c *trial) {
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{DelaySeconds: 1})
		c.one(url, waiting(10))
	}},
	{source: "wait_time_seconds_queue_attribute_waits_correctly", asserts: "the queue says how long a poll waits", run: func(c *trial) {
		url := c.queue("ReceiveMessageWaitTimeSeconds", "10")
		c.sent(url, sqs.SendMessageInput{DelaySeconds: 1})
		out, err := c.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		if err != nil || len(out.Messages) != 1 {
			c.t.Errorf("%v, %v", out, err)
		}
	}},
	{source: "receive_message_message_attribute_names_filters", asserts: "attributes come by name, prefix or all, with the digest of those that come", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "0")
		sent := c.sent(url, sqs.SendMessageInput{MessageBody: aws.String("msg"), MessageAttributes: map[string]types.MessageAttributeValue{
			"Help.Me": text("Me"), "Hello": text("There"), "General": text("Kenobi"),
		}})
		c.equal("the digest of all", sent.MD5OfMessageAttributes, "4c360f3fdafd970e05fae2f149d997f5")
		for _, t := range []struct {
			ask, want []string
			digest    any
		}{
			{nil, nil, nil},
			{[]string{"All"}, []string{"General", "Hello", "Help.Me"}, "4c360f3fdafd970e05fae2f149d997f5"},
			{[]string{"*"}, []string{"General", "Hello", "Help.Me"}, "4c360f3fdafd970e05fae2f149d997f5"},
			{[]string{".*"}, []string{"General", "Hello", "Help.Me"}, "4c360f3fdafd970e05fae2f149d997f5"},
			{[]string{"Foo", "Help"}, nil, nil},
			{[]string{"Hello", "General"}, []string{"General", "Hello"}, "fca026605781cb4126a1e9044df24232"},
			{[]string{"Foo", "Hello"}, []string{"Hello"}, "a311262e065454b75da111d535b8dacd"},
			{[]string{"Hel.*"}, []string{"Hello", "Help.Me"}, "83fee93c1bcd8b9a5a923ffacdc636c7"},
			{[]string{"AWS."}, nil, nil},
			{[]string{"..foo"}, nil, nil},
		} {
			m := c.one(url, waiting(5), asking(nil, nil, t.ask...))
			c.equal(fmt.Sprint("names for ", t.ask), sortedNames(m.MessageAttributes), t.want)
			c.equal(fmt.Sprint("digest for ", t.ask), m.MD5OfMessageAttributes, t.digest)
		}
	}},
	{source: "receive_message_attribute_names_filters", asserts: "AttributeNames asks for system attributes", run: attributeNames(func(names ...string) (system []types.MessageSystemAttributeName, older []types.QueueAttributeName) {
		for _, name := range names {
			older = append(older, types.QueueAttributeName(name))
		}
		return nil, older
	})},
	{source: "receive_message_message_system_attribute_names_filters", asserts: "MessageSystemAttributeNames asks for system attributes", run: attributeNames(func(names ...string) (system []types.MessageSystemAttributeName, older []types.QueueAttributeName) {
		for _, name := range names {
			system = append(system, types.MessageSystemAttributeName(name))
		}
		return system, nil
	})},
	{source: "message_system_attribute_names_with_attribute_names", asserts: "both may ask", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "0")
		c.send(url, "msg")
		all := []string{"ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"}
		for _, older := range []types.QueueAttributeName{"All", "SenderId"} {
			m := c.one(url, waiting(5), asking([]types.MessageSystemAttributeName{"All"}, []types.QueueAttributeName{older}))
			c.equal("system attributes", sortedNames(m.Attributes), all)
		}
	}},
	{source: "message_retention", asserts: "messages are forgotten after the retention period", slow: true, run: func(c *trial) {
		url := c.queue("MessageRetentionPeriod", "60")
		c.send(url, "foobar1", "foobar2")
		c.pass(65)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "message_retention_fifo", asserts: "also those of a FIFO queue", slow: true, run: func(c *trial) {
		url := c.fifo("MessageRetentionPeriod", "60", "ContentBasedDeduplication", "true")
		c.grouped(url, "1", "foobar1")
		c.grouped(url, "2", "foobar2")
		c.pass(65)
		expectBodies(c.t, c.receive(url))
	}},
	{source: "message_retention_with_inflight", asserts: "also those in flight; a delete is no error then", slow: true, run: func(c *trial) {
		url := c.queue("MessageRetentionPeriod", "60", "VisibilityTimeout", "60")
		c.send(url, "foobar1", "foobar2")
		c.pass(5)
		m := c.one(url, most(1))
		c.pass(61)
		expectBodies(c.t, c.receive(url))
		c.pass(8)
		expectBodies(c.t, c.receive(url))
		c.delete(url, m.ReceiptHandle)
	}},
	{source: guide + "sqs-short-and-long-polling.html", asserts: "a poll that was given up takes nothing", run: func(c *trial) {
		url := c.queue()
		ctx, cancel := context.WithTimeout(c.t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}); err == nil {
			c.t.Errorf("no error")
		}
		c.settle()
		c.send(url, "a")
		c.one(url, waiting(2))
	}},
}

var purgeFacts = []fact{
	{source: "purge_queue", asserts: "a purge takes all messages; later ones stay", run: func(c *trial) {
		url := c.queue()
		c.send(url, "0", "0", "0")
		c.purge(url)
		expectBodies(c.t, c.receive(url))
		c.send(url, "1", "2", "3")
		c.equal("the messages", c.collect(url, 3), []string{"1", "2", "3"})
	}},
	{source: "purge_queue_deletes_inflight_messages", asserts: "also those in flight", run: func(c *trial) {
		url := c.queue()
		if _, err := c.batch(url, entries(10)...); err != nil {
			c.t.Fatalf("SendMessageBatch: %v", err)
		}
		c.receive(url, most(5), hidden(2))
		c.purge(url)
		c.pass(2)
		expectBodies(c.t, c.receive(url, waiting(1)))
	}},
	{source: "purge_queue_deletes_delayed_messages", asserts: "also those that are delayed", run: func(c *trial) {
		url := c.queue()
		for range 5 {
			c.sent(url, sqs.SendMessageInput{DelaySeconds: 2})
		}
		c.purge(url)
		c.pass(2)
		expectBodies(c.t, c.receive(url, waiting(1)))
	}},
	{source: "purge_queue_clears_fifo_deduplication_cache", asserts: "a purge forgets deduplication ids", run: func(c *trial) {
		url := c.fifo()
		for _, body := range []string{"message-1", "message-2"} {
			c.sent(url, sqs.SendMessageInput{MessageBody: &body, MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d")})
			if body == "message-1" {
				c.purge(url)
			}
		}
		expectBodies(c.t, c.receive(url, waiting(1)), "message-2")
	}},
	{source: "successive_purge_calls_fail", asserts: "a second purge within a minute is refused", run: func(c *trial) {
		url := c.queue()
		c.purge(url)
		_, err := c.PurgeQueue(c.t.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
		c.refused(err, "AWS.SimpleQueueService.PurgeQueueInProgress", 403, "Only one PurgeQueue operation on "+nameOf(url)+" is allowed every 60 seconds.")
	}},
}

func (c *trial) purge(url string) {
	c.t.Helper()
	if _, err := c.PurgeQueue(c.t.Context(), &sqs.PurgeQueueInput{QueueUrl: &url}); err != nil {
		c.t.Fatalf("PurgeQueue: %v", err)
	}
}
