package producerapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// askTimeout bounds a call to SQS for which a client waits.
	askTimeout = 3 * time.Second
	// readyFor is the lifetime of an answer to GET /readyz, which bounds the rate of calls to SQS.
	readyFor = time.Second
)

// Depth holds SQS's approximate numbers of messages in a queue.
type Depth struct {
	Visible  int `json:"visible" minimum:"0"`
	InFlight int `json:"in_flight" minimum:"0"`
	Delayed  int `json:"delayed" minimum:"0"`
}

// getQueue answers GET /queue.
func (a *API) getQueue(c *exchange, _ *struct{}) (*response[Depth], error) {
	d, err := a.depth(c.Context(), a.cfg.QueueURL)
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, d), nil
}

// CheckQueue checks that the queue exists and its attributes can be read. The error wraps the
// SDK's, such as [types.QueueDoesNotExist].
func (a *API) CheckQueue(ctx context.Context) error {
	_, err := a.depth(ctx, a.cfg.QueueURL)
	return err
}

// depth returns the numbers of messages in a queue. The error is a [*problem].
func (a *API) depth(ctx context.Context, queueURL string) (Depth, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	counts := [...]types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := a.cfg.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: counts[:]})
	if err != nil {
		return Depth{}, unavailable("the number of messages could not be read from SQS", err)
	}
	var n [len(counts)]int
	for i, name := range counts {
		if n[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return Depth{}, unavailable("the number of messages could not be read from SQS", fmt.Errorf("%s: %w", name, err))
		}
	}
	return Depth{Visible: n[0], InFlight: n[1], Delayed: n[2]}, nil
}

// health is the answer of both probes.
type health struct {
	Status string `json:"status" enum:"ok"`
}

// getHealth answers GET /healthz: the process is alive. It calls no other service, because a
// restart would not fix one.
func (a *API) getHealth(*exchange, *struct{}) (*response[health], error) {
	return answer(http.StatusOK, health{"ok"}), nil
}

// readiness caches the latest answer about the queue. The zero value is ready to use.
type readiness struct {
	mu     sync.Mutex
	latest *readyAnswer // guarded by mu; nil: none yet
}

// readyAnswer is an answer, complete or pending.
type readyAnswer struct {
	done chan struct{} // closed when the answer is complete
	at   time.Time     // set before done is closed; zero after a panic
	err  error
}

// getReady answers GET /readyz: the queue can be reached.
func (a *API) getReady(c *exchange, _ *struct{}) (*response[health], error) {
	err := a.ready.ask(c.Context(), func(ctx context.Context) error {
		_, err := a.depth(ctx, a.cfg.QueueURL)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, health{"ok"}), nil
}

// ask returns the latest answer unless it is old, waits for a pending one, or calls question. A
// caller whose ctx ends does not cancel question for the others.
func (r *readiness) ask(ctx context.Context, question func(context.Context) error) error {
	r.mu.Lock()
	if answer := r.latest; answer != nil && !answer.isOld() {
		r.mu.Unlock()
		select {
		case <-answer.done:
			return answer.err
		case <-ctx.Done():
			return unavailable("SQS has not answered yet", context.Cause(ctx))
		}
	}
	answer := &readyAnswer{done: make(chan struct{}), err: unavailable("SQS was not called", nil)}
	r.latest = answer
	r.mu.Unlock()
	defer close(answer.done) // also after a panic
	answer.err = question(context.WithoutCancel(ctx))
	answer.at = time.Now()
	return answer.err
}

// isOld reports whether the answer has expired.
func (a *readyAnswer) isOld() bool {
	select {
	case <-a.done:
		return time.Since(a.at) > readyFor
	default:
		return false
	}
}
