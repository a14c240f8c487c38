package producerapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// redriveOrder is the body of POST /dlq/redrive. The zero value moves
// everything by a task of SQS.
type redriveOrder struct {
	Name          string `json:"name,omitempty" doc:"Only messages of this name."`
	Reason        string `json:"reason,omitempty" doc:"Only messages dead-lettered for this reason."`
	ReopenUnknown bool   `json:"reopen_unknown,omitempty" doc:"Names recorded as UNKNOWN too: run them again."`
	// SQS allows 500: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
	Rate     int32 `json:"rate,omitempty" minimum:"0" maximum:"500" doc:"Messages a second, of a task; 0: as SQS likes."`
	OneByOne bool  `json:"one_by_one,omitempty" doc:"Send and delete each, without a task."`
}

// redriveInput is a request of POST /dlq/redrive.
type redriveInput struct{ Body redriveOrder }

// Redrive is how far a redrive has come.
type Redrive struct {
	Mode    string `json:"mode" enum:"task,one-by-one"`
	Status  string `json:"status" enum:"RUNNING,COMPLETED,CANCELLING,CANCELLED,FAILED"`
	Moved   int64  `json:"moved" minimum:"0"`
	ToMove  int64  `json:"to_move,omitempty" minimum:"0" doc:"Of a task, approximately."`
	More    bool   `json:"more,omitempty" doc:"One by one: ask again for the rest."`
	Partial bool   `json:"partial,omitempty" doc:"One by one: only the first 1,000 messages were looked at, and none of them was meant."`
	Reason  string `json:"reason,omitempty" doc:"Of a task that has failed."`
}

// Modes and statuses of [Redrive].
const (
	ModeTask     = "task"
	ModeOneByOne = "one-by-one"

	RedriveRunning   = "RUNNING"
	RedriveCompleted = "COMPLETED"
)

// postRedrive answers POST /dlq/redrive: an order to the workers to try what is
// in the dead-letter queue again. The attributes that a worker has put on its
// copies stay on: they are the order.
func (a *API) postRedrive(c *exchange, in *redriveInput) (*response[Redrive], error) {
	order := in.Body
	dlq, err := a.deadLetterQueue(c.Context())
	if err != nil {
		return nil, err
	}
	found, held, err := a.peek(c.Context(), dlq, maxPeek)
	if err != nil {
		a.letGo(c.Context(), dlq, held)
		return nil, err
	}
	picked := order.pick(found.Messages)
	if err := a.openUnknown(c.Context(), order, found.Messages, picked); err != nil {
		a.letGo(c.Context(), dlq, held)
		return nil, err
	}
	if !order.OneByOne && order.Name == "" && order.Reason == "" {
		a.letGo(c.Context(), dlq, held) // a task moves what is visible
		err := a.startTask(c.Context(), dlq, order.Rate)
		if err == nil {
			return c.redrive(http.StatusAccepted, Redrive{Mode: ModeTask, Status: RedriveRunning, ToMove: int64(found.Visible)}), nil
		}
		if !unsupported(err) {
			return nil, moveProblem(err)
		}
		if found, held, err = a.peek(c.Context(), dlq, maxPeek); err != nil {
			a.letGo(c.Context(), dlq, held)
			return nil, err
		}
		picked = order.pick(found.Messages)
	}
	moved, err := a.moveEach(c.Context(), dlq, held, picked)
	if err != nil {
		return nil, err
	}
	return c.redrive(http.StatusOK, Redrive{
		Mode: ModeOneByOne, Status: RedriveCompleted, Moved: int64(moved),
		More: !found.Complete && moved > 0, Partial: !found.Complete && moved == 0,
	}), nil
}

func (c *exchange) redrive(status int, r Redrive) *response[Redrive] {
	c.outcome = fmt.Sprintf("redrive %s, %d moved", r.Status, r.Moved)
	return answer(status, r)
}

// pick says which messages the order is about.
func (o redriveOrder) pick(messages []DeadLetter) []bool {
	picked := make([]bool, len(messages))
	for i, m := range messages {
		picked[i] = (o.Name == "" || o.Name == m.Name) && (o.Reason == "" || o.Reason == m.Reason)
	}
	return picked
}

