package workercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/semaphore"

	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/names"
)

const (
	// leastPayloadMemory bounds the bytes of all payloads in memory, unless --s3-max is larger.
	leastPayloadMemory = 64 << 20
	// payloadTimeout bounds one fetch, including the SDK's retries.
	payloadTimeout = time.Minute
)

// objects is the part of [*s3.Client] that payloads uses.
type objects interface {
	GetObject(ctx context.Context, in *s3.GetObjectInput, more ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// payloads fetches the payloads of messages from S3. It implements [sqsonce.Payloads].
type payloads struct {
	objects objects
	max     int64               // largest payload in bytes
	memory  *semaphore.Weighted // bytes of all payloads in memory
	doubts  doubts
}

// newPayloads returns the fetcher for these settings; nil without --s3-payloads.
func (c queueSettings) newPayloads(cfg aws.Config, log *slog.Logger) *payloads {
	if !c.S3Payloads {
		return nil
	}
	return &payloads{
		objects: s3.NewFromConfig(cfg, func(o *s3.Options) {
			o.UsePathStyle = o.BaseEndpoint != nil // a local server has no host names for buckets
			o.DisableLogOutputChecksumValidationSkipped = true
		}),
		max: c.S3Max, memory: semaphore.NewWeighted(max(c.S3Max, leastPayloadMemory)),
		doubts: doubts{after: c.SuspectAfter, log: log},
	}
}

// Fetch implements [sqsonce.Payloads]. It reserves memory before it requests the object, so that no
// connection stays open while it waits: the size in the pointer, or else the largest size.
func (p *payloads) Fetch(ctx context.Context, from names.Pointer) (string, func(), error) {
	if from.Size > p.max {
		return "", nil, p.tooLarge(from.Size)
	}
	size := from.Size
	if size == 0 {
		size = p.max
	}
	for {
		if err := p.memory.Acquire(ctx, size); err != nil {
			return "", nil, fmt.Errorf("memory for a payload: %w", err)
		}
		body, actual, err := p.get(ctx, from, size)
		if err == nil {
			p.memory.Release(size - actual)
			return body, func() { p.memory.Release(actual) }, nil
		}
		p.memory.Release(size)
		if !errors.Is(err, errMoreMemory) || size == p.max {
			return "", nil, err
		}
		size = p.max // the object is larger than its pointer says
	}
}

// ofLetters returns a func that fetches the payloads of dead letters, to read their names; nil if p
// is nil.
func (p *payloads) ofLetters() deadletter.Payloads {
	if p == nil {
		return nil
	}
	return func(ctx context.Context, at names.Pointer) (string, error) {
		body, release, err := p.Fetch(ctx, at)
		if err == nil {
			release()
		}
		return body, err
	}
}

var errMoreMemory = errors.New("the object is larger than the memory reserved for it")

// get reads an object of at most room bytes. Its error is a [*payloadError], [errMoreMemory], or
// the error of ctx.
func (p *payloads) get(ctx context.Context, from names.Pointer, room int64) (body string, size int64, err error) {
	limited, cancel := context.WithTimeout(ctx, payloadTimeout)
	defer cancel()
	out, err := p.objects.GetObject(limited, &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.Key})
	if err != nil {
		return "", 0, p.failed(ctx, from, err)
	}
	defer func() { _ = out.Body.Close() }()
	p.doubts.answered()
	size = aws.ToInt64(out.ContentLength)
	switch {
	case size > p.max:
		return "", 0, p.tooLarge(size)
	case size > room:
		return "", 0, errMoreMemory
	}
	var b strings.Builder
	b.Grow(int(size))
	read, err := io.Copy(&b, io.LimitReader(out.Body, size+1))
	if err == nil && read != size {
		err = fmt.Errorf("received %d of %d bytes", read, size)
	}
	if err != nil {
		return "", 0, p.failed(ctx, from, err)
	}
	return b.String(), size, nil
}

func (p *payloads) tooLarge(size int64) error {
	return &payloadError{kind: badPointer, reason: reasonTooLarge, err: fmt.Errorf("has %d bytes, more than --s3-max %d", size, p.max)}
}

// failed returns the [*payloadError] of a failed fetch, or the error of ctx if that has ended.
func (p *payloads) failed(ctx context.Context, from names.Pointer, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("fetch: %w", context.Cause(ctx))
	}
	kind := weighPayload(err)
	if kind == doubtful && p.doubts.suspects(from, err) {
		kind = outage
	}
	reasons := map[fault]string{badPointer: reasonMissing, doubtful: reasonUnreadable}
	return &payloadError{kind: kind, reason: reasons[kind], err: err}
}

// fault is the cause of a failed fetch.
type fault uint8

const (
	badPointer fault = iota // the message; no retry succeeds
	doubtful                // the message or a missing permission: S3 refuses the request
	outage                  // S3 or the network
	slower                  // S3 throttles requests
)

// weighPayload returns the cause of the error of a fetch.
//
// For a missing object, S3 answers 404 NoSuchKey if the caller has s3:ListBucket, and 403
// AccessDenied otherwise:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
// It throttles with 503 SlowDown:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func weighPayload(err error) fault {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; {
		case api.ErrorCode() == "NoSuchKey":
			return badPointer
		case throttled:
			return slower
		case isOutage(err):
			return outage
		default:
			return doubtful
		}
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.HTTPStatusCode() < http.StatusInternalServerError && answer.HTTPStatusCode() >= http.StatusMultipleChoices {
		return doubtful
	}
	return outage
}

// Reasons of dead letters whose payload could not be fetched.
const (
	reasonTooLarge   = "payload too large"
	reasonMissing    = "payload missing"
	reasonUnreadable = "payload not readable"
)

// payloadError is the error of a failed fetch.
type payloadError struct {
	kind   fault
	reason string // reason of the dead letter; empty: the message is not dead-lettered
	err    error
}

// Error implements error.
func (e *payloadError) Error() string { return e.err.Error() }

// Unwrap returns the error of the fetch.
func (e *payloadError) Unwrap() error { return e.err }

// Permanent reports whether no retry can succeed.
func (e *payloadError) Permanent() bool { return e.kind == badPointer }

// Unavailable reports whether S3 is down. The message then waits in the worker.
func (e *payloadError) Unavailable() bool { return e.kind == outage }

// Refused reports whether S3 throttles requests.
func (e *payloadError) Refused() bool { return e.kind == slower }

// Reason returns the reason of the dead letter.
func (e *payloadError) Reason() string { return e.reason }

// doubts distinguishes a missing permission or a wrong Region from a message with a bad pointer:
// once S3 has refused several different objects in a row, without a success between, refusals no
// longer count against messages.
type doubts struct {
	after int // number of objects; 0: never
	log   *slog.Logger

	mu      sync.Mutex
	refused []names.Pointer // guarded by mu; refused since the last success, at most after
}

// suspects adds a refusal. It returns false if the refusal counts against its message.
func (d *doubts) suspects(from names.Pointer, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.after == 0 || len(d.refused) == d.after {
		return d.after > 0
	}
	for _, before := range d.refused {
		if before == from {
			return false
		}
	}
	if d.refused = append(d.refused, from); len(d.refused) < d.after {
		return false
	}
	d.log.Error("S3 refuses every payload: messages are held and probed until one can be fetched", "payload", from.String(), "error", err)
	return true
}

// answered handles a successful answer of S3.
func (d *doubts) answered() {
	d.mu.Lock()
	known := d.after > 0 && len(d.refused) == d.after
	d.refused = nil
	d.mu.Unlock()
	if known {
		d.log.Info("payloads can be fetched from S3 again")
	}
}
