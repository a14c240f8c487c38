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
	Visible  int `json:"visible"`
	InFlight int `json:"in_flight"`
	Delayed  int `json:"delayed"`
}

// getQueue answers GET /queue.
func (a *API) getQueue(c *exchange) error {
	d, err := a.depth(c.Context(), a.cfg.QueueURL)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	writeJSON(c.w, http.StatusOK, "application/json", d)
	return nil
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
	Status string `json:"status"` // ok
}

// getHealth answers GET /healthz: the process is there. It asks nobody else,
// because a restart would not mend them.
func (a *API) getHealth(c *exchange) error {
	c.w.Header().Set("Cache-Control", "no-store")
	writeJSON(c.w, http.StatusOK, "application/json", health{"ok"})
	return nil
}

// readiness remembers what the queue said last.
type readiness struct {
	mu    sync.Mutex
	asked time.Time // guarded by mu
	err   error     // guarded by mu
}

// getReady answers GET /readyz: the queue can be reached.
func (a *API) getReady(c *exchange) error {
	err, fresh := a.ready.last(c.began)
	if !fresh {
		_, err = a.depth(c.Context(), a.cfg.QueueURL)
		a.ready.note(c.began, err)
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	writeJSON(c.w, http.StatusOK, "application/json", health{"ok"})
	return nil
}

// last is what was noted, and whether that still stands.
func (r *readiness) last(now time.Time) (err error, fresh bool) { //nolint:revive // the error is a value here
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err, !r.asked.IsZero() && now.Sub(r.asked) <= readyFor
}

func (r *readiness) note(now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.err = now, err
}
