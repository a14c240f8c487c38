package producerapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/batch"
	"github.com/sqsonce/sqsonce/names"
)

const (
	maxEntries   = 10
	callDeadline = 5 * time.Second // of one SendMessageBatch, the SDK's own retries included
)

// pauses are the pauses between two tries to send.
var pauses = backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second}

// outgoing is an entry on its way.
type outgoing struct {
	ctx   context.Context //nolint:containedctx // its values, for the trace of the call that carries it
	entry types.SendMessageBatchRequestEntry
	size  int
}

// accepted is what SQS says of an entry it has taken.
type accepted struct{ messageID string }

// refused is an entry that SQS will not take, however often it is sent.
type refused struct{ code, message string }

// Error implements error.
func (e *refused) Error() string { return fmt.Sprintf("SQS refused it: %s: %s", e.code, e.message) }

// newSender gathers single posts into calls. On a FIFO queue one call is out at
// a time: two could overtake each other.
func newSender(cfg Config, send func([]outgoing) []batch.Answer[accepted]) *batch.Batcher[outgoing, accepted] {
	calls := batch.DefaultCalls
	if (&API{cfg: cfg}).fifo() {
		calls = 1
	}
	return batch.New(batch.Config[outgoing, accepted]{
		Send: send, Max: maxEntries, MaxBytes: maxBody, Calls: calls,
		Size: func(o outgoing) int { return o.size },
	})
}

// send hands one message to SQS and returns when SQS has accepted it: that
// message, not its batch. The error is a *[problem].
func (a *API) send(ctx context.Context, m message, generation protocol.Version) (accepted, error) {
	took, err := a.hand(ctx, m, generation)
	a.sent(err)
	return took, err
}

// sent tells what came of a message: err is nil, or a *[problem].
func (a *API) sent(err error) {
	switch {
	case a.cfg.Sent == nil:
	case err == nil:
		a.cfg.Sent("accepted")
	case asProblem(err).Status < http.StatusInternalServerError:
		a.cfg.Sent("refused")
	default:
		a.cfg.Sent("failed")
	}
}

func (a *API) hand(ctx context.Context, m message, generation protocol.Version) (accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.SendTimeout)
	defer cancel()
	out := outgoing{ctx: ctx, entry: a.entry(m, generation), size: m.size()}
	for try := 0; ; try++ {
		took, err := a.sender.Do(ctx, out)
		if err == nil {
			return took, nil
		}
		if no, ok := errors.AsType[*refused](err); ok {
			return accepted{}, badRequest("body", no.Error())
		}
		if a.isFinal(err) {
			return accepted{}, unavailable("SQS does not take messages of this server, and will not by itself", err)
		}
		if errors.Is(err, batch.ErrClosed) || pauses.Wait(ctx, try) != nil {
			return accepted{}, notAccepted(err)
		}
	}
}

func notAccepted(cause error) error {
	return unavailable("SQS did not accept the message in time; to send it again is safe", cause)
}

// entry is the message as SQS takes it; the batch gives it its id.
func (a *API) entry(m message, generation protocol.Version) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{
		MessageBody:       &m.body,
		MessageAttributes: m.attributes(),
		DelaySeconds:      m.delay,
	}
	if group := m.groupID(a.fifo()); group != "" {
		e.MessageGroupId = &group
	}
	if a.fifo() {
		e.MessageDeduplicationId = aws.String(m.deduplicationID(generation))
	}
	if m.xray != "" {
		e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &m.xray},
		}
	}
	return e
}

// texts are the names and values of the message attributes.
func (m message) texts(yield func(name, value string) bool) {
	if !yield(names.NameAttribute, m.name) || m.trace != "" && !yield("traceparent", m.trace) {
		return
	}
	// A message that was dead-lettered and comes back has a reason.
	if m.retry && !yield(consumer.AttrReason, "sent again to retry a rejected name") || m.carried == nil {
		return
	}
	for _, name := range m.carriedAttributes() {
		if !yield(name, m.carried[name]) {
			return
		}
	}
}

const typeOfAttributes = "String"

// attributes are the message attributes as SQS takes them.
func (m message) attributes() map[string]types.MessageAttributeValue {
	attributes := make(map[string]types.MessageAttributeValue)
	for name, value := range m.texts {
		attributes[name] = types.MessageAttributeValue{DataType: aws.String(typeOfAttributes), StringValue: &value}
	}
	return attributes
}

