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
	// askTimeout bounds a question to SQS that a client waits for.
	askTimeout = 3 * time.Second
	// readyFor is how long an answer to GET /readyz stands, good or bad, so
	// that nobody can have SQS asked without end.
	readyFor = time.Second
)

// Depth is how many messages a queue holds, as far as SQS knows: its counts
// are approximate.
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

// CheckQueue asks SQS about the queue. The error wraps that of the SDK, among them
// [types.QueueDoesNotExist].
func (a *API) CheckQueue(ctx context.Context) error {
	_, err := a.depth(ctx, a.cfg.QueueURL)
	return err
}

// depth asks how many messages a queue holds. The error is a *[problem].
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
		return Depth{}, unavailable("SQS did not say how many messages there are", err)
	}
	var n [len(counts)]int
	for i, name := range counts {
		if n[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return Depth{}, unavailable("SQS did not say how many messages there are", fmt.Errorf("%s: %w", name, err))
		}
	}
	return Depth{Visible: n[0], InFlight: n[1], Delayed: n[2]}, nil
}

// health is the answer of both probes.
type health struct {
	Status string `json:"status" enum:"ok"`
}

// getHealth answers GET /healthz: the process is there. It asks nobody else,
// because a restart would not mend them.
func (a *API) getHealth(*exchange, *struct{}) (*response[health], error) {
	return answer(http.StatusOK, health{"ok"}), nil
}

// readiness remembers what the queue said last. The zero value is ready to use.
type readiness struct {
	mu     sync.Mutex
	latest *readyAnswer // guarded by mu; nil: nobody has asked
}

// readyAnswer is an answer, or one that is on its way.
type readyAnswer struct {
	done chan struct{} // closed when it is there
	at   time.Time     // when it came; zero: it never did
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

// ask returns the latest answer while that stands, waits for the one that is on
// its way, or else puts the question. One who asks and goes does not spoil the
// answer for the others: the question has its own bound.
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
	answer := &readyAnswer{done: make(chan struct{}), err: unavailable("SQS was not asked", nil)}
	r.latest = answer
	r.mu.Unlock()
	defer close(answer.done) // even of a panic
	answer.err = question(context.WithoutCancel(ctx))
	answer.at = time.Now()
	return answer.err
}

// isOld reports whether the question has to be put again.
func (a *readyAnswer) isOld() bool {
	select {
	case <-a.done:
		return time.Since(a.at) > readyFor
	default:
		return false
	}
}
