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
	// leastPayloadMemory is what all payloads at work may have together, in bytes,
	// unless --s3-max is more.
	leastPayloadMemory = 64 << 20
	// payloadTimeout bounds one fetch, the tries of the SDK included.
	payloadTimeout = time.Minute
)

// objects is what of S3 is needed.
type objects interface {
	GetObject(ctx context.Context, in *s3.GetObjectInput, more ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// payloads fetches from S3 what messages point to. It implements
// [sqsonce.Payloads].
type payloads struct {
	objects objects
	max     int64               // bytes of one
	memory  *semaphore.Weighted // bytes of all at work
	doubts  doubts
}

// newPayloads returns what fetches payloads with these settings; nil if nothing does.
func (c queueSettings) newPayloads(cfg aws.Config, log *slog.Logger) *payloads {
	if !c.S3Payloads {
		return nil
	}
	return &payloads{
		objects: s3.NewFromConfig(cfg, func(o *s3.Options) {
			o.UsePathStyle = o.BaseEndpoint != nil // a local server has no names for buckets
			o.DisableLogOutputChecksumValidationSkipped = true
		}),
		max: c.S3Max, memory: semaphore.NewWeighted(max(c.S3Max, leastPayloadMemory)),
		doubts: doubts{after: c.SuspectAfter, log: log},
	}
}

// Fetch implements [sqsonce.Payloads]. It waits for memory before it asks for the
// object, so that no answer lies open meanwhile: for as much as the sender says, or
// else for the most that there may be.
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
		size = p.max // its sender has said less than there is
	}
}

// ofLetters fetches the payloads of dead letters, which are read for their names; nil if p is.
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

var errMoreMemory = errors.New("the object is larger than the memory for it")

// get reads an object of at most room bytes. Its error is a [*payloadError],
// [errMoreMemory], or that of ctx.
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
		err = fmt.Errorf("%d bytes came of %d", read, size)
	}
	if err != nil {
		return "", 0, p.failed(ctx, from, err)
	}
	return b.String(), size, nil
}

func (p *payloads) tooLarge(size int64) error {
	return &payloadError{kind: badPointer, reason: "payload too large", err: fmt.Errorf("has %d bytes, more than --s3-max %d", size, p.max)}
}

// failed is the error of a fetch that has failed, unless ctx has ended.
func (p *payloads) failed(ctx context.Context, from names.Pointer, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("fetch: %w", context.Cause(ctx))
	}
	kind := weighPayload(err)
	if kind == doubtful && p.doubts.suspects(from, err) {
		kind = outage
	}
	reasons := map[fault]string{badPointer: "payload missing", doubtful: "payload not readable"}
	return &payloadError{kind: kind, reason: reasons[kind], err: err}
}

// fault says whose fault it is that a payload could not be fetched.
type fault uint8

const (
	badPointer fault = iota // the message's: no retry can cure it
	doubtful                // the message's, or a missing permission's: S3 refuses the request
	outage                  // S3's, or the network's
	slower                  // S3 wants fewer requests
)

// weighPayload says whose fault the error of a fetch is.
//
// S3 answers 404 NoSuchKey for an object that does not exist to those who may list
// the bucket (s3:ListBucket), and 403 AccessDenied to all others:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
// It asks for fewer requests by 503 SlowDown:
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

// payloadError says why a payload could not be fetched.
type payloadError struct {
	kind   fault
	reason string // in a dead-letter queue; empty: it does not go there
	err    error
}

// Error implements error.
func (e *payloadError) Error() string { return e.err.Error() }

// Unwrap returns what failed.
func (e *payloadError) Unwrap() error { return e.err }

// Permanent reports whether no retry can fetch it.
func (e *payloadError) Permanent() bool { return e.kind == badPointer }

// Unavailable reports whether S3 cannot be used: the message waits in the worker.
func (e *payloadError) Unavailable() bool { return e.kind == outage }

// Refused reports whether S3 wants fewer requests.
func (e *payloadError) Refused() bool { return e.kind == slower }

// Reason names the error in a dead-letter queue.
func (e *payloadError) Reason() string { return e.reason }

// doubts tells a missing permission, or a wrong Region, from a message that points to
// where it may not: once S3 has refused several different objects in a row, with no
// answer between, the messages are not to blame.
type doubts struct {
	after int // so many; 0: never
	log   *slog.Logger

	mu      sync.Mutex
	refused []names.Pointer // guarded by mu; since the last answer, at most after
}

// suspects takes in a refusal and reports whether it is excused.
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
	d.log.Error("S3 refuses every payload; messages are held, and probed, until one can be fetched", "payload", from.String(), "error", err)
	return true
}

// answered takes in that S3 has handed out an object.
func (d *doubts) answered() {
	d.mu.Lock()
	known := d.after > 0 && len(d.refused) == d.after
	d.refused = nil
	d.mu.Unlock()
	if known {
		d.log.Info("S3 hands out payloads again")
	}
}
