package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/attributes"
)

// watch sees everything that happens, and knows what must not. Its rules are
// written from the prose of DESIGN.md, not from the code.
type watch struct {
	w *world

	mu         sync.Mutex
	trace      []byte
	violations []string
	faults     map[string]int
	stats      Stats
	names      map[string]*name    // by record id
	messages   map[string]*message // by message id
	receipts   map[string]*message
	asked      map[string]time.Time // last begin of the handling, by receipt
	inHand     map[string]*process  // who handles it now, by receipt
	inTrouble  map[*process]bool    // their calls to SQS have met faults
	groups     map[string][]*message

	beatTrouble  map[*process]bool   // their changes of visibility have met faults
	storeTrouble map[*process]bool   // their calls to the store have met faults
	runs         map[string]*attempt // the last one, by receipt
	tries        map[string]int      // failed ones in place, by receipt

	inside   map[*process]int // handlers at work
	progress progress
}

// name is what is known of one name.
type name struct {
	label    string
	claims   map[protocol.Version]claim
	running  []*attempt
	highest  protocol.Version  // fence of an attempt that has begun
	faultsBy map[*process]bool // processes whose calls about it have met faults
	lateBy   map[*process]bool // processes whose calls about it may have come late
	reopened time.Time         // last time that one was
	spent    map[string]bool   // redrive orders, by the message's id
	opened   time.Time         // last time that the payload changed
	busy     time.Time         // until then the target may be at work on a request that was cut off
}

// claim is who holds a fence, and how often it had been paused by then.
type claim struct {
	p      *process
	pauses int
	at     time.Time
}

// attempt is a handler at work.
type attempt struct {
	ctx     context.Context // looked at: whether it has been cancelled
	name    *name
	fence   protocol.Version
	p       *process
	message *message
	receipt string
	began   time.Time
	done    bool // the work

	cancelled bool // and gave up for it
}

// message is a message with one id: copies of it are the same.
type message struct {
	label, body, group string
	record             string // id
	redriven           bool
	deliveries         int
	received           time.Time              // last
	receipt            string                 // of that
	givenUp            map[*process]time.Time // begin of the handling there that decided to dead-letter it, which may take long to carry out
	holder             *process
	begun              int // attempts
	begins             []time.Time
	copied             int // to the dead-letter queue by us
	deleted            bool
	moved              bool // redriven from the dead-letter queue
	excuses            []string
	taken              bool // over: the last answer was that somebody else has the name
}

func (m *message) id() string { return m.record }

func (m *message) excuse(why string) {
	if !slices.Contains(m.excuses, why) {
		m.excuses = append(m.excuses, why)
	}
}

func (m *message) unexcuse(why string) {
	m.excuses = slices.DeleteFunc(m.excuses, func(e string) bool { return e == why })
}

func (m *message) excused(by ...string) bool {
	for _, e := range m.excuses {
		if slices.Contains(by, e) {
			return true
		}
	}
	return false
}

// mayShow reports whether something may have made the message visible while it
// is held.
func (m *message) mayShow() bool {
	return slices.ContainsFunc(m.excuses, func(e string) bool { return !strings.HasPrefix(e, onDelete) })
}

func newWatch(w *world) *watch {
	return &watch{
		w: w, faults: make(map[string]int), names: make(map[string]*name), messages: make(map[string]*message),
		receipts: make(map[string]*message), inTrouble: make(map[*process]bool), asked: make(map[string]time.Time), inHand: make(map[string]*process), groups: make(map[string][]*message),
		beatTrouble: make(map[*process]bool), storeTrouble: make(map[*process]bool), runs: make(map[string]*attempt), tries: make(map[string]int),
		inside: make(map[*process]int),
	}
}

// hooks count what guards tell.
func (v *watch) hooks() dedupe.Hooks {
	count := func(n *int) {
		v.mu.Lock()
		defer v.mu.Unlock()
		*n++
	}
	return dedupe.Hooks{
		TookOver:      func(dedupe.Attempt) { count(&v.stats.TookOver) },
		LeaseLost:     func(dedupe.Attempt) { count(&v.stats.LeaseLost) },
		OwnWrite:      func(dedupe.Attempt, string) { count(&v.stats.OwnWrites) },
		CompletedLate: func(dedupe.Attempt) { count(&v.stats.CompletedLate) },
		Replayed: func(_ dedupe.Attempt, kind string) {
			if kind == "joined" {
				count(&v.stats.Joined)
			}
		},
	}
}

// note adds a line to the trace.
func (v *watch) note(fields ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(fields...)
}

func (v *watch) line(fields ...string) {
	v.trace = strconv.AppendInt(v.trace, int64(time.Since(v.w.start)), 10)
	for _, f := range fields {
		v.trace = append(append(v.trace, ' '), f...)
	}
	v.trace = append(v.trace, '\n')
	v.stats.Events++
}

// violate notes that a promise is broken. The caller holds mu.
func (v *watch) violate(format string, args ...any) {
	text := fmt.Sprintf("%s: ", time.Since(v.w.start)) + fmt.Sprintf(format, args...)
	v.line("VIOLATION", text)
	if len(v.violations) < 20 {
		v.violations = append(v.violations, text)
	}
}

func (v *watch) fault(op string, f fate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults[op+": "+string(f)]++
}

// name returns what is known of the name with a record id. The caller holds mu.
func (v *watch) name(id string) *name {
	n := v.names[id]
	if n == nil {
		n = &name{label: id, claims: make(map[protocol.Version]claim), spent: make(map[string]bool), faultsBy: make(map[*process]bool), lateBy: make(map[*process]bool)}
		v.names[id] = n
	}
	return n
}

