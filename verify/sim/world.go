package sim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// service is a service that can be down as a whole.
type service int

const (
	storeDown service = iota
	queueDown
	targetDown
	services
)

// world is the state of a run.
type world struct {
	plan  Plan
	dice  dice
	wire  wire
	keep  keeper
	scope string // of the records
	watch *watch
	start time.Time

	queueURL, dlqURL string

	pending sync.WaitGroup // delayed events
	over    chan struct{}  // closed at the end; delayed events no longer happen

	mu     sync.Mutex
	hosts  []*process      // guarded by mu; the present process of each host
	lives  []int           // guarded by mu
	all    []*process      // guarded by mu
	offset []time.Duration // guarded by mu; of clocks
	drift  []float64       // fixed
	cuts   []int           // guarded by mu; running cuts from the store, by host
	downs  [services]int   // guarded by mu; running outages
	calm   bool            // guarded by mu; faults have ended

	second   int64 // guarded by mu; the second of the target's last request
	admitted int   // guarded by mu; requests in that second

	late atomic.Int64 // number of timers that were set to fire late

	ending bool // guarded by mu; no more restarts
}

// Run makes the run of a plan with its records in memory. It must be called in a synctest bubble.
// It returns after the end of every goroutine of the run.
func Run(plan Plan) *Report {
	return run(plan, "sim", func(w *world) keeper { return &inMemory{w: w, base: memstore.New()} })
}

func run(plan Plan, scope string, keep func(*world) keeper) *Report {
	w := &world{
		plan: plan, dice: dice{plan.Seed}, wire: wire{sqstest.New(sqstest.Config{})},
		scope: scope, start: time.Now(), over: make(chan struct{}),
		hosts: make([]*process, plan.Workers), lives: make([]int, plan.Workers),
		offset: make([]time.Duration, plan.Workers), drift: make([]float64, plan.Workers), cuts: make([]int, plan.Workers),
	}
	w.watch, w.keep = newWatch(w), keep(w)
	if plan.Late > 0 {
		running.Store(w)
		defer running.Store(nil)
	}
	w.createQueues()
	w.setClocks()
	events := w.timeline()
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	first := slices.IndexFunc(events, func(e event) bool { return e.at >= 0 })
	for _, e := range events[:max(0, first)] {
		e.do()
	}
	for host := range plan.Workers {
		w.boot(host)
	}
	if w.plan.Trouble != (Trouble{}) {
		w.watchProgress()
	}
	w.play(events[max(0, first):])
	if plan.Live {
		w.settle()
	}
	w.finish()
	return w.watch.report()
}

// event is an action at a time since the start.
type event struct {
	at time.Duration
	do func()
}

// play runs the events at their times, then waits for the end of the chaos.
func (w *world) play(events []event) {
	for _, e := range events {
		time.Sleep(time.Until(w.start.Add(e.at)))
		e.do()
	}
	time.Sleep(time.Until(w.start.Add(w.plan.Chaos)))
}

// timeline draws the events of a run: messages, crashes, outages.
func (w *world) timeline() []event {
	var events []event
	chaos := w.plan.Chaos
	put := func(kind string, n int, do func(r *rand.Rand) func()) {
		for i := range n {
			r := w.dice.roll(kind, "", i)
			events = append(events, event{between(r, 0, chaos), do(r)})
		}
	}
	for i := range w.plan.Messages {
		r := w.dice.roll("message", "", i)
		at := between(r, 0, chaos*3/4)
		if w.plan.Bursts {
			at = at.Truncate(30*time.Second) + between(r, 0, 20*time.Millisecond)
		}
		events = append(events, event{at, func() { w.send(r, i) }})
	}
	put("crash", w.plan.Crashes, func(r *rand.Rand) func() { return func() { w.pickHost(r).crash() } })
	put("restart", w.plan.Restarts, func(r *rand.Rand) func() { return func() { w.restart(w.pickHost(r)) } })
	put("pause", w.plan.Pauses, func(r *rand.Rand) func() {
		return func() { w.pause(w.pickHost(r), between(r, time.Second, w.plan.MaxPause)) }
	})
	for s, n := range []int{w.plan.StoreOutages, w.plan.QueueOutages, w.plan.TargetOutages} {
		put([]string{"store", "queue", "target"}[s]+" outage", n, func(r *rand.Rand) func() {
			return func() { w.outage(service(s), between(r, time.Second, 5*time.Minute)) }
		})
	}
	put("cut", w.plan.Cuts, func(r *rand.Rand) func() {
		return func() { w.cut(r.IntN(w.plan.Workers), between(r, w.plan.Lease, 3*w.plan.Lease)) }
	})
	put("clock", w.plan.Steps, func(r *rand.Rand) func() { return func() { w.stepClock(r) } })
	put("redrive", w.plan.Redrives, func(*rand.Rand) func() { return w.redrive })
	return append(events, w.troubled()...)
}

