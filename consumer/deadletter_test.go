package consumer_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/sqstest"
)

func rejected(context.Context, consumer.Message) error {
	return failure{permanent: true, reason: "mismatch", attempts: 3}
}

// sendWith sends one message as in says.
func (p *pool) sendWith(in *sqs.SendMessageInput) *sqs.SendMessageOutput {
	p.t.Helper()
	in.QueueUrl = &p.queueURL
	out, err := p.client.SendMessage(p.t.Context(), in)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func stringAttribute(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func TestDeadLetter(t *testing.T) {
	t.Run("dead letter is the message with its reason", testADeadLetterIsTheMessageWithItsReason)
	t.Run("message is not deleted before its copy stands", testAMessageIsNotDeletedBeforeItsCopyStands)
	t.Run("copy whose answer is lost is made again and told apart by the original ID", testACopyWhoseAnswerIsLostIsMadeAgainAndToldApartByTheOriginalID)
	t.Run("without a dead letter queue a message stays and the operator is told", testWithoutADeadLetterQueueAMessageStaysAndTheOperatorIsTold)
	t.Run("message without room for the reason is left to the queues own redrive", testAMessageWithoutRoomForTheReasonIsLeftToTheQueuesOwnRedrive)
	t.Run("dead letter queue is found when its name cannot be asked for at first", testTheDeadLetterQueueIsFoundWhenItsNameCannotBeAskedForAtFirst)
}

func testADeadLetterIsTheMessageWithItsReason(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = rejected
		sent := p.sendWith(&sqs.SendMessageInput{
			MessageBody:    aws.String("bad"),
			MessageGroupId: aws.String("tenant-1"), // a fair queue
			MessageAttributes: map[string]types.MessageAttributeValue{
				consumer.AttrName: stringAttribute("order-17"),
				"binary":          {DataType: aws.String("Binary.gif"), BinaryValue: []byte{0, 1, 0xff}},
				"number":          {DataType: aws.String("Number"), StringValue: aws.String("7")},
			},
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-2-3")},
			},
		})
		var told consumer.Disposition
		p.cfg.Hooks.DeadLettered = func(_ consumer.Message, d consumer.Disposition) { told = d }
		p.start()
		synctest.Wait()
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		m := p.dead()["bad"]
		for name, want := range map[string]string{
			consumer.AttrName: "order-17", consumer.AttrReason: "mismatch", consumer.AttrError: "failure",
			attributes.Attempts: "3", attributes.OriginalID: *sent.MessageId, "number": "7",
		} {
			if got := attribute(m, name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if !bytes.Equal(m.MessageAttributes["binary"].BinaryValue, []byte{0, 1, 0xff}) {
			t.Errorf("binary attribute %v", m.MessageAttributes["binary"])
		}
		if m.Attributes["AWSTraceHeader"] != "Root=1-2-3" || m.Attributes["MessageGroupId"] != "tenant-1" {
			t.Errorf("system attributes %v", m.Attributes)
		}
		if told.Reason != "mismatch" {
			t.Errorf("hook was told %+v", told)
		}
	})
}

func testAMessageIsNotDeletedBeforeItsCopyStands(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = rejected
		p.send(numbered(25)...)
		var operations []string
		broken := true
		p.faults(func(c sqstest.Call) sqstest.Fault {
			operations = append(operations, c.Operation)
			switch {
			case c.Operation != "SendMessageBatch":
				return sqstest.Fault{}
			case broken:
				return sqstest.Fault{Error: &sqstest.Error{Code: "InternalError"}}
			default:
				return sqstest.Fault{FailEntries: []int{2}}
			}
		})
		p.start()
		time.Sleep(4 * time.Minute)
		p.locked(func() {
			if slices.Contains(operations, "DeleteMessageBatch") {
				t.Error("a message was deleted without its copy")
			}
			broken = false
		})
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.dead()); n != 25 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func testACopyWhoseAnswerIsLostIsMadeAgainAndToldApartByTheOriginalID(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = rejected
		p.send("bad")
		lost := false
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "SendMessageBatch" && !lost {
				lost = true
				return sqstest.Fault{LoseAnswer: true}
			}
			return sqstest.Fault{}
		})
		p.start()
		time.Sleep(time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		out, err := p.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &p.dlqURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		})
		if err != nil || len(out.Messages) != 2 {
			t.Fatalf("%d copies, %v", len(out.Messages), err)
		}
		if a, b := attribute(out.Messages[0], attributes.OriginalID), attribute(out.Messages[1], attributes.OriginalID); a == "" || a != b {
			t.Errorf("original ids %q and %q", a, b)
		}
	})
}

func testWithoutADeadLetterQueueAMessageStaysAndTheOperatorIsTold(t *testing.T) {
	t.Run("none is known", func(t *testing.T) {
		bubble(t, 10, false, func(t *testing.T, p *pool) {
			p.queueURL = p.create("lonely", nil)
			p.cfg.QueueURL = p.queueURL
			p.testUndeletable(t, "no dead-letter queue is known")
		})
	})
	t.Run("it refuses", func(t *testing.T) {
		bubble(t, 10, false, func(t *testing.T, p *pool) {
			p.faults(func(c sqstest.Call) sqstest.Fault {
				if c.Operation == "SendMessageBatch" && c.Queue == "work-dlq" {
					return sqstest.Fault{Error: &sqstest.Error{Code: "AccessDenied", Status: 403, SenderFault: true}}
				}
				return sqstest.Fault{}
			})
			p.testUndeletable(t, "the dead-letter queue does not take it")
		})
	})
	t.Run("it is gone", func(t *testing.T) {
		bubble(t, 10, false, func(t *testing.T, p *pool) {
			p.cfg.DLQURL = p.dlqURL + "-gone"
			p.testUndeletable(t, "the dead-letter queue does not take it")
		})
	})
}

func (p *pool) testUndeletable(t *testing.T, want string) {
	t.Helper()
	var log bytes.Buffer
	p.cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	p.handler = rejected
	p.send("bad")
	p.start()
	time.Sleep(time.Minute)
	p.finishClean()
	if visible, hidden := p.depths(p.queueURL); visible+hidden != 1 {
		t.Error("the message has gone")
	}
	if !strings.Contains(log.String(), want) {
		t.Errorf("log: %s", log.String())
	}
	if n := len(p.bodies()); n > 10 {
		t.Errorf("%d tries in a minute", n)
	}
}

func testAMessageWithoutRoomForTheReasonIsLeftToTheQueuesOwnRedrive(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.handler = rejected
		attributes := make(map[string]types.MessageAttributeValue)
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
			attributes[name] = stringAttribute("x")
		}
		p.sendWith(&sqs.SendMessageInput{MessageBody: aws.String("full"), MessageAttributes: attributes})
		p.start()
		time.Sleep(10 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if _, there := p.dead()["full"]; !there {
			t.Error("not in the dead-letter queue")
		}
	})
}

func testTheDeadLetterQueueIsFoundWhenItsNameCannotBeAskedForAtFirst(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = rejected
		p.send("bad")
		n := 0
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "GetQueueUrl" {
				if n++; n < 10 {
					return sqstest.Fault{Error: &sqstest.Error{Code: "InternalError"}}
				}
			}
			return sqstest.Fault{}
		})
		p.start()
		time.Sleep(5 * time.Minute)
		p.finishClean()
		if len(p.dead()) != 1 {
			t.Error("not dead-lettered")
		}
	})
}