// size is what SQS counts of the message: its body, and the names, types and
// values of its attributes.
func (m message) size() int {
	size := len(m.body)
	for name, value := range m.texts {
		size += len(name) + len(typeOfAttributes) + len(value)
	}
	return size
}

// sendBatch makes one call, and gives every entry its own answer. Where SQS
// refuses the call as a whole for something in it, each entry is sent alone,
// so that only the one it is about fails.
func (a *API) sendBatch(items []outgoing) (answers []batch.Answer[accepted]) {
	// It runs on a goroutine of the batcher, where a panic would end the process.
	defer func() {
		if v := recover(); v != nil {
			answers = failAll(len(items), panicked(v))
		}
	}()
	answers, err := a.callBatch(items)
	if _, ok := errors.AsType[*refused](err); ok && len(items) > 1 {
		for i := range items {
			alone, err := a.callBatch(items[i : i+1])
			if err != nil {
				alone = failAll(1, err)
			}
			answers[i] = alone[0]
		}
		return answers
	}
	if err != nil {
		return failAll(len(items), err)
	}
	return answers
}

func failAll(n int, err error) []batch.Answer[accepted] {
	answers := make([]batch.Answer[accepted], n)
	for i := range answers {
		answers[i].Err = err
	}
	return answers
}

// callBatch is one SendMessageBatch. The error is that of the whole call: a
// *[refused], or one that a later try may cure.
func (a *API) callBatch(items []outgoing) ([]batch.Answer[accepted], error) {
	answers := make([]batch.Answer[accepted], len(items))
	entries := make([]types.SendMessageBatchRequestEntry, len(items))
	for i, it := range items {
		entries[i] = it.entry
		entries[i].Id = aws.String(strconv.Itoa(i))
		answers[i].Err = batch.ErrNoAnswer
	}
	// The call goes on for the others when one of its callers gives up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(items[0].ctx), callDeadline)
	defer cancel()
	out, err := a.cfg.SQS.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &a.cfg.QueueURL, Entries: entries})
	if err != nil {
		return answers, classify(err)
	}
	for _, ok := range out.Successful {
		if i, err := strconv.Atoi(aws.ToString(ok.Id)); err == nil && i >= 0 && i < len(answers) {
			answers[i] = batch.Answer[accepted]{Value: accepted{aws.ToString(ok.MessageId)}}
		}
	}
	for _, no := range out.Failed {
		if i, err := strconv.Atoi(aws.ToString(no.Id)); err == nil && i >= 0 && i < len(answers) {
			answers[i].Err = &entryFailed{aws.ToString(no.Code), aws.ToString(no.Message)}
			if no.SenderFault {
				answers[i].Err = &refused{aws.ToString(no.Code), aws.ToString(no.Message)}
			}
		}
	}
	return answers, nil
}

// entryFailed is an entry that SQS could not take just now.
type entryFailed struct{ code, message string }

// Error implements error.
func (e *entryFailed) Error() string { return fmt.Sprintf("SQS failed: %s: %s", e.code, e.message) }

// classify tells a call that no repetition can cure, because of what was sent,
// from every other failure: outages and throttling, but also a missing queue or
// denied access, which are ours to mend and not the client's.
func classify(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "InvalidMessageContents", "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
			"InvalidParameterValue", "InvalidAttributeValue", "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation":
			return &refused{api.ErrorCode(), api.ErrorMessage()}
		}
	}
	return fmt.Errorf("send a batch: %w", err)
}

// isFinal reports whether an operator has to do something before SQS takes
// messages of this server: a repetition alone changes nothing.
func (a *API) isFinal(err error) bool {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code := strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
		return slices.Contains(finalCodes, code)
	}
	_, unsigned := errors.AsType[*v4.SigningError](err)
	return unsigned || a.cfg.Embedded && nothingListens(err)
}

// finalCodes are errors about the queue and the server's credentials.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var finalCodes = []string{
	"AccessDenied", "AccessDeniedException", "NonExistentQueue", "QueueDoesNotExist", "InvalidAddress",
	"ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId", "InvalidSecurity",
	"MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
	"KmsAccessDenied", "KmsDisabled", "KmsNotFound", "KmsOptInRequired",
}

// nothingListens reports whether there is no server at the address.
func nothingListens(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED)
}