// now returns p during the chaos, and 0 afterwards.
func (w *world) now(p float64) float64 {
	if w.isCalm() {
		return 0
	}
	return p
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *world) storeRates() Rates {
	if w.isCalm() {
		return Rates{}
	}
	return w.plan.Store
}

func (w *world) queueRates() Rates {
	if w.isCalm() {
		return Rates{}
	}
	return w.plan.Queue
}

func (w *world) isDown(s service) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.downs[s] > 0 && !w.calm
}

func (w *world) outage(s service, d time.Duration) {
	w.watch.fault("outage", fate([]string{"store", "queue", "target"}[s]))
	w.mu.Lock()
	w.downs[s]++
	w.mu.Unlock()
	w.later(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.downs[s]--
	})
}

// cut disconnects one host from the store for d. Its leases lapse while its handlers run, and other
// workers take over.
func (w *world) cut(host int, d time.Duration) {
	w.watch.fault("outage", "one host")
	change := func(by int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cuts[host] += by
	}
	change(1)
	w.later(d, func() { change(-1) })
}

func (w *world) isCut(host int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts[host] > 0 && !w.calm
}

// later calls do after d, unless the run has ended.
func (w *world) later(d time.Duration, do func()) {
	w.pending.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			do()
		case <-w.over:
		}
	})
}

// boot starts a new process of a host's worker.
func (w *world) boot(host int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return
	}
	w.lives[host]++
	p, err := newProcess(w, host, w.lives[host])
	if err != nil {
		panic(err) // an invalid plan is a fault of this package
	}
	w.hosts[host] = p
	w.all = append(w.all, p)
}

// restartLater boots a host some time after the death of its process.
func (w *world) restartLater(p *process) {
	r := w.dice.roll("reboot", p.label, 0)
	w.later(between(r, 100*time.Millisecond, 2*time.Minute), func() { w.boot(p.host) })
}

// restart stops a worker gracefully and boots its host after the worker has ended.
func (w *world) restart(p *process) {
	p.terminate()
	w.pending.Go(func() {
		<-p.ended
		if p.hasCrashed() {
			return // which boots it again
		}
		time.Sleep(between(w.dice.roll("reboot", p.label, 0), time.Millisecond, 10*time.Second))
		if w.present(p.host) == p {
			w.boot(p.host)
		}
	})
}

func (w *world) pause(p *process, d time.Duration) {
	if p.pause() {
		w.watch.paused(p)
		w.later(d, p.resume)
	}
}

func (w *world) pickHost(r *rand.Rand) *process { return w.present(r.IntN(w.plan.Workers)) }

func (w *world) present(host int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[host]
}

// setClocks draws the offset and the drift of every host's clock, together within half of the
// plan's bound.
func (w *world) setClocks() {
	for i := range w.offset {
		w.offset[i], w.drift[i] = w.drawOffset(w.dice.roll("offset", "", i)), 0
		if w.plan.Clock > 0 {
			r := w.dice.roll("drift", "", i)
			w.drift[i] = (2*r.Float64() - 1) * 0.1 * float64(w.plan.Clock) / float64(w.plan.Chaos)
		}
	}
}

func (w *world) drawOffset(r *rand.Rand) time.Duration {
	if w.plan.Clock == 0 {
		return 0
	}
	return time.Duration((r.Float64() - 0.5) * 0.75 * float64(w.plan.Clock))
}

func (w *world) stepClock(r *rand.Rand) {
	host, offset := r.IntN(w.plan.Workers), w.drawOffset(r)
	w.watch.fault("clock", "step")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset[host] = offset
}

