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
	replayStep           = 100 * time.Millisecond // between lines of progress
	replayTime           = 5 * time.Minute
)

// Send is a message to send.
type Send struct {
	Name string `json:"name"`
	Body string `json:"body,omitempty"` // default {"name": Name}
}

// check returns s with its default, or an error.
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

// send sends a message and returns its id.
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

// Replay is a request for duplicates of one message.
type Replay struct {
	Send
	Count       int `json:"count"`       // number of messages; default 100, at most 10,000
	Concurrency int `json:"concurrency"` // concurrent senders; default 10, at most 64
}

// ReplayStep is the progress of a replay.
type ReplayStep struct {
	Accepted     int     `json:"accepted"`   // messages accepted by the queue
	Handled      int     `json:"handled"`    // runs that completed
	Failed       int     `json:"failed"`     // runs that failed
	Running      int     `json:"running"`    // runs under way
	Suppressed   int     `json:"suppressed"` // duplicates that were answered without a run
	Deferred     int     `json:"deferred"`   // deferrals of duplicates
	DeadLettered int     `json:"dead_lettered"`
	Open         int     `json:"open"` // messages that have not ended
	Seconds      float64 `json:"seconds"`
	Done         bool    `json:"done"`
	Error        string  `json:"error,omitempty"` // error that ended it early
}

// check returns r with its defaults, or an error.
func (r Replay) check() (Replay, error) {
	r.Count, r.Concurrency = cmp.Or(r.Count, 100), cmp.Or(r.Concurrency, 10)
	var err error
	r.Send, err = r.Send.check()
	if r.Count < 1 || r.Count > maxReplayCount {
		err = errors.Join(err, fmt.Errorf("count %d: must be from 1 to %d", r.Count, maxReplayCount))
	}
	if r.Concurrency < 1 || r.Concurrency > maxReplayConcurrency {
		err = errors.Join(err, fmt.Errorf("concurrency %d: must be from 1 to %d", r.Concurrency, maxReplayConcurrency))
	}
	return r, err
}

// postReplay sends duplicates of one message, and reports the handled and suppressed ones while
// they are handled.
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
		c.refuse(w, r, http.StatusTooManyRequests, "replay", "too many replays are running")
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
			_ = senders.Wait() // nil, because all were accepted
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

// watch counts the events of one name for a replay.
type watch struct {
	name string

	// guarded by the history's mu
	running      int // attempts under way
	handled      int // attempts that completed
	failed       int // attempts that ended otherwise
	suppressed   int // duplicates that were answered without a run
	deferred     int // deferrals of a duplicate
	ended        int // messages deleted or dead-lettered
	deadLettered int // those of ended that were dead-lettered
}

// follow starts to count the events of name. The caller must call the returned func at the end. It
// returns false if too many names are followed.
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

// read returns the current counts.
func (h *History) read(w *watch) watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *w
}

// count adds to the counts of every replay of name. The caller holds mu.
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
