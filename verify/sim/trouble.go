package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Trouble are faults of single messages: messages that always fail, slow targets, and a dead-letter
// queue that refuses messages. They must not delay other messages; see watch.progressed.
type Trouble struct {
	Poison  int // names for which the target always answers with an error
	Failing int // names whose handler always fails
	Denied  int // names that fail permanently and are dead-lettered
	Unnamed int // messages without a name, which are dead-lettered

	Tenants, PerTenant int  // tenants whose dependency is down, and the names of each
	Backlog            bool // the messages are sent before the workers start
	Depth              int  // messages behind each of the above in its group on a FIFO queue

	Hanging int // names whose handler takes Hang
	Hang    time.Duration
	CutOff  int // names whose first request is cut off, while the target may work on it for Hang
	Admits  int // requests a second that the target admits; it refuses others for now. 0: it admits all

	NoKey bool // the dead-letter queue's key is denied, so that every copy is refused
	Idle  bool // workers are paused, so that no handler begins, which the watch must report
}

// badEach is the maximum number of names per worker that cannot be handled.
const badEach = 60

// NewTroubled draws a plan with faults of single messages. It has few faults of calls, no deaths of
// processes, and no duplicates.
func NewTroubled(seed uint64) Plan {
	p := NewPlan(seed, true)
	r := dice{seed}.roll("trouble", "", 0)
	p = Plan{
		Seed: seed, Live: true, FIFO: chance(r, 0.4), MaxReceives: pick(r, 3, 5, 10, 100),
		Workers: pick(r, 1, 1, 2, 3), Concurrency: pick(r, 1, 2, 5, 12, 50),
		Visibility: p.Visibility, Lease: p.Lease, Skew: p.Skew, Drain: 25 * time.Second, MaxAttempts: pick(r, 2, 5, 5),
		Chaos: between(r, 5*time.Minute, 20*time.Minute), Settle: 6 * time.Hour, MaxPause: p.MaxPause,
	}
	p.Store.Hang, p.Queue.Hang = pick(r, 0, 0, 0.02), pick(r, 0, 0, 0.02)
	p.Names, p.Groups = 20+r.IntN(60), 1+r.IntN(20)
	p.Messages = p.Names
	bad := func() int {
		if chance(r, 0.5) {
			return 0
		}
		return 1 + r.IntN(badEach*p.Workers/4)
	}
	t := Trouble{Poison: bad(), Failing: bad(), Denied: bad(), Unnamed: bad() / 4}
	if chance(r, 0.3) {
		t.Poison, t.Failing, t.Denied = badEach*p.Workers, 0, 0
		p.Names, p.Messages = 20, 20
	} else if chance(r, 0.4) {
		t.Tenants = 1 + r.IntN(3)
		t.PerTenant = 1 + r.IntN(badEach*p.Workers/4/t.Tenants)
	}
	if p.FIFO && chance(r, 0.5) {
		t.Depth = r.IntN(4)
	}
	if chance(r, 0.3) {
		// A worker needs a slot that does not hang to handle its share of the other messages.
		t.Hanging, t.CutOff, t.Hang = min(r.IntN(3), p.Concurrency-1), r.IntN(12), between(r, 5*time.Minute, 40*time.Minute)
	}
	t.Backlog = chance(r, 0.5)
	t.Admits = pick(r, 0, 0, 0, 5, 20)
	t.NoKey = chance(r, 0.4)
	p.Trouble = t
	if len(t.bodies()) > badEach/2*p.Workers { // the pace of probes leaves no time for calls that hang
		p.Store.Hang, p.Queue.Hang = 0, 0
	}
	return p
}

// bodies lists the bodies of the messages in trouble: kind and number, then "|1".
func (t Trouble) bodies() (bodies []string) {
	add := func(kind string, n int) {
		for i := range n {
			bodies = append(bodies, fmt.Sprintf("%s-%d|1", kind, i))
		}
	}
	add("poison", t.Poison)
	add("failing", t.Failing)
	add("denied", t.Denied)
	add("unnamed", t.Unnamed)
	add("hanging", t.Hanging)
	add("cut", t.CutOff)
	for tenant := range t.Tenants {
		add(fmt.Sprintf("tenant%d", tenant), t.PerTenant)
	}
	return bodies
}

// kindOf returns the kind of a message in trouble, "" for other messages.
func kindOf(body string) string {
	kind, _, ok := strings.Cut(body, "-")
	if !ok {
		return ""
	}
	return kind
}

