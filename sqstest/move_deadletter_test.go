package sqstest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const arnPrefix = "arn:aws:sqs:us-east-1:000000000000:"

// deadLettered creates a queue with a dead-letter queue that holds n messages of it.
func (b *bench) deadLettered(n int) (url, dlq string) {
	b.t.Helper()
	dlq = b.create("dlq")
	url = b.create("q", "RedrivePolicy", redriveTo("dlq", 1))
	for range n {
		b.send(url, "a")
	}
	for range (n + 9) / 10 {
		b.receive(url, hidden(1))
	}
	time.Sleep(time.Second)
	expectBodies(b.t, b.receive(url))
	b.expectCounts(dlq, n, 0, 0)
	return url, dlq
}

func (b *bench) startMove(in sqs.StartMessageMoveTaskInput) *sqs.StartMessageMoveTaskOutput {
	b.t.Helper()
	in.SourceArn = aws.String(arnPrefix + "dlq")
	out, err := b.StartMessageMoveTask(b.t.Context(), &in)
	if err != nil {
		b.t.Fatalf("StartMessageMoveTask: %v", err)
	}
	return out
}

func (b *bench) lastMove() types.ListMessageMoveTasksResultEntry {
	b.t.Helper()
	out, err := b.ListMessageMoveTasks(b.t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(arnPrefix + "dlq")})
	if err != nil || len(out.Results) != 1 {
		b.t.Fatalf("ListMessageMoveTasks: %v, %v, want one", out, err)
	}
	return out.Results[0]
}

func TestDeadletter(t *testing.T) {
	t.Run("message received too often is moved instead of delivered", testMessageReceivedTooOftenIsMovedInsteadOfDelivered)
	t.Run("dead letter sources are listed", testDeadLetterSourcesAreListed)
	t.Run("redrive allow policy keeps others out", testRedriveAllowPolicyKeepsOthersOut)
	t.Run("move returns dead letters to their source as new messages", testMoveReturnsDeadLettersToTheirSourceAsNewMessages)
	t.Run("move of messages that were sent needs a destination", testMoveOfMessagesThatWereSentNeedsADestination)
	t.Run("move keeps its rate and can be cancelled", testMoveKeepsItsRateAndCanBeCancelled)
	t.Run("move is for dead letter queues only", testMoveIsForDeadLetterQueuesOnly)
	t.Run("FIFO move keeps the order", testFIFOMoveKeepsTheOrder)
	t.Run("ten latest moves are listed", testTenLatestMovesAreListed)
	t.Run("each queue counts its own receives for the redrive", testEachQueueCountsItsOwnReceivesForTheRedrive)
}

func testMessageReceivedTooOftenIsMovedInsteadOfDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		dlq := b.create("dlq")
		url := b.create("q", "VisibilityTimeout", "1", "RedrivePolicy", redriveTo("dlq", 2))
		sent := time.Now()
		b.send(url, "a", "b")
		var first types.Message
		for range 2 {
			first = b.receive(url)[0]
			time.Sleep(time.Second)
		}
		b.expectCounts(url, 2, 0, 0) // the third receive moves the messages
		got := make(chan []types.Message)
		go func() { got <- b.receive(dlq, waiting(20)) }()
		time.Sleep(time.Second)
		expectBodies(t, b.receive(url))
		// The first message wakes the poll, which then finds both.
		moved := <-got
		expectBodies(t, moved, "a", "b")
		if d := time.Since(sent); d != 3*time.Second {
			t.Errorf("dead letters received after %v, want 3s", d)
		}
		m := moved[0]
		if *m.MessageId != *first.MessageId {
			t.Errorf("message id %s in the dead-letter queue, want %s", *m.MessageId, *first.MessageId)
		}
		for name, want := range map[string]string{
			"ApproximateReceiveCount":  "3",
			"DeadLetterQueueSourceArn": arnPrefix + "q",
			"SentTimestamp":            first.Attributes["SentTimestamp"],
		} {
			if m.Attributes[name] != want {
				t.Errorf("%s %q, want %q", name, m.Attributes[name], want)
			}
		}
	})
}

func testDeadLetterSourcesAreListed(t *testing.T) {
	b := newBench(t)
	dlq := b.create("dlq")
	b.create("other")
	b.create("q1", "RedrivePolicy", redriveTo("dlq", 1))
	b.create("q2", "RedrivePolicy", redriveTo("dlq", 1))
	out, err := b.ListDeadLetterSourceQueues(t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.QueueUrls) != 2 || !strings.HasSuffix(out.QueueUrls[0], "/q1") || !strings.HasSuffix(out.QueueUrls[1], "/q2") {
		t.Errorf("sources %v, want q1 and q2", out.QueueUrls)
	}
}

func testRedriveAllowPolicyKeepsOthersOut(t *testing.T) {
	b := newBench(t)
	b.create("dlq", "RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["`+arnPrefix+`friend"]}`)
	b.create("friend", "RedrivePolicy", redriveTo("dlq", 1))
	_, err := b.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("stranger"), Attributes: map[string]string{"RedrivePolicy": redriveTo("dlq", 1)}})
	expectCode(t, err, "InvalidParameterValue")
}

