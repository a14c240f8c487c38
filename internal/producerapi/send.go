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
	callDeadline = 5 * time.Second // of one SendMessageBatch, including the SDK's retries
)

// notByItself is the detail of a problem that only an operator can solve; see isFinal.
const notByItself = "SQS refuses the messages of this server; a retry does not help"

// pauses are the pauses between tries to send.
var pauses = backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second}

// outgoing is an entry to send.
type outgoing struct {
	ctx   context.Context //nolint:containedctx // its values are the trace of the call
	entry types.SendMessageBatchRequestEntry
	size  int
}

// accepted is SQS's answer to an accepted entry.
type accepted struct{ messageID string }

// refused is the error of an entry that SQS refuses for good.
type refused struct{ code, message string }

// Error implements error.
func (e *refused) Error() string { return fmt.Sprintf("SQS refused it: %s: %s", e.code, e.message) }

// newSender returns a batcher that combines single posts into calls. On a FIFO queue it makes one
// call at a time, because concurrent calls could overtake each other.
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

// send sends one message, and returns after SQS has accepted this message of its call. The error is
// a [*problem].
func (a *API) send(ctx context.Context, m message, generation protocol.Version) (accepted, error) {
	took, err := a.hand(ctx, m, generation)
	a.sent(err)
	return took, err
}

// sent reports the outcome of a message to Config.Sent. err is nil or a [*problem].
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
			return accepted{}, unavailable(notByItself, err)
		}
		if errors.Is(err, batch.ErrClosed) || pauses.Wait(ctx, try) != nil {
			return accepted{}, notAccepted(err)
		}
	}
}

func notAccepted(cause error) error {
	return unavailable("SQS did not accept the message in time; sending it again is safe", cause)
}

// entry returns the message as an entry of a call. callBatch sets its id.
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

// texts yields the names and values of the message attributes.
func (m message) texts(yield func(name, value string) bool) {
	if !yield(names.NameAttribute, m.name) || m.trace != "" && !yield("traceparent", m.trace) {
		return
	}
	// Workers take a message with a reason for a redriven one, and may try its rejected name again.
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

// attributes returns the message attributes for SQS.
func (m message) attributes() map[string]types.MessageAttributeValue {
	attributes := make(map[string]types.MessageAttributeValue)
	for name, value := range m.texts {
		attributes[name] = types.MessageAttributeValue{DataType: aws.String(typeOfAttributes), StringValue: &value}
	}
	return attributes
}

// size returns the bytes that SQS counts: the body, and the names, types and values of the
// attributes.
func (m message) size() int {
	size := len(m.body)
	for name, value := range m.texts {
		size += len(name) + len(typeOfAttributes) + len(value)
	}
	return size
}

// sendBatch makes one call and returns a result for every entry. If SQS refuses the whole call
// because of its content, sendBatch sends each entry alone, so that only the bad entry fails.
func (a *API) sendBatch(items []outgoing) (answers []batch.Answer[accepted]) {
	// On this goroutine of the batcher a panic would end the process.
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

// callBatch makes one SendMessageBatch call. Its error is about the whole call: a [*refused], or an
// error that a later try may not have.
func (a *API) callBatch(items []outgoing) ([]batch.Answer[accepted], error) {
	answers := make([]batch.Answer[accepted], len(items))
	entries := make([]types.SendMessageBatchRequestEntry, len(items))
	for i, it := range items {
		entries[i] = it.entry
		entries[i].Id = aws.String(strconv.Itoa(i))
		answers[i].Err = batch.ErrNoAnswer
	}
	// The call continues for the other callers if one gives up.
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

// entryFailed is the temporary error of an entry.
type entryFailed struct{ code, message string }

// Error implements error.
func (e *entryFailed) Error() string { return fmt.Sprintf("SQS failed: %s: %s", e.code, e.message) }

// classify returns a [*refused] if the call failed because of its content. All other failures are
// not the client's: outages, throttling, a missing queue or denied access.
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

// isFinal reports whether only an operator can make SQS accept messages of this server, so that a
// retry does not help.
func (a *API) isFinal(err error) bool {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code := strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
		return slices.Contains(finalCodes, code)
	}
	_, unsigned := errors.AsType[*v4.SigningError](err)
	return unsigned || a.cfg.Embedded && nothingListens(err)
}

// finalCodes are error codes about the queue and the server's credentials.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var finalCodes = []string{
	"AccessDenied", "AccessDeniedException", "NonExistentQueue", "QueueDoesNotExist", "InvalidAddress",
	"ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId", "InvalidSecurity",
	"MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
	"KmsAccessDenied", "KmsDisabled", "KmsNotFound", "KmsOptInRequired",
}

// nothingListens reports whether the address has no server.
func nothingListens(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED)
}