// sent notes a new message. It is known before anybody can receive it.
func (v *watch) sent(body, group string, redriven bool, send func() (id string)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := send()
	if v.messages[id] != nil {
		return
	}
	name, _, _ := strings.Cut(body, "|")
	m := &message{
		label: fmt.Sprintf("m%d", len(v.messages)), body: body, group: group, redriven: redriven,
		record: protocol.RecordID(v.w.scope, name),
	}
	v.messages[id] = m
	v.groups[group] = append(v.groups[group], m)
	v.name(m.id())
	v.line("send", m.label, body, group)
}

func (v *watch) redriven(m types.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.original(m); old != nil {
		old.moved = true
		v.line("redrive", old.label)
	}
}

// original is the message that stands in the dead-letter queue: SQS has moved
// it, or m is its copy. The caller holds mu.
func (v *watch) original(m types.Message) *message {
	if id, ok := m.MessageAttributes[attributes.OriginalID]; ok {
		if old := v.messages[aws.ToString(id.StringValue)]; old != nil && v.messages[*m.MessageId] == nil {
			return old
		}
	}
	return v.messages[*m.MessageId]
}

// received notes that SQS has handed messages out.
func (v *watch) received(p *process, messages []types.Message, duplicated bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, sent := range messages {
		m := v.messages[*sent.MessageId]
		v.receipts[*sent.ReceiptHandle] = m
		m.deliveries++
		v.stats.Deliveries++
		if duplicated {
			m.excuse("duplicated")
		}
		if h := m.holder; h != nil && !h.isDead() && !v.beatTrouble[h] && !m.mayShow() {
			v.violate("%s is delivered to %s while %s holds it", m.label, p.label, h.label)
		}
		if _, paused := p.pauseState(); paused {
			m.excuse("paused")
		}
		if p.isDead() {
			m.excuse("crashed")
		}
		m.holder, m.received, m.receipt = p, time.Now(), *sent.ReceiptHandle
		v.line(p.label, "receives", m.label, sent.Attributes["ApproximateReceiveCount"])
	}
}

// unheard notes that the answer with these messages was lost.
func (v *watch) unheard(p *process, messages []types.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, sent := range messages {
		m := v.messages[*sent.MessageId]
		m.excuse("receive unheard")
		if m.holder == p {
			m.holder = nil
		}
	}
}

// handling notes that a process begins to handle a delivery.
func (v *watch) handling(p *process, m consumer.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[m.ReceiptHandle] = time.Now()
	v.inHand[m.ReceiptHandle] = p
}

// handled notes that the handling has ended.
func (v *watch) handled(m consumer.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.inHand, m.ReceiptHandle)
}

// decided notes what a process does with a message.
func (v *watch) decided(p *process, m consumer.Message, d consumer.Disposition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.messages[m.ID]
	known.taken = errors.Is(d.Err, dedupe.ErrLeaseLost) && !errors.Is(d.Err, dedupe.ErrUnavailable)
	if known.taken {
		known.unexcuse(storeTrouble) // it has told the worker what it needs to know
	}
	v.answered(p, m, known, d.Err)
	v.inPlace(p, m, known, d)
	v.line(p.label, "decides", known.label, d.Action.String(), d.Reason, outcomeOf(d.Err))
	switch d.Action {
	case consumer.Keep:
		known.excuse("kept")
		known.holder = nil
	case consumer.Release, consumer.Defer:
		known.holder = nil
	case consumer.DeadLetter:
		if known.givenUp == nil {
			known.givenUp = make(map[*process]time.Time)
		}
		known.givenUp[p] = v.asked[m.ReceiptHandle]
	}
}

// label names a receipt's message.
func (v *watch) label(receipt string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.receipts[receipt].label
}

func (v *watch) labelOf(id string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m := v.messages[id]; m != nil {
		return m.label
	}
	return "unknown"
}

// labelsOf names the messages with these ids, whatever the order.
func (v *watch) labelsOf(ids map[string]string) string {
	labels := make([]string, 0, len(ids))
	for _, id := range ids {
		labels = append(labels, v.labelOf(id))
	}
	slices.Sort(labels)
	return strings.Join(labels, ",")
}

// keyOf names a batch by what is in it, whatever the order.
func (v *watch) keyOf(receipts []string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	labels := make([]string, len(receipts))
	for i, r := range receipts {
		labels[i] = v.receipts[r].label
	}
	slices.Sort(labels)
	return strings.Join(labels, ",")
}

func (v *watch) excuse(id, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m := v.messages[id]; m != nil {
		m.excuse(why)
	}
}

func (v *watch) excuseReceipt(receipt, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.receipts[receipt].excuse(why)
}

// onDelete marks the excuses of deletes: until its deletion is answered, a
// message stays hidden all the same.
const onDelete = "delete: "

// faulty excuses the messages of a call that has met a fault.
func (v *watch) faulty(receipts []string, on string) func(fate) {
	return func(f fate) {
		for _, r := range receipts {
			v.excuseReceipt(r, on+string(f))
		}
	}
}

// queueFault notes that a call to SQS has met a fault: what stands behind it in
// a batcher may find no time before the process ends.
func (v *watch) queueFault(p *process, op string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inTrouble[p] = true
	switch op {
	case "change":
		v.beatTrouble[p] = true
	case "receive": // its answer may take half a minute to be given up
		v.progress = progress{}
	}
}

// storeFault notes that a call about these records has met a fault.
func (v *watch) storeFault(p *process, f fate, ids ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.storeTrouble[p] = true
	for _, id := range ids {
		v.name(id).faultsBy[p] = true
		if f == late {
			v.name(id).lateBy[p] = true
		}
	}
}
