package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// settler settles messages by batches of deletes, visibility changes and dead-letter copies. Failed
// calls are retried, while the heartbeat continues, until SQS has answered.
type settler struct {
	deletes *batch.Batcher[string, struct{}] // of receipt handles
	changes *batch.Batcher[change, struct{}]
	copies  *batch.Batcher[*deadCopy, struct{}] // to the dead-letter queue
}

func newSettler(r *run) settler {
	return settler{
		deletes: batch.New(batch.Config[string, struct{}]{
			Max:  batchSize,
			Send: func(receipts []string) []entryAnswer { return r.client.delete(r.calls, receipts) },
		}),
		changes: batch.New(batch.Config[change, struct{}]{
			Max:  batchSize,
			Send: func(changes []change) []entryAnswer { return r.client.change(r.calls, changes) },
		}),
		copies: batch.New(batch.Config[*deadCopy, struct{}]{
			Max:      batchSize,
			Send:     func(copies []*deadCopy) []entryAnswer { return r.client.copy(r.calls, r.redrive.load().dlqURL, copies) },
			MaxBytes: maxMessageBytes, Size: (*deadCopy).bytes,
		}),
	}
}

func (s *settler) close() {
	s.deletes.Close()
	s.changes.Close()
	s.copies.Close()
}

// settle carries out the decision about a message and waits for SQS's answer. It reports whether
// the message has left the queue, as far as is known.
func (r *run) settle(d *delivery) (gone bool) {
	d.settled = true
	d.enter(phaseEnding)
	r.admission.ending(1)
	defer func() {
		r.heartbeat.remove(d)
		r.admission.ending(-1)
		r.hooks.ended(d.Message, d.end)
	}()
	switch {
	case d.deleted.Load(): // deleted by its handler
		return true
	case d.end.Action == Delete:
		return r.remove(r.calls, d)
	case d.end.Action == DeadLetter:
		delay, ok := r.deadLetter(d)
		if ok {
			return r.remove(r.calls, d)
		}
		r.release(d, delay)
	case d.end.Action == Release, d.end.Action == Defer:
		r.release(d, d.end.After)
	case d.end.Err != nil, d.LastReceive:
		r.log.Warn("message left to its visibility timeout", "name", d.name(), "message_id", d.ID,
			"receive", d.ReceiveCount, "error", d.end.Err)
	}
	return false
}

// remove deletes a message. If SQS no longer accepts its receipt handle, it counts as deleted here:
// the delivery that has replaced it will be found done.
func (r *run) remove(ctx context.Context, d *delivery) bool {
	err := r.insist("DeleteMessageBatch", d, isReceiptLost, func() error {
		_, err := r.settler.deletes.Do(ctx, d.ReceiptHandle)
		return err
	})
	return err == nil || isReceiptLost(err)
}

// release makes a message visible again after a delay. Its heartbeats have ended, because a late
// one would hide the message again. After the end of its visibility timeout it must not be
// released: a standard queue would accept the old receipt handle and show the delivery that another
// worker has.
func (r *run) release(d *delivery, after time.Duration) {
	if d.isLost(time.Now()) {
		r.log.Warn("message not released: its visibility timeout is over", "name", d.name(), "message_id", d.ID)
		return
	}
	left := time.Until(d.holdEnd()).Truncate(time.Second) // SQS's unit is seconds, and the value sent is rounded up
	after = max(0, min(after, left))
	_ = r.insist("ChangeMessageVisibilityBatch", d, isReceiptLost, func() error { // insist has logged the error
		return d.setVisibility(r.calls, after, func() { d.over = true })
	})
}

// setVisibility changes the visibility timeout and calls done after SQS has accepted it. No
// heartbeat is sent meanwhile.
func (d *delivery) setVisibility(ctx context.Context, after time.Duration, done func()) error {
	select {
	case d.visibility <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.visibility }()
	_, err := d.run.settler.changes.Do(ctx, change{d.ReceiptHandle, after})
	if err == nil {
		done()
	}
	return err
}

// insist repeats a call until it succeeds, has a final error, or the consumer has no time left. The
// heartbeat keeps the message invisible between the tries.
func (r *run) insist(operation string, d *delivery, final func(error) bool, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		if err == nil {
			return nil
		}
		if final(err) || !r.waitTogether(d, try) {
			r.log.Warn("message left to its visibility timeout", "name", d.name(), "message_id", d.ID,
				"operation", operation, "error", err)
			return err
		}
	}
}

// waitTogether waits until the next try, or until a stop shortens the wait. It returns false if no
// time is left.
func (r *run) waitTogether(d *delivery, try int) bool {
	if !r.isStopping() && backoff.Sleep(r.untilStop, r.untilTogether(d, try)) == nil {
		return true
	}
	return backoff.Sleep(r.calls, r.untilTogether(d, try)) == nil
}

// untilTogether returns the delay before the next try. All waiting messages of this process get the
// same end of the delay, so that they share their calls again. Each process has its own times.
func (r *run) untilTogether(d *delivery, try int) time.Duration {
	every := doubled(250*time.Millisecond, try, maxAckBackoff)
	if r.isStopping() {
		every = min(every, time.Second) // there may be no time for more than a few tries
	}
	spread := time.Duration(d.number) % time.Millisecond // keeps the order of arrival, and is shorter than a call
	return every - time.Since(r.begun)%every + spread
}

// deleteEarly implements [Message.Delete].
func (d *delivery) deleteEarly(ctx context.Context) error {
	_, err := d.run.settler.deletes.Do(ctx, d.ReceiptHandle)
	if err != nil && !isReceiptLost(err) {
		return err
	}
	d.deleted.Store(true)
	d.run.heartbeat.remove(d)
	return nil
}

// extendTo implements [Message.Extend].
func (d *delivery) extendTo(ctx context.Context, extend time.Duration) error {
	if extend <= 0 {
		return errors.New("consumer: extend: the time must be positive")
	}
	now := time.Now()
	extend = max(0, min(extend, d.holdEnd().Sub(now).Truncate(time.Second)))
	until := now.Add(extend)
	return d.setVisibility(ctx, extend, func() { d.visibleAt.Store(until.UnixNano()) })
}
