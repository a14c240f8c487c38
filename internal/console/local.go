package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Bounds of a replay.
const (
	maxReplayCount       = 10_000
	maxReplayConcurrency = 64
	replayStep           = 100 * time.Millisecond // between two lines of progress
	replayTime           = 5 * time.Minute
)

// Send is a message for the queue.
type Send struct {
	Name string `json:"name"`
	Body string `json:"body,omitempty"` // default {"name": Name}
}

// check returns s with its default, or what is wrong with it.
func (s Send) check() (Send, error) {
	if err := protocol.CheckName(s.Name); err != nil {
		return s, err
	}
	if s.Body == "" {
		body, err := json.Marshal(map[string]string{"name": s.Name})
		if err != nil {
			return s, fmt.Errorf("body for %q: %w", s.Name, err)
		}
		s.Body = string(body)
	}
	return s, nil
}

func (c *panel) postSend(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in Send
	if !read(w, r, &in) {
		return
	}
	in, err := in.check()
	if err != nil {
		problem(w, http.StatusBadRequest, clip(err.Error(), maxErrorKept))
		return
	}
	log(r.Context(), acted, "name", in.Name, "bytes", len(in.Body))
	id, err := c.send(r.Context(), in)
	if err != nil {
		problem(w, http.StatusBadGateway, clip(err.Error(), maxErrorKept))
		return
	}
	answer(w, map[string]string{"status": "done", "message_id": id})
}

// send puts a message on the queue and returns its id.
func (c *panel) send(ctx context.Context, s Send) (string, error) {
	ctx, cancel := context.WithTimeout(ours(ctx), queueCallTime)
	defer cancel()
	out, err := c.queue.Queue.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &c.queue.QueueURL, MessageBody: &s.Body,
		MessageAttributes: map[string]types.MessageAttributeValue{consumer.AttrName: text(s.Name)},
	})
	if err != nil {
		return "", fmt.Errorf("send %q: %w", s.Name, err)
	}
	return aws.ToString(out.MessageId), nil
}

// Replay asks for duplicates of one message.
type Replay struct {
	Send
	Count       int `json:"count"`       // messages; default 100, at most 10,000
	Concurrency int `json:"concurrency"` // senders; default 10, at most 64
}

// ReplayStep says how a replay stands.
type ReplayStep struct {
	Accepted     int     `json:"accepted"`   // messages that the queue took
	Handled      int     `json:"handled"`    // runs that completed
	Failed       int     `json:"failed"`     // runs that did not
	Running      int     `json:"running"`    // runs at work
	Suppressed   int     `json:"suppressed"` // duplicates that were answered instead of run
	Deferred     int     `json:"deferred"`   // times that one was deferred
	DeadLettered int     `json:"dead_lettered"`
	Open         int     `json:"open"` // messages not done with
	Seconds      float64 `json:"seconds"`
	Done         bool    `json:"done"`
	Error        string  `json:"error,omitempty"` // why it ended early
}

// check returns r with its defaults, or what is wrong with it.
func (r Replay) check() (Replay, error) {
	r.Count, r.Concurrency = cmp.Or(r.Count, 100), cmp.Or(r.Concurrency, 10)
	var err error
	r.Send, err = r.Send.check()
	if r.Count < 1 || r.Count > maxReplayCount {
		err = errors.Join(err, fmt.Errorf("count %d: must be 1 to %d", r.Count, maxReplayCount))
	}
	if r.Concurrency < 1 || r.Concurrency > maxReplayConcurrency {
		err = errors.Join(err, fmt.Errorf("concurrency %d: must be 1 to %d", r.Concurrency, maxReplayConcurrency))
	}
	return r, err
}

// postReplay sends duplicates of one message on purpose and tells, while they
// are worked on, how many were handled and how many suppressed.
func (c *panel) postReplay(w http.ResponseWriter, r *http.Request, log actionLog) {
	var in Replay
	if !read(w, r, &in) {
		return
	}
	in, err := in.check()
	if err != nil {
		problem(w, http.StatusBadRequest, clip(err.Error(), maxErrorKept))
		return
	}
	counts, unfollow, ok := c.queue.History.follow(in.Name)
	if !ok {
		c.refuse(w, r, http.StatusTooManyRequests, "replay", "too many replays at a time")
		return
	}
	defer unfollow()
	log(r.Context(), acted, "name", in.Name, "count", in.Count, "concurrency", in.Concurrency)

	ctx, cancel := context.WithTimeout(r.Context(), replayTime)
	defer cancel()
	start := time.Now()
	var accepted atomic.Int64
	var senders errgroup.Group
	senders.SetLimit(in.Concurrency + 1)
	senders.Go(func() error {
		for range in.Count {
			senders.Go(func() error {
				if _, err := c.send(ctx, in.Send); err != nil {
					cancel()
					return err
				}
				accepted.Add(1)
				return nil
			})
		}
		return nil
	})

	p := newProgress(w)
	tick := time.NewTicker(replayStep)
	defer tick.Stop()
	for {
		step := stepOfReplay(c.queue.History.read(counts), int(accepted.Load()), time.Since(start))
		if step.Accepted == in.Count && step.Open == 0 {
			step.Done = true
			p.step(step)
			_ = senders.Wait() // all have sent: none failed
			return
		}
		if ctx.Err() != nil {
			if err := senders.Wait(); err != nil {
				step.Error = clip(err.Error(), maxErrorKept)
			} else {
				step.Error = "not done in time"
			}
			p.step(step)
			return
		}
		p.step(step)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func stepOfReplay(w watch, accepted int, took time.Duration) ReplayStep {
	return ReplayStep{
		Accepted: accepted, Handled: w.handled, Failed: w.failed, Running: max(0, w.running), Suppressed: w.suppressed,
		Deferred: w.deferred, DeadLettered: w.deadLettered, Open: max(0, accepted-w.ended), Seconds: round(took.Seconds()),
	}
}

// watch counts what happens to one name, for the replay that asked for it.
type watch struct {
	name string

	// guarded by the history's mu
	running      int // attempts at work
	handled      int // attempts that completed
	failed       int // attempts that ended in another way
	suppressed   int // duplicates that were answered
	deferred     int // times that a duplicate was deferred
	ended        int // messages deleted or dead-lettered
	deadLettered int // of these
}

// follow starts to count what happens to name. The caller has to call the
// returned function in the end. It reports false when too many are followed.
func (h *History) follow(name string) (w *watch, unfollow func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watches) >= maxWatches {
		return nil, nil, false
	}
	w = &watch{name: name}
	h.watches[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watches, w)
	}, true
}

// read returns w as it is now.
func (h *History) read(w *watch) watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *w
}

// count lets those who follow name count. The caller holds mu.
func (h *History) count(name string, count func(*watch)) {
	for w := range h.watches {
		if w.name == name {
			count(w)
		}
	}
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}