// troubled draws the times at which the messages in trouble are sent, before most others.
func (w *world) troubled() (events []event) {
	for i, body := range w.plan.Trouble.bodies() {
		r := w.dice.roll("troubled", "", i)
		at, last := between(r, 0, 20*time.Second), 20*time.Second
		if w.plan.Trouble.Backlog {
			at, last = between(r, -time.Second, -time.Millisecond), time.Millisecond
		}
		events = append(events, event{at, func() { w.sendAs(body, body) }})
		for n := range w.plan.Trouble.Depth {
			behind := fmt.Sprintf("behind.%s.%d|1", strings.ReplaceAll(strings.TrimSuffix(body, "|1"), "-", "."), n)
			events = append(events, event{at + between(r, 0, last), func() { w.sendAs(behind, body) }})
		}
	}
	return events
}

// sendAs sends a message, on a FIFO queue to the given group.
func (w *world) sendAs(body, group string) {
	in := &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: &body}
	if w.plan.FIFO {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("g-"+strings.TrimSuffix(group, "|1")), aws.String(body)
	}
	w.put(in, false)
}

// refusal is the error of a target that refuses a request for now, without an effect.
type refusal struct{ after time.Duration }

func (refusal) Error() string { return "sim: too many requests" }

// Down implements [failure.Down].
func (refusal) Down() bool { return true }

// Refused implements [failure.Refused].
func (refusal) Refused() bool { return true }

// RetryAfter implements [failure.RetryAfter].
func (r refusal) RetryAfter() time.Duration { return r.after }

// cutOff is the error of a request without an answer. The target may work on it until the given
// time.
type cutOff struct{ until time.Time }

func (cutOff) Error() string { return "sim: cut off" }

// RunningUntil implements [failure.StillRunning].
func (c cutOff) RunningUntil() time.Time { return c.until }

// errUnnamed is the error of a message without a name.
var errUnnamed = permanent{errors.New("sim: no name")}

// meetTrouble returns the error of an attempt on a message in trouble, nil for other messages.
func (p *process) meetTrouble(ctx context.Context, run *attempt, number int, r *rand.Rand) error {
	w, body := p.w, run.message.body
	if w.isCalm() {
		return nil
	}
	if t := w.plan.Trouble; t.Admits > 0 && !w.admit(t.Admits) {
		_ = p.work(ctx, between(r, time.Millisecond, 20*time.Millisecond))
		w.watch.fault("trouble", "refusal")
		return refusal{time.Second}
	}
	kind := kindOf(body)
	if kind != "" {
		w.watch.fault("trouble", fate(strings.TrimRight(kind, "0123456789")))
	}
	if kind != "" && kind != "hanging" {
		_ = p.work(ctx, between(r, time.Millisecond, 200*time.Millisecond))
	}
	switch {
	case kind == "poison":
		return p.target.fail(body)
	case kind == "failing":
		return errFailed
	case kind == "denied":
		return errPermanent
	case strings.HasPrefix(kind, "tenant"):
		return errDown
	case kind == "cut" && number == 1:
		until := p.now().Add(w.plan.Trouble.Hang)
		w.watch.cutOff(run, until)
		return cutOff{until}
	case kind == "hanging":
		return p.work(ctx, w.plan.Trouble.Hang)
	}
	return nil
}

// admit reports whether the target admits one more request in this second.
func (w *world) admit(most int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if second := int64(time.Since(w.start) / time.Second); second != w.second {
		w.second, w.admitted = second, 0
	}
	w.admitted++
	return w.admitted <= most
}

// suspectAfter is the number of different messages that must fail in a row to make a target
// suspect.
const suspectAfter = 5

// judge decides whether the target or the message is at fault. After five different messages have
// failed in a row without a success between, the target is suspect. A message that failed in such a
// series, which the success of another message has ended, is at fault itself.
type judge struct {
	mu     sync.Mutex
	failed map[string]bool // guarded by mu; messages that failed in a row
	own    map[string]bool // guarded by mu; messages that are at fault themselves
}

// fail returns the error for a failed message: its own, or that of a suspect target.
func (j *judge) fail(body string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.own[body] {
		return errFailed
	}
	if j.failed == nil {
		j.failed, j.own = make(map[string]bool), make(map[string]bool)
	}
	if j.failed[body] = true; len(j.failed) < suspectAfter {
		return errFailed
	}
	return errDown
}

// succeeded records a success.
func (j *judge) succeeded() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.failed) >= suspectAfter {
		for body := range j.failed {
			j.own[body] = true
		}
	}
	clear(j.failed)
}

// noKey returns SQS's error for a send to a queue whose key is denied, as the SDK's client returns
// it: the code of the Query protocol in a typed error.
func noKey() error {
	return &types.KmsAccessDenied{
		Message:           aws.String("The ciphertext refers to a customer master key that does not exist, or you are not allowed to access it"),
		ErrorCodeOverride: aws.String("KMS.AccessDeniedException"),
	}
}
