package sqstest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// bury sends messages to a queue with maxReceiveCount 1, and waits until they are in dlq.
func (c *trial) bury(url, dlq string, bodies ...string) {
	c.t.Helper()
	c.send(url, bodies...)
	for range 2 * len(bodies) {
		c.seen(url, most(1))
	}
	c.awaitCount(dlq, len(bodies))
}

// awaitCount waits until a queue has the wanted number of visible messages.
func (c *trial) awaitCount(url string, want int) {
	c.t.Helper()
	for range 20 {
		if c.attributes(url, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"] == fmt.Sprint(want) {
			return
		}
		c.pass(1)
	}
	c.t.Fatalf("%s does not have %d messages", nameOf(url), want)
}

var deadFacts = []fact{
	{source: "dead_letter_queue_list_sources", asserts: "all sources are listed", run: func(c *trial) {
		dlq := c.queue()
		policy := c.policy(dlq)
		want := []string{c.queue("RedrivePolicy", policy), c.queue("RedrivePolicy", policy)}
		out, err := c.ListDeadLetterSourceQueues(c.t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
		if err != nil {
			c.t.Fatalf("ListDeadLetterSourceQueues: %v", err)
		}
		slices.Sort(out.QueueUrls)
		c.equal("the sources", out.QueueUrls, want)
	}},
	{source: "dead_letter_queue_max_receive_count", asserts: "a message received too often goes to the dead-letter queue with its id", run: func(c *trial) {
		dlq := c.queue("VisibilityTimeout", "0")
		url := c.queue("RedrivePolicy", c.policy(dlq), "VisibilityTimeout", "0")
		sent := c.sent(url, sqs.SendMessageInput{})
		c.one(url)
		expectBodies(c.t, c.receive(url))
		c.equal("the id", c.one(dlq, waiting(5)).MessageId, sent.MessageId)
	}},
	{source: "dead_letter_queue_with_fifo_and_content_based_deduplication", asserts: "also on FIFO queues, whose group goes on", run: func(c *trial) {
		dlq := c.fifo("ContentBasedDeduplication", "true", "MessageRetentionPeriod", "1209600")
		url := c.fifo("ContentBasedDeduplication", "true", "VisibilityTimeout", "60",
			"RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":2}`, c.arn(dlq)))
		sent := c.sent(url, sqs.SendMessageInput{MessageBody: aws.String("foobar"), MessageGroupId: aws.String("1")})
		for range 3 {
			c.seen(url, most(1), waiting(1))
		}
		dead := c.one(dlq, waiting(10))
		c.equal("id and body", []any{dead.MessageId, dead.Body}, []any{sent.MessageId, "foobar"})
		c.grouped(url, "1", "foobar2")
		expectBodies(c.t, c.receive(url, waiting(1)), "foobar2")
	}},
	{source: "dead_letter_queue_message_attributes", asserts: "a dead letter keeps its attributes, counts on and names its source", run: func(c *trial) {
		url, dlq := c.pipe()
		own := map[string]types.MessageAttributeValue{"MyAttribute": text("foobar")}
		c.sent(url, sqs.SendMessageInput{MessageAttributes: own, MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(trace)},
		}})
		before := c.seen(url)
		expectBodies(c.t, before, "x")
		c.subset(before[0].Attributes, map[string]string{"ApproximateReceiveCount": "1", "AWSTraceHeader": trace, "DeadLetterQueueSourceArn": ""})
		expectBodies(c.t, c.seen(url))
		dead := c.one(dlq, waiting(10))
		c.equal("attributes, digest, id", []any{dead.MessageAttributes, dead.MD5OfMessageAttributes, dead.MessageId}, []any{own, "adb59cd4678ea5a855436b949cd07ab6", before[0].MessageId})
		c.subset(dead.Attributes, map[string]string{"ApproximateReceiveCount": "2", "AWSTraceHeader": trace, "DeadLetterQueueSourceArn": c.arn(url)})
	}},
}

func (c *trial) move(in sqs.StartMessageMoveTaskInput) (*sqs.StartMessageMoveTaskOutput, error) {
	return c.StartMessageMoveTask(c.t.Context(), &in)
}

func (c *trial) moving(in sqs.StartMessageMoveTaskInput) (handle string) {
	c.t.Helper()
	out, err := c.move(in)
	if err != nil {
		c.t.Fatalf("StartMessageMoveTask: %v", err)
	}
	return aws.ToString(out.TaskHandle)
}

// task returns the last task of a source.
func (c *trial) task(source string) types.ListMessageMoveTasksResultEntry {
	c.t.Helper()
	out, err := c.ListMessageMoveTasks(c.t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &source})
	if err != nil || len(out.Results) != 1 {
		c.t.Fatalf("ListMessageMoveTasks: %v, %v", out, err)
	}
	return out.Results[0]
}

// awaitTask waits until done reports true for the last task of a source.
func (c *trial) awaitTask(source string, done func(types.ListMessageMoveTasksResultEntry) bool) types.ListMessageMoveTasksResultEntry {
	c.t.Helper()
	for range 20 {
		if last := c.task(source); done(last) {
			return last
		}
		c.pass(1)
	}
	c.t.Fatalf("the task is %+v", c.task(source))
	return types.ListMessageMoveTasksResultEntry{}
}

// completed waits for the end of a task and checks its description.
func (c *trial) completed(source, destination string, moved int64) {
	c.t.Helper()
	last := c.awaitTask(source, func(t types.ListMessageMoveTasksResultEntry) bool { return aws.ToString(t.Status) == "COMPLETED" })
	c.equal("moved, to move, source, destination, handle",
		[]any{last.ApproximateNumberOfMessagesMoved, last.ApproximateNumberOfMessagesToMove, last.SourceArn, aws.ToString(last.DestinationArn), last.TaskHandle},
		[]any{moved, moved, source, destination, nil})
}

// handleOf returns a task's handle in SQS's format.
func handleOf(id, source string) *string {
	return aws.String(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"taskId":%q,"sourceArn":%q}`, id, source)))
}