// clock returns the time of a host's clock.
func (w *world) clock(host int) time.Time { return time.Now().Add(w.off(host)) }

// off returns the time by which a host's clock is ahead.
func (w *world) off(host int) time.Duration {
	drifted := min(time.Since(w.start), w.plan.Chaos)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offset[host] + time.Duration(w.drift[host]*float64(drifted))
}

func (w *world) record(id string) protocol.Record { return w.keep.record(id) }

func (w *world) createQueues() {
	suffix, attributes := "", map[string]string{}
	if w.plan.FIFO {
		suffix, attributes = ".fifo", map[string]string{"FifoQueue": "true"}
	}
	w.dlqURL = w.createQueue("dead"+suffix, attributes)
	attributes["RedrivePolicy"] = fmt.Sprintf(
		`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead%s","maxReceiveCount":%d}`, suffix, w.plan.MaxReceives)
	w.queueURL = w.createQueue("work"+suffix, attributes)
}

func (w *world) createQueue(name string, attributes map[string]string) string {
	var out sqs.CreateQueueOutput
	w.must(w.wire.call(context.Background(), "CreateQueue", &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes}, &out))
	return *out.QueueUrl
}

func (w *world) must(err error) {
	if err != nil {
		panic(err) // these calls have no faults
	}
}

// send sends the i-th message: first one of each name, then duplicates.
func (w *world) send(r *rand.Rand, i int) {
	n := i
	if n >= w.plan.Names {
		n = r.IntN(w.plan.Names)
	}
	body := fmt.Sprintf("n%d|1", n)
	if chance(r, w.plan.Mismatch) {
		body = fmt.Sprintf("n%d|2", n)
	}
	in := &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: &body}
	if w.plan.FIFO {
		in.MessageGroupId = aws.String(fmt.Sprintf("g%d", n%w.plan.Groups))
		in.MessageDeduplicationId = aws.String(fmt.Sprint(i))
	}
	w.put(in, false)
}

func (w *world) put(in *sqs.SendMessageInput, redriven bool) {
	w.watch.sent(*in.MessageBody, aws.ToString(in.MessageGroupId), redriven, func() string {
		var out sqs.SendMessageOutput
		w.must(w.wire.call(context.Background(), "SendMessage", in, &out))
		return *out.MessageId
	})
}

// redrive sends the dead letters again as the command does: new messages with the old attributes.
func (w *world) redrive() {
	for i, m := range w.receive(w.dlqURL) {
		time.Sleep(between(w.dice.roll("redrive", "", i), time.Microsecond, time.Millisecond))
		_, reason := m.MessageAttributes[consumer.AttrReason]
		in := &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
		if w.plan.FIFO {
			in.MessageGroupId = aws.String(m.Attributes["MessageGroupId"])
			in.MessageDeduplicationId = aws.String("redrive-" + *m.MessageId)
		}
		w.put(in, reason)
		w.watch.redriven(m)
		w.must(w.wire.call(context.Background(), "DeleteMessage",
			&sqs.DeleteMessageInput{QueueUrl: &w.dlqURL, ReceiptHandle: m.ReceiptHandle}, &struct{}{}))
	}
}

// receive receives up to ten messages from a queue.
func (w *world) receive(url string) []types.Message {
	var out sqs.ReceiveMessageOutput
	w.must(w.wire.call(context.Background(), "ReceiveMessage", &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 12 * 3600, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}, &out))
	return out.Messages
}

// namer is the namer of the simulation's messages.
type namer struct{}

// Extract implements [sqsonce.Namer].
func (namer) Extract(m names.Message) (names.Named, error) {
	if kindOf(m.Body) == "unnamed" {
		return names.Named{}, errUnnamed
	}
	name, _, _ := strings.Cut(m.Body, "|")
	return names.Named{Name: name, Fingerprint: names.Fingerprint(fingerprint(m.Body)), Body: m.Body}, nil
}

func fingerprint(body string) protocol.Fingerprint {
	var f protocol.Fingerprint
	f[0] = 1
	sum := sha256.Sum256([]byte(body))
	copy(f[5:], sum[:])
	return f
}
