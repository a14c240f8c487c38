package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Stats count the events of a run.
type Stats struct {
	Events, Deliveries, Attempts, Effects, Writes, DeadLetters int
	Overlaps                                                   int // attempts that ran beside another, allowed with pauses and clocks beyond the skew
	Refused                                                    int // effects with a fence below the highest
	SQSMoved                                                   int // messages that SQS dead-lettered by itself
	Completed                                                  int // names
	TookOver, LeaseLost, OwnWrites, CompletedLate, Joined      int // see [dedupe.Hooks]
}

func (s *Stats) add(o Stats) {
	s.Events += o.Events
	s.Deliveries += o.Deliveries
	s.Attempts += o.Attempts
	s.Effects += o.Effects
	s.Writes += o.Writes
	s.DeadLetters += o.DeadLetters
	s.Overlaps += o.Overlaps
	s.Refused += o.Refused
	s.SQSMoved += o.SQSMoved
	s.Completed += o.Completed
	s.TookOver += o.TookOver
	s.LeaseLost += o.LeaseLost
	s.OwnWrites += o.OwnWrites
	s.CompletedLate += o.CompletedLate
	s.Joined += o.Joined
}

// Report is the result of a run.
type Report struct {
	Plan       Plan
	Violations []string
	Trace      []byte
	Hash       string
	Took       time.Duration // of virtual time
	Faults     map[string]int
	Stats      Stats
}

// settle ends all faults and waits until the queue is empty, at most for Plan.Settle.
func (w *world) settle() {
	w.mu.Lock()
	w.calm = true
	all := slices.Clone(w.all)
	w.mu.Unlock()
	for _, p := range all {
		p.resume()
	}
	for deadline := time.Now().Add(w.plan.Settle); time.Now().Before(deadline); time.Sleep(20*time.Second + 1) {
		if w.isEmpty() {
			return
		}
	}
	w.watch.unsettled()
}

// isEmpty reports whether the queue has no message, visible or not.
func (w *world) isEmpty() bool {
	var out sqs.GetQueueAttributesOutput
	w.must(w.wire.call(context.Background(), "GetQueueAttributes", &sqs.GetQueueAttributesInput{
		QueueUrl: &w.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	}, &out))
	for _, count := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		if n, _ := strconv.Atoi(out.Attributes[count]); n > 0 {
			return false
		}
	}
	return true
}

// finish stops all workers, waits for delayed events, and accounts for the remaining messages.
func (w *world) finish() {
	w.mu.Lock()
	w.ending = true
	all := slices.Clone(w.all)
	w.mu.Unlock()
	for i, p := range all {
		p.resume()
		p.terminate()
		time.Sleep(between(w.dice.roll("end", "", i), time.Microsecond, time.Second))
	}
	for _, p := range all {
		<-p.ended
	}
	time.Sleep(13 * time.Hour) // longer than abandoned handlers and every visibility timeout
	close(w.over)
	w.pending.Wait()

	dead := w.drain(w.dlqURL)
	left := w.drain(w.queueURL)
	dead = append(dead, w.drain(w.dlqURL)...) // the last receives have moved some messages
	w.watch.account(dead, left)
}

func (w *world) drain(url string) []types.Message {
	var all []types.Message
	for {
		messages := w.receive(url)
		if len(messages) == 0 {
			return all
		}
		all = append(all, messages...)
		for _, m := range messages {
			w.must(w.wire.call(context.Background(), "DeleteMessage",
				&sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}, &struct{}{}))
		}
	}
}

// unsettled checks that the queue has become empty in a liveness run.
func (v *watch) unsettled() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.inOrderOfSending() {
		if !m.deleted {
			v.violate("%s is still in the queue: record %q, holder %v", m.label, v.w.record(m.id()).Status, m.holder != nil)
		}
	}
}

func (v *watch) inOrderOfSending() []*message {
	all := slices.Collect(maps.Values(v.messages))
	slices.SortFunc(all, func(a, b *message) int {
		x, _ := strconv.Atoi(a.label[1:])
		y, _ := strconv.Atoi(b.label[1:])
		return x - y
	})
	return all
}

// account checks the end of every message.
func (v *watch) account(dead, left []types.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	place := make(map[*message]string)
	moved := make(map[string]bool) // names with a message that SQS moved, or that was dead-lettered without an outcome
	for _, m := range left {
		place[v.messages[*m.MessageId]] = "queue"
	}
	for _, m := range dead {
		old := v.original(m)
		place[old] = "dead-letter queue"
		reason := m.MessageAttributes[consumer.AttrReason].StringValue
		if v.messages[*m.MessageId] != nil && !(old.redriven && old.copied > 0) {
			v.stats.SQSMoved++
			moved[old.id()] = true
			v.line("SQS has moved", old.label)
			if len(old.excuses) == 0 && old.copied == 0 {
				v.violate("%s was dead-lettered by SQS after %d receives and %d attempts, for no reason", old.label, old.deliveries, old.begun)
			}
		} else if slices.Contains(unfinished, aws.ToString(reason)) {
			moved[old.id()] = true
		}
	}
	for id := range v.names {
		v.exactlyOnce(id)
	}
	for _, m := range v.inOrderOfSending() {
		if place[m] == "" && !m.deleted && !m.moved {
			v.violate("%s is lost", m.label)
		}
		if m.deleted && m.copied > 0 && !m.moved && place[m] != "dead-letter queue" {
			v.violate("%s was dead-lettered, and its copy is not there", m.label)
		}
		if rec := v.w.record(m.id()); v.w.plan.Live && place[m] != "queue" && !rec.Status.Final() && !moved[m.id()] && kindOf(m.body) != "unnamed" {
			v.violate("%s has left the queue, and its name is %q", m.label, rec.Status)
		}
	}
}

// exactlyOnce checks that the write in a handler's transaction has happened once if the name is
// completed, and not at all otherwise.
func (v *watch) exactlyOnce(id string) {
	rec, want := v.w.record(id), 0
	if rec.Status == protocol.Completed {
		want = 1
		v.stats.Completed++
	}
	if n := v.w.keep.counted(rec.Name); n != want {
		v.violate("%s is %q, and its transaction was written %d times", id, rec.Status, n)
	}
}

func (v *watch) report() *Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := v.w.late.Load(); n > 0 {
		v.faults["timer: late"] = int(n)
	}
	sum := sha256.Sum256(v.trace)
	return &Report{
		Plan: v.w.plan, Violations: v.violations, Trace: v.trace, Hash: hex.EncodeToString(sum[:8]),
		Took: time.Since(v.w.start) - 13*time.Hour, Faults: v.faults, Stats: v.stats,
	}
}