// openUnknown opens the names that are recorded as UNKNOWN, where the order
// says so, and refuses the whole order where it does not: nobody knows whether
// their work was done.
func (a *API) openUnknown(ctx context.Context, o redriveOrder, messages []DeadLetter, picked []bool) error {
	var names []string
	for i, m := range messages {
		if picked[i] && m.Record != nil && m.Record.Status == protocol.Unknown {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && !o.ReopenUnknown {
		p := newProblem(http.StatusConflict, "reopen_unknown",
			fmt.Sprintf("nobody knows whether the work of %s was done; true runs them again", strings.Join(names[:min(len(names), 10)], ", ")))
		p.Names = names
		return p
	}
	if len(names) == 0 {
		return nil
	}
	op, err := a.operatorOn()
	if err != nil {
		return err
	}
	for _, name := range names {
		_, err := op.Reopen(ctx, name)
		if _, changed := errors.AsType[*dedupe.VerbError](err); changed {
			continue // it is not UNKNOWN any more, and stays as it is
		}
		if err != nil {
			return verbProblem(name, err)
		}
	}
	return nil
}

// startTask lets SQS move everything. The destination is named: to SQS the
// copies that workers have made come from nowhere.
func (a *API) startTask(ctx context.Context, dlq string, rate int32) error {
	from, err := a.attribute(ctx, dlq, types.QueueAttributeNameQueueArn)
	if err != nil {
		return err
	}
	to, err := a.attribute(ctx, a.cfg.QueueURL, types.QueueAttributeNameQueueArn)
	if err != nil {
		return err
	}
	in := &sqs.StartMessageMoveTaskInput{SourceArn: &from, DestinationArn: &to}
	if rate > 0 {
		in.MaxNumberOfMessagesPerSecond = &rate
	}
	_, err = a.cfg.SQS.StartMessageMoveTask(ctx, in)
	return err
}

// unsupported reports whether the server has no such tasks: some local ones
// have not. UnsupportedOperation is not among the codes: SQS has the operation,
// and may say so of a task. Of a source whose task is running it says
// InvalidParameterValue. Recorded by LocalStack: test_start_multiple_move_tasks.
func unsupported(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "InvalidAction", "UnknownOperationException", "UnknownOperation", "NotImplemented", "NotImplementedError":
		return true
	default:
		return false
	}
}

// moveProblem says what is wrong with a task that SQS would not start or show.
func moveProblem(err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorFault() == smithy.FaultClient {
		p := newProblem(http.StatusConflict, "", "SQS does not start a redrive now: "+api.ErrorMessage())
		p.cause = err
		return p
	}
	return unavailable("the redrive could not be started", err)
}

// movesAtATime is how many messages are moved at a time, so that all are before
// any is seen by others again. On a FIFO queue they go in order.
const movesAtATime = 20

// moveEach sends each picked message to the queue and then deletes it, and lets
// the others go. After a failure no more are begun. A message whose deletion
// fails is in both queues then, which its name makes harmless.
func (a *API) moveEach(ctx context.Context, dlq string, held []types.Message, picked []bool) (moved int, err error) {
	var group errgroup.Group
	group.SetLimit(movesAtATime)
	if a.fifo() {
		group.SetLimit(1)
	}
	var failed atomic.Bool
	done := make([]bool, len(held))
	for i, m := range held {
		if !picked[i] {
			continue
		}
		group.Go(func() error {
			if failed.Load() {
				return nil
			}
			err := a.move(ctx, dlq, m)
			done[i] = err == nil
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	err = group.Wait()
	var rest []types.Message
	for i, m := range held {
		if done[i] {
			moved++
		} else {
			rest = append(rest, m)
		}
	}
	a.letGo(ctx, dlq, rest)
	return moved, err
}

func (a *API) move(ctx context.Context, dlq string, m types.Message) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	in := &sqs.SendMessageInput{QueueUrl: &a.cfg.QueueURL, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
	if group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; group != "" {
		in.MessageGroupId = &group
	}
	if a.fifo() {
		in.MessageDeduplicationId = m.MessageId // each copy in the dead-letter queue is an order of its own
	}
	if header := m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; header != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &header},
		}
	}
	if _, err := a.cfg.SQS.SendMessage(ctx, in); err != nil {
		return unavailable("a message could not be sent to the queue; what was moved before it stays moved", err)
	}
	if _, err := a.cfg.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &dlq, ReceiptHandle: m.ReceiptHandle}); err != nil {
		a.cfg.Logger.Warn("a redriven message is still in the dead-letter queue too", "message_id", aws.ToString(m.MessageId), "error", err)
	}
	return nil
}

// getRedrive answers GET /dlq/redrive with the last task.
func (a *API) getRedrive(c *exchange, _ *struct{}) (*response[Redrive], error) {
	dlq, err := a.deadLetterQueue(c.Context())
	if err != nil {
		return nil, err
	}
	arn, err := a.attribute(c.Context(), dlq, types.QueueAttributeNameQueueArn)
	if err != nil {
		return nil, err
	}
	out, err := a.cfg.SQS.ListMessageMoveTasks(c.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &arn})
	if err != nil && !unsupported(err) {
		return nil, unavailable("SQS did not say how far the redrive has come", err)
	}
	if err != nil || len(out.Results) == 0 {
		return nil, newProblem(http.StatusNotFound, "", "there was no redrive by a task")
	}
	last := out.Results[0]
	return c.redrive(http.StatusOK, Redrive{
		Mode: ModeTask, Status: aws.ToString(last.Status), Moved: last.ApproximateNumberOfMessagesMoved,
		ToMove: aws.ToInt64(last.ApproximateNumberOfMessagesToMove), Reason: aws.ToString(last.FailureReason),
	}), nil
}
