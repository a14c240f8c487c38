package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/internal/batch"
)

// Queue is the part of the SQS API that the consumer uses. *[sqs.Client] implements it.
type Queue interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

var _ Queue = (*sqs.Client)(nil)

// batchSize is the largest number of entries in a batch call and of messages in a receive.
const batchSize = 10

// maxHold is how long SQS lets a message stay invisible after one receive.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const maxHold = 12 * time.Hour

// client makes the calls to SQS.
type client struct {
	queue Queue
	cfg   Config
	hooks hooks
	log   *slog.Logger
}

// systemAttributes lists the requested attributes. "All" would also return unused ones.
var systemAttributes = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameSenderId,
	types.MessageSystemAttributeNameMessageGroupId,
	types.MessageSystemAttributeNameMessageDeduplicationId,
	types.MessageSystemAttributeNameSequenceNumber,
	types.MessageSystemAttributeNameAWSTraceHeader,
}

// received is the outcome of a receive.
type received struct {
	messages  []types.Message
	begun     bool          // the response has begun
	asked     time.Time     // time of the call
	handedOut time.Time     // when the response began, or ended if its beginning was not seen
	waited    time.Duration // from asked to handedOut
	transfer  time.Duration // from handedOut to the end of the response
}

// receive makes one long poll. It is cancelled for silence, not for its length: when the response
// has not begun in time, or when no more of it arrives for a while. alive is called with each piece
// that arrives.
func (c *client) receive(ctx context.Context, q request, alive func()) (received, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &c.cfg.QueueURL,
		MaxNumberOfMessages:         int32(q.n),
		VisibilityTimeout:           wholeSecondsUp(c.cfg.Visibility),
		WaitTimeSeconds:             wholeSecondsUp(c.cfg.PollWait),
		MessageSystemAttributeNames: systemAttributes,
		MessageAttributeNames:       []string{"All"},
	}
	if c.cfg.fifo() {
		// A retry with the same ID gets the lost answer again. Otherwise its messages and their
		// groups would be blocked for a visibility timeout.
		in.ReceiveRequestAttemptId = &q.attempt
	}
	start := time.Now()
	line := &watchedLine{alive: alive}
	line.silence = time.AfterFunc(c.cfg.PollWait+pollGrace, func() { cancel(errSilent) })
	defer line.silence.Stop()
	out, err := c.queue.ReceiveMessage(ctx, in, line.watch)
	end := time.Now()
	begun := line.begunAt()
	got := received{begun: !begun.IsZero(), asked: start, handedOut: begun}
	if begun.IsZero() {
		got.handedOut = end
	}
	got.waited, got.transfer = got.handedOut.Sub(start), end.Sub(got.handedOut)
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = fmt.Errorf("%w: %w", errSilent, err)
		}
		return got, err
	}
	got.messages = out.Messages
	c.hooks.received(len(out.Messages), end.Sub(start))
	return got, nil
}

var errSilent = errors.New("the connection was silent for too long")

// watchedLine is an HTTP client that notices the beginning of a response and each piece of it.
type watchedLine struct {
	next    sqs.HTTPClient
	silence *time.Timer
	alive   func()

	mu    sync.Mutex
	begun time.Time // guarded by mu; beginning of the latest response
}

// watch is an SDK option that routes the call through w.
func (w *watchedLine) watch(o *sqs.Options) {
	if o.HTTPClient != nil {
		w.next = o.HTTPClient
		o.HTTPClient = w
	}
}

// Do implements [sqs.HTTPClient].
func (w *watchedLine) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.next.Do(r)
	if err != nil {
		return resp, err
	}
	w.mu.Lock()
	w.begun = time.Now()
	w.mu.Unlock()
	w.silence.Reset(pollGrace)
	resp.Body = &watchedBody{resp.Body, w}
	return resp, nil
}

func (w *watchedLine) begunAt() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun
}

type watchedBody struct {
	io.ReadCloser
	line *watchedLine
}

// Read implements [io.Reader].
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.line.silence.Reset(pollGrace)
		b.line.alive()
	}
	return n, err
}

// toMessage returns a received message with LastReceive and QueueURL set.
func (c *client) toMessage(from types.Message, redrive redrivePolicy) Message {
	var m Message
	m.Read(from)
	m.LastReceive = redrive.maxReceives > 0 && m.ReceiveCount >= redrive.maxReceives
	m.QueueURL = c.cfg.QueueURL
	return m
}

// Read sets m to a message from ReceiveMessage. A missing or malformed attribute leaves the field's
// zero value, and ReceiveCount is at least 1. LastReceive and QueueURL stay zero. Delete and Extend
// of m return an error.
func (m *Message) Read(from types.Message) {
	count, _ := strconv.Atoi(from.Attributes["ApproximateReceiveCount"])
	*m = Message{
		ID:             aws.ToString(from.MessageId),
		Body:           aws.ToString(from.Body),
		ReceiptHandle:  aws.ToString(from.ReceiptHandle),
		ReceiveCount:   max(1, count),
		SentAt:         epochMillis(from.Attributes["SentTimestamp"]),
		FirstReceived:  epochMillis(from.Attributes["ApproximateFirstReceiveTimestamp"]),
		SenderID:       from.Attributes["SenderId"],
		GroupID:        from.Attributes["MessageGroupId"],
		DedupID:        from.Attributes["MessageDeduplicationId"],
		SequenceNumber: from.Attributes["SequenceNumber"],
		TraceHeader:    from.Attributes["AWSTraceHeader"],
		Attributes:     from.MessageAttributes,
	}
}

