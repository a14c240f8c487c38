package sqsoncelambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/backoff"
)

// Reasons of messages that were not tried.
const (
	reasonUntried = "the invocation ended before it was tried"
	reasonHeldUp  = "held up and never tried"
)

// invocation is the work on one event.
type invocation struct {
	cfg   Config
	limit limit
	now   func() time.Time
	log   *slog.Logger
	jobs  []job
	ends  []end // by job; the zero value, that of a message never reached, is a failure
}

// run handles all messages of an event, and returns their ends when no work is under way any more
// and SQS knows when the remaining messages are visible again.
func (f *Function[R]) run(ctx context.Context, l limit, event events.SQSEvent) ([]end, error) {
	v := &invocation{cfg: f.cfg, limit: l, now: f.now, log: f.cfg.Guard.Logger}
	nameOf := sqsonce.NameOf(f.cfg.Namer)
	queues := make(map[string]*queue) // mostly one
	for _, r := range event.Records {
		q := queues[r.EventSourceARN]
		if q == nil {
			var err error
			if q, err = f.queue(ctx, r.EventSourceARN); err != nil {
				return nil, err
			}
			queues[r.EventSourceARN] = q
		}
		j := job{Message: q.message(r), queue: q}
		j.name = v.name(nameOf, j.Message)
		v.jobs = append(v.jobs, j)
	}
	v.ends = make([]end, len(v.jobs))
	v.all(ctx)
	v.release(ctx)
	return v.ends, nil
}

// name returns a message's name, or nothing. A panic of the namer comes again when the message is
// handled, and is its failure.
func (v *invocation) name(nameOf func(sqsonce.Message) (string, bool), m sqsonce.Message) (name string) {
	defer func() {
		if recover() != nil {
			name = ""
		}
	}()
	if found, ok := nameOf(m); ok {
		return found
	}
	return ""
}

// all handles all lanes in the order of the event, as many at a time as are allowed.
func (v *invocation) all(ctx context.Context) {
	if !v.limit.deadline.IsZero() {
		ctx = dedupe.WithLeaseEnd(ctx, v.limit.deadline)
		limited, cancel := context.WithDeadline(ctx, v.limit.work)
		defer cancel()
		ctx = limited
	}
	slots := make(chan struct{}, v.cfg.Concurrency)
	var running sync.WaitGroup
	for _, lane := range lanes(v.jobs) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			v.inLane(ctx, lane)
		})
	}
	running.Wait()
}

// handle takes a message to its end. On its last receive a message waits here when it would be
// deferred, as long as there is time: SQS would move it instead of delivering it again.
func (v *invocation) handle(ctx context.Context, j job) end {
	if !v.mayBegin() {
		return v.untried(ctx, j, reasonUntried)
	}
	for tries := 0; ; tries++ {
		err := v.call(ctx, j)
		d := consumer.Decide(err, j.Message, v.limits(tries, false))
		waits := d.Action == consumer.Park || d.Action == consumer.Hold
		if waits && v.wait(ctx, max(d.After, time.Second)) {
			continue
		}
		if waits {
			d = consumer.Decide(err, j.Message, v.limits(tries, true))
		}
		return v.conclude(ctx, j, d)
	}
}

// mayBegin reports whether work has enough time. It goes by the wall clock, because a function that
// was suspended has a monotonic clock that is behind.
func (v *invocation) mayBegin() bool {
	return v.limit.begin.IsZero() || v.now().Before(v.limit.begin)
}

// limits are those of a pool that stops: only a message on its last receive may wait here. over
// says that it may not either.
func (v *invocation) limits(tries int, over bool) consumer.Limits {
	return consumer.Limits{
		Backoff: v.cfg.Backoff, MaxBackoff: v.cfg.MaxBackoff,
		Stopping: true, Over: over, Tries: tries, Random: rand.Float64(),
	}
}

// wait waits for d, if enough time is left then.
func (v *invocation) wait(ctx context.Context, d time.Duration) bool {
	if !v.limit.begin.IsZero() && !v.now().Add(d).Before(v.limit.begin) {
		return false
	}
	return backoff.Sleep(ctx, d) == nil && v.mayBegin()
}

// call calls the handler once. Its panic is its error.
func (v *invocation) call(ctx context.Context, j job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return unsnoozed(j.queue.handle(ctx, j.Message))
}

// unsnoozed returns the error that a name is held elsewhere without the guard's wish to look again
// soon: in a worker the message waits where it is, but here each look would be a receive.
func unsnoozed(err error) error {
	if snoozed, ok := err.(interface{ Snoozed() bool }); ok && snoozed.Snoozed() {
		if held, ok := errors.AsType[*dedupe.InProgressError](err); ok {
			return held
		}
	}
	return err
}

// conclude carries out a decision, but for the message's visibility, and returns its end.
func (v *invocation) conclude(ctx context.Context, j job, d consumer.Disposition) end {
	if d.Action == consumer.Delete {
		return end{gone: true}
	}
	log := v.log.Warn
	if d.Action == consumer.Defer {
		log = v.log.Debug
	}
	log("not done", "name", j.name, "message_id", j.ID, "receive", j.ReceiveCount,
		"action", d.Action.String(), "after", d.After, "reason", d.Reason, "error", d.Err)
	switch {
	case d.Action == consumer.DeadLetter && v.deadLetter(ctx, j, d):
		return end{gone: true}
	case d.Action == consumer.Keep:
		return end{}
	case d.After == 0:
		// A copy that failed, or an error that names no delay. Here each try is a receive: in an
		// outage, which counts no attempt, the receives would soon be used up.
		d.After = v.backoff(j)
	}
	return end{changes: true, visible: v.now().Add(d.After)}
}

// backoff returns the delay after a failure that names none.
func (v *invocation) backoff(j job) time.Duration {
	return backoff.Policy{First: v.cfg.Backoff, Max: v.cfg.MaxBackoff}.Delay(j.ReceiveCount-1, nil)
}

// untried is the end of a message that was not handled: visible at once. SQS would move one on its
// last receive to the dead-letter queue for that, without a word; so it is copied, with the reason.
func (v *invocation) untried(ctx context.Context, j job, reason string) end {
	if j.LastReceive {
		return v.conclude(ctx, j, consumer.Disposition{Action: consumer.DeadLetter, Reason: reason, Attempts: j.ReceiveCount - 1})
	}
	return end{changes: true, visible: v.now()}
}

// behind is the end of a message behind one of its lane that stays in the queue. On a standard
// queue it is a duplicate, and has to wait as long, or on its last receive is handled all the
// same. On a FIFO queue it may be visible at once: SQS delivers no message of a group while an
// earlier one is in flight.
func (v *invocation) behind(ctx context.Context, j job, first end) end {
	e := first
	switch {
	case j.queue.fifo:
		e = v.untried(ctx, j, reasonHeldUp)
	case j.LastReceive:
		e = v.handle(ctx, j)
	}
	e.follower = !e.gone
	return e
}
