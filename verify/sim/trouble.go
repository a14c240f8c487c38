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

// Trouble is what single messages meet while everything else works: messages
// that cannot be handled, targets that take their time, a dead-letter queue that
// cannot be written to. It must not keep the others from being handled; see
// [watch.progress].
type Trouble struct {
	Poison  int // names that the target answers with an error of its own, each time
	Failing int // names that fail like the work itself, each time
	Denied  int // names that fail for good: each is dead-lettered
	Unnamed int // messages that have no name: each is dead-lettered

	Tenants, PerTenant int  // tenants whose dependency is down, and the names of each
	Backlog            bool // they are there before the workers
	Depth              int  // messages behind each of the above in its group, of a FIFO queue

	Hanging int // names whose work takes Hang
	Hang    time.Duration
	CutOff  int // names whose first attempt is cut off, while the target may be at work for Hang
	Admits  int // requests a second that the target admits in all; it refuses the others for now. 0: it admits all

	NoKey bool // the dead-letter queue's key is denied: nothing can be copied to it
	Idle  bool // workers are paused: nothing is begun, which must be seen
}

// badEach is the most names per worker that cannot be handled.
const badEach = 60

// NewTroubled draws a plan of single messages in trouble. The faults of calls
// are few in it, processes live, and no name comes twice.
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
		// A worker whose slots all hang would leave its share of the others to the rest.
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

// bodies lists the messages in trouble: kind and number, "|1".
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

// kindOf is the kind of a message in trouble, "" of the others.
func kindOf(body string) string {
	kind, _, ok := strings.Cut(body, "-")
	if !ok {
		return ""
	}
	return kind
}

// troubled draws when the messages in trouble come: before most others.
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

// sendAs sends a message to a group, where the queue has groups.
func (w *world) sendAs(body, group string) {
	in := &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: &body}
	if w.plan.FIFO {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("g-"+strings.TrimSuffix(group, "|1")), aws.String(body)
	}
	w.put(in, false)
}

// refusal is the answer of a target that has no time now: nothing has happened.
type refusal struct{ after time.Duration }

func (refusal) Error() string { return "sim: too many requests" }

// Down implements what dedupe asks for.
func (refusal) Down() bool { return true }

// Refused implements what consumer asks for.
func (refusal) Refused() bool { return true }

// RetryAfter implements what consumer asks for.
func (r refusal) RetryAfter() time.Duration { return r.after }

// cutOff is the error of a request whose answer did not come: the target may be at work until then.
type cutOff struct{ until time.Time }

func (cutOff) Error() string { return "sim: cut off" }

// RunningUntil implements what dedupe asks for.
func (c cutOff) RunningUntil() time.Time { return c.until }

// errUnnamed is what becomes of a message that has no name.
var errUnnamed = permanent{errors.New("sim: no name")}

// meetTrouble is what an attempt on a message in trouble comes to; nil for the others.
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

// admit reports whether the target takes one more request in this second.
func (w *world) admit(most int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if second := int64(time.Since(w.start) / time.Second); second != w.second {
		w.second, w.admitted = second, 0
	}
	w.admitted++
	return w.admitted <= most
}

// suspectAfter is how many different messages in a row make a target suspect.
const suspectAfter = 5

// judge is what the caller of a target makes of its answers: after five
// different messages in a row with an error of their own, and no success
// between, the target may be at fault. A message that failed in such a time,
// which another's success has ended, is at fault itself.
type judge struct {
	mu     sync.Mutex
	failed map[string]bool // guarded by mu; in a row
	own    map[string]bool // guarded by mu; at fault themselves
}

// fail returns what the failure of a message counts as.
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

// succeeded notes a success.
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

// noKey is SQS's answer to a copy for a dead-letter queue whose key is denied,
// as the SDK's client has it: the name of the Query protocol, in its own type.
func noKey() error {
	return &types.KmsAccessDenied{
		Message:           aws.String("The ciphertext refers to a customer master key that does not exist, or you are not allowed to access it"),
		ErrorCodeOverride: aws.String("KMS.AccessDeniedException"),
	}
}