func epochMillis(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// wholeSecondsUp returns d in seconds, rounded up.
func wholeSecondsUp(d time.Duration) int32 {
	return int32(min(math.MaxInt32, (d+time.Second-1)/time.Second))
}

// change sets a new visibility timeout for a receipt handle.
type change struct {
	receipt    string
	visibility time.Duration
}

type entryAnswer = batch.Answer[struct{}]

// delete makes one DeleteMessageBatch call.
func (c *client) delete(ctx context.Context, receipts []string) []entryAnswer {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: position(i), ReceiptHandle: &receipts[i]}
	}
	start := time.Now()
	out, err := c.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &c.cfg.QueueURL, Entries: entries})
	if err != nil {
		return c.allFailed("DeleteMessageBatch", len(receipts), err)
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("DeleteMessageBatch", start, len(receipts), done, out.Failed)
}

// change makes one ChangeMessageVisibilityBatch call.
func (c *client) change(ctx context.Context, changes []change) []entryAnswer {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	for i := range changes {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: position(i), ReceiptHandle: &changes[i].receipt, VisibilityTimeout: wholeSecondsUp(changes[i].visibility),
		}
	}
	start := time.Now()
	out, err := c.queue.ChangeMessageVisibilityBatch(ctx,
		&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &c.cfg.QueueURL, Entries: entries})
	if err != nil {
		return c.allFailed("ChangeMessageVisibilityBatch", len(changes), err)
	}
	done := make([]string, len(out.Successful))
	for i, s := range out.Successful {
		done[i] = aws.ToString(s.Id)
	}
	return c.answers("ChangeMessageVisibilityBatch", start, len(changes), done, out.Failed)
}

// position returns the entry ID of the i-th entry of a batch. Message IDs would not be unique,
// because a batch may hold two deliveries of one message.
func position(i int) *string { return &positions[i] }

var positions = func() (ids [batchSize]string) {
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}()

// answers returns the answer to each entry of a batch call. An entry that the response does not
// mention has failed.
func (c *client) answers(
	operation string, start time.Time, n int, done []string, failed []types.BatchResultErrorEntry,
) []entryAnswer {
	result := each(n, batch.ErrNoAnswer)
	for _, id := range done {
		if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < n {
			result[i].Err = nil
		}
	}
	for _, f := range failed {
		if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil && i >= 0 && i < n {
			result[i].Err = &entryError{aws.ToString(f.Code), aws.ToString(f.Message)}
		}
	}
	bad := 0
	for _, a := range result {
		if a.Err != nil {
			bad++
			c.failed(operation, a.Err)
		}
	}
	c.hooks.answered(operation, n, bad, time.Since(start))
	return result
}

// allFailed returns the answers of a call that failed as a whole.
func (c *client) allFailed(operation string, n int, err error) []entryAnswer {
	c.failed(operation, err)
	return each(n, err)
}

// each returns the same answer for n entries.
func each(n int, err error) []entryAnswer {
	result := make([]entryAnswer, n)
	for i := range result {
		result[i].Err = err
	}
	return result
}

// failed logs and reports a failed call or entry.
func (c *client) failed(operation string, err error) {
	if !isReceiptLost(err) { // a lost receipt is logged where it is known whether it matters
		c.log.Warn("SQS call failed", "operation", operation, "error", err)
	}
	c.hooks.failed(operation, err)
}

// entryError is the failure of one entry of a batch.
type entryError struct{ code, message string }

func (e *entryError) Error() string { return fmt.Sprintf("%s: %s", e.code, e.message) }

// errorCode returns SQS's error code without the prefix of the query protocol.
func errorCode(err error) string {
	code := ""
	if e, ok := errors.AsType[*entryError](err); ok {
		code = e.code
	} else if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	return strings.TrimPrefix(code, "AWS.SimpleQueueService.")
}

// isReceiptLost reports whether SQS no longer accepts the receipt handle: the message was deleted,
// became visible, or was received again. It compares codes, because SQS also marks a throttled
// entry as the sender's fault.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
func isReceiptLost(err error) bool {
	if _, ok := errors.AsType[*entryError](err); !ok {
		return false
	}
	switch errorCode(err) {
	case "ReceiptHandleIsInvalid", "MessageNotInflight",
		"InvalidParameterValue": // the code for an expired receipt handle of a FIFO queue
		return true
	}
	return false
}

// isFatal reports whether repeating a call to the queue cannot succeed.
func isFatal(err error) bool {
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		return true
	}
	if _, ok := errors.AsType[*entryError](err); ok {
		return false
	}
	switch errorCode(err) {
	case "AccessDenied", "AccessDeniedException", "InvalidAddress", "NonExistentQueue":
		return true
	}
	return false
}

// isRefused reports whether this queue will never accept this message. Errors of the queue's KMS
// key have two names: the name of the shape, and the name with a dot of the query protocol, which
// the SDK prefers.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors
func isRefused(err error) bool {
	if isFatal(err) {
		return true
	}
	switch code := errorCode(err); code {
	case "InvalidMessageContents", "InvalidParameterValue", "MissingParameter", "InvalidAttributeValue",
		"UnsupportedOperation", "BatchRequestTooLong", "AccessDenied", "AccessDeniedException":
		return true
	case "KmsThrottled", "KMS.ThrottlingException":
		return false
	default:
		return strings.HasPrefix(code, "Kms") || strings.HasPrefix(code, "KMS.")
	}
}