func testMoveReturnsDeadLettersToTheirSourceAsNewMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url, dlq := b.deadLettered(3)
		old := b.one(dlq, most(1), hidden(1))
		time.Sleep(time.Second)
		b.startMove(sqs.StartMessageMoveTaskInput{})
		b.expectCounts(dlq, 0, 0, 0)
		got := b.receive(url)
		expectBodies(t, got, "a", "a", "a")
		for _, m := range got {
			if *m.MessageId == *old.MessageId || m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["DeadLetterQueueSourceArn"] != "" {
				t.Errorf("moved message %s with %v, want a new id, count 1 and no source", *m.MessageId, m.Attributes)
			}
		}
		last := b.lastMove()
		if *last.Status != "COMPLETED" || last.ApproximateNumberOfMessagesMoved != 3 || last.TaskHandle != nil {
			t.Errorf("task %s, moved %d, want COMPLETED, 3", *last.Status, last.ApproximateNumberOfMessagesMoved)
		}
	})
}

func testMoveOfMessagesThatWereSentNeedsADestination(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url, dlq := b.deadLettered(0)
		b.send(dlq, "sent here")
		b.startMove(sqs.StartMessageMoveTaskInput{})
		last := b.lastMove()
		if *last.Status != "FAILED" || aws.ToString(last.FailureReason) != "CouldNotDetermineMessageSource" {
			t.Errorf("task %s, reason %q, want FAILED, CouldNotDetermineMessageSource", *last.Status, aws.ToString(last.FailureReason))
		}
		b.expectCounts(dlq, 1, 0, 0)
		b.startMove(sqs.StartMessageMoveTaskInput{DestinationArn: aws.String(arnPrefix + "q")})
		expectBodies(t, b.receive(url), "sent here")
	})
}

func testMoveKeepsItsRateAndCanBeCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		url, dlq := b.deadLettered(10)
		start := time.Now()
		got := make(chan int)
		go func() { got <- len(b.receive(url, waiting(20))) }()
		handle := b.startMove(sqs.StartMessageMoveTaskInput{MaxNumberOfMessagesPerSecond: aws.Int32(2)}).TaskHandle
		if n := <-got; n != 1 || time.Since(start) != 500*time.Millisecond {
			t.Errorf("%d messages after %v, want 1 after 500ms", n, time.Since(start))
		}
		_, err := b.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arnPrefix + "dlq")})
		expectCode(t, err, "InvalidParameterValue")
		time.Sleep(1500 * time.Millisecond)
		if last := b.lastMove(); *last.Status != "RUNNING" || *last.TaskHandle != *handle || last.ApproximateNumberOfMessagesMoved != 4 {
			t.Errorf("task %s, moved %d, want RUNNING, 4", *last.Status, last.ApproximateNumberOfMessagesMoved)
		}
		out, err := b.CancelMessageMoveTask(t.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: handle})
		if err != nil || out.ApproximateNumberOfMessagesMoved != 4 {
			t.Errorf("cancelled: %v, %v, want 4 moved", out, err)
		}
		time.Sleep(time.Minute)
		b.expectCounts(dlq, 6, 0, 0)
		if last := b.lastMove(); *last.Status != "CANCELLED" {
			t.Errorf("task %s, want CANCELLED", *last.Status)
		}
		_, err = b.CancelMessageMoveTask(t.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("none")})
		expectCode(t, err, "InvalidParameterValue")
	})
}

func testMoveIsForDeadLetterQueuesOnly(t *testing.T) {
	b := newBench(t)
	b.create("q")
	_, err := b.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arnPrefix + "q")})
	expectCode(t, err, "InvalidParameterValue")
	_, err = b.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arnPrefix + "none")})
	expectError[*types.ResourceNotFoundException](t, err)
}

func testFIFOMoveKeepsTheOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.createFIFO("dlq.fifo")
		url := b.createFIFO("q.fifo", "VisibilityTimeout", "1", "RedrivePolicy", redriveTo("dlq.fifo", 1))
		b.sendFIFO(url, "a", "a0", "a1", "a2")
		b.receive(url)
		time.Sleep(time.Second)
		expectBodies(t, b.receive(url))
		if _, err := b.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arnPrefix + "dlq.fifo")}); err != nil {
			t.Fatal(err)
		}
		expectBodies(t, b.receive(url), "a0", "a1", "a2")
	})
}

func testTenLatestMovesAreListed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.deadLettered(0)
		for range 12 {
			b.startMove(sqs.StartMessageMoveTaskInput{})
			time.Sleep(time.Second)
		}
		out, err := b.ListMessageMoveTasks(t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(arnPrefix + "dlq"), MaxResults: aws.Int32(10)})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Results) != 10 {
			t.Fatalf("listed %d tasks, want 10", len(out.Results))
		}
		if age := time.Now().UnixMilli() - out.Results[0].StartedTimestamp; age != 1000 {
			t.Errorf("first task listed is %d ms old, want the latest: 1000", age)
		}
	})
}

func testEachQueueCountsItsOwnReceivesForTheRedrive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		last := b.create("last")
		dlq := b.create("dlq", "VisibilityTimeout", "0", "RedrivePolicy", redriveTo("last", 2))
		url := b.create("q", "VisibilityTimeout", "0", "RedrivePolicy", redriveTo("dlq", 3))
		b.send(url, "a")
		for range 3 {
			b.one(url)
		}
		expectBodies(t, b.receive(url))
		for range 2 {
			b.one(dlq)
		}
		expectBodies(t, b.receive(dlq))
		if n := b.one(last).Attributes["ApproximateReceiveCount"]; n != "6" {
			t.Errorf("receive count %s, want 6 in all queues", n)
		}
	})
}