func (c *trial) cancelled(handle *string) error {
	_, err := c.CancelMessageMoveTask(c.t.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: handle})
	return err
}

// slowly starts a task that moves ten dead letters, one a second.
func (c *trial) slowly() (source, dlq, destination, handle string) {
	c.t.Helper()
	url, dlq := c.pipe()
	destination = c.queue()
	c.bury(url, dlq, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	source = c.arn(dlq)
	handle = c.moving(sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: aws.String(c.arn(destination)), MaxNumberOfMessagesPerSecond: aws.Int32(1)})
	return source, dlq, destination, handle
}

var moveFacts = []fact{
	{source: "cancel_with_invalid_task_handle", asserts: "what is no handle is refused", run: func(c *trial) {
		c.refused(c.cancelled(aws.String("foobared")), "InvalidParameterValue", 400, "Value for parameter TaskHandle is invalid.")
	}},
	{source: "cancel_with_invalid_source_arn_in_task_handle", asserts: "the source in a handle exists", run: func(c *trial) {
		c.refused(c.cancelled(handleOf("10f57157-fc38-4da9-a113-4de7e12d05dd", c.arn(c.queue())+"-not")), "ResourceNotFoundException", 404,
			"The resource that you specified for the SourceArn parameter doesn't exist.")
	}},
	{source: "cancel_with_invalid_task_id_in_task_handle", asserts: "and so does the task", run: func(c *trial) {
		c.refused(c.cancelled(handleOf("10f57157-fc38-4da9-a113-4de7e12d05aa", c.arn(c.queue()))), "ResourceNotFoundException", 404, "Task does not exist.")
	}},
	{source: "source_needs_redrive_policy", asserts: "the source is the dead-letter queue of some queue", run: func(c *trial) {
		_, err := c.move(sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.arn(c.queue())), DestinationArn: aws.String(c.arn(c.queue()))})
		c.refused(err, "InvalidParameterValue", 400, "Source queue must be configured as a Dead Letter Queue.")
	}},
	{source: "destination_needs_to_exist", asserts: "the destination exists", run: func(c *trial) {
		_, dlq := c.pipe()
		_, err := c.move(sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.arn(dlq)), DestinationArn: aws.String(c.arn(c.queue()) + "doesntexist")})
		c.refused(err, "ResourceNotFoundException", 404, "The resource that you specified for the DestinationArn parameter doesn't exist.")
	}},
	{source: "basic_move_task_workflow", asserts: "dead letters are moved to a queue; the handle has task and source", run: func(c *trial) {
		url, dlq := c.pipe()
		to := c.queue()
		c.bury(url, dlq, "message-1", "message-2")
		source, destination := c.arn(dlq), c.arn(to)
		handle, err := base64.StdEncoding.DecodeString(c.moving(sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: &destination}))
		var task struct{ TaskID, SourceARN string }
		if err != nil || json.Unmarshal(handle, &task) != nil || len(task.TaskID) != 36 || task.SourceARN != source {
			c.t.Errorf("handle %s, %v", handle, err)
		}
		c.equal("the messages", c.collect(to, 2), []string{"message-1", "message-2"})
		c.completed(source, destination, 2)
		expectBodies(c.t, c.receive(dlq, waiting(1)))
	}},
	{source: "move_task_workflow_with_default_destination", asserts: "without a destination they go back to their source", run: func(c *trial) {
		url, dlq := c.pipe()
		c.bury(url, dlq, "message-1", "message-2")
		source := c.arn(dlq)
		c.moving(sqs.StartMessageMoveTaskInput{SourceArn: &source})
		c.equal("the messages", c.collect(url, 2), []string{"message-1", "message-2"})
		c.completed(source, "", 2)
		expectBodies(c.t, c.receive(dlq, waiting(1)))
	}},
	{source: "move_task_workflow_with_multiple_sources_as_default_destination", asserts: "each to its own", run: func(c *trial) {
		first, dlq := c.pipe()
		second := c.queue("RedrivePolicy", c.policy(dlq))
		c.bury(first, dlq, "1-1", "1-2")
		c.send(second, "2-1", "2-2")
		for range 4 {
			c.seen(second, most(1))
		}
		c.awaitCount(dlq, 4)
		source := c.arn(dlq)
		c.moving(sqs.StartMessageMoveTaskInput{SourceArn: &source})
		c.equal("the first's", c.collect(first, 2), []string{"1-1", "1-2"})
		c.equal("the second's", c.collect(second, 2), []string{"2-1", "2-2"})
		c.completed(source, "", 4)
		expectBodies(c.t, c.receive(dlq, waiting(1)))
	}},
	{source: "move_task_with_throughput_limit", asserts: "a rate is kept", run: func(c *trial) {
		url, dlq := c.pipe()
		to := c.queue()
		c.bury(url, dlq, "0", "1", "2", "3")
		start := time.Now()
		c.moving(sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.arn(dlq)), DestinationArn: aws.String(c.arn(to)), MaxNumberOfMessagesPerSecond: aws.Int32(1)})
		c.equal("the messages", c.collect(to, 4), []string{"0", "1", "2", "3"})
		if d := time.Since(start); d < 3*time.Second {
			c.t.Errorf("moved in %s, want 3s at least", d)
		}
	}},
	{source: "move_task_cancel", asserts: "a task is cancelled with what it has moved", run: func(c *trial) {
		source, dlq, to, handle := c.slowly()
		c.equal("the number of messages", len(c.collect(to, 2)), 2)
		while := c.task(source)
		c.equal("status, to move, rate, handle", []any{while.Status, while.ApproximateNumberOfMessagesToMove, while.MaxNumberOfMessagesPerSecond, while.TaskHandle}, []any{"RUNNING", 10, 1, handle})
		if err := c.cancelled(&handle); err != nil {
			c.t.Fatalf("CancelMessageMoveTask: %v", err)
		}
		last := c.awaitTask(source, func(t types.ListMessageMoveTasksResultEntry) bool { return aws.ToString(t.Status) == "CANCELLED" })
		c.equal("to move, handle", []any{last.ApproximateNumberOfMessagesToMove, last.TaskHandle}, []any{10, nil})
		c.equal("messages are left", len(c.receive(dlq)) > 0, true)
	}},
	{source: "move_task_delete_destination_queue_while_running", asserts: "a task fails when its destination is deleted", run: func(c *trial) {
		source, dlq, to, _ := c.slowly()
		if _, err := c.DeleteQueue(c.t.Context(), &sqs.DeleteQueueInput{QueueUrl: &to}); err != nil {
			c.t.Fatalf("DeleteQueue: %v", err)
		}
		last := c.awaitTask(source, func(t types.ListMessageMoveTasksResultEntry) bool { return aws.ToString(t.Status) != "RUNNING" })
		c.equal("status, reason, to move", []any{last.Status, last.FailureReason, last.ApproximateNumberOfMessagesToMove}, []any{"FAILED", "AWS.SimpleQueueService.NonExistentQueue", 10})
		c.equal("messages are left", len(c.receive(dlq)) > 0, true)
	}},
	{source: "start_multiple_move_tasks", asserts: "a source has one task at a time", run: func(c *trial) {
		source, _, to, _ := c.slowly()
		_, err := c.move(sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: aws.String(c.arn(to)), MaxNumberOfMessagesPerSecond: aws.Int32(1)})
		c.refused(err, "InvalidParameterValue", 400, "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	}},
}
