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

// watch records the events of a run and checks the rules. The rules are written from DESIGN.md, not
// from the code.
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
	inHand     map[string]*process  // the process that handles the delivery now, by receipt
	inTrouble  map[*process]bool    // processes whose calls to SQS have met faults
	groups     map[string][]*message

	beatTrouble  map[*process]bool   // processes whose changes of visibility have met faults
	storeTrouble map[*process]bool   // processes whose calls to the store have met faults
	runs         map[string]*attempt // the last attempt, by receipt
	tries        map[string]int      // failed attempts in the worker, by receipt

	inside   map[*process]int // handlers at work
	progress progress
}

// name is the watch's state of one name.
type name struct {
	label    string
	claims   map[protocol.Version]claim
	running  []*attempt
	highest  protocol.Version  // highest fence of an attempt that has begun
	faultsBy map[*process]bool // processes whose calls for the name have met faults
	lateBy   map[*process]bool // processes whose calls for the name may have arrived late
	reopened time.Time         // time of the last reopening
	spent    map[string]bool   // redrive orders, by the message's id
	opened   time.Time         // time of the last change of the payload
	busy     time.Time         // until then the target may work on a cut-off request
}

// claim is the holder of a fence and the number of its pauses before the claim.
type claim struct {
	p      *process
	pauses int
	at     time.Time
}

// attempt is a running handler.
type attempt struct {
	ctx     context.Context // of the handler; checked for cancellation
	name    *name
	fence   protocol.Version
	p       *process
	message *message
	receipt string
	began   time.Time
	done    bool // the work is done

	cancelled bool // the handler gave up because its context was cancelled
}

// message is all copies of the message with one id.
type message struct {
	label, body, group string
	record             string // id
	redriven           bool
	deliveries         int
	received           time.Time              // last receive
	receipt            string                 // of the last receive
	givenUp            map[*process]time.Time // begin of the handling that decided to dead-letter it, by process
	holder             *process
	begun              int // attempts
	begins             []time.Time
	copied             int // copies that workers have sent to the dead-letter queue
	deleted            bool
	moved              bool // redriven from the dead-letter queue
	excuses            []string
	taken              bool // the last answer was that another attempt has taken over the name
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

// mayShow reports whether a fault may have made the message visible while a worker holds it.
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

// hooks returns hooks that count and check the events of a process's guard.
func (v *watch) hooks(p *process) dedupe.Hooks {
	count := func(n *int) {
		v.mu.Lock()
		defer v.mu.Unlock()
		*n++
	}
	return dedupe.Hooks{
		TookOver:      func(dedupe.Attempt) { count(&v.stats.TookOver) },
		LeaseLost:     func(a dedupe.Attempt) { v.lostLease(p, a) },
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

// violate records a violation. The caller holds mu.
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

// name returns the state of the name with a record id. The caller holds mu.
func (v *watch) name(id string) *name {
	n := v.names[id]
	if n == nil {
		n = &name{label: id, claims: make(map[protocol.Version]claim), spent: make(map[string]bool), faultsBy: make(map[*process]bool), lateBy: make(map[*process]bool)}
		v.names[id] = n
	}
	return n
}

// sent sends a message and records it. It holds mu meanwhile, so that a receive is recorded later.
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

// original returns the message of a dead letter, which SQS has moved or of which m is a copy. The
// caller holds mu.
func (v *watch) original(m types.Message) *message {
	if id, ok := m.MessageAttributes[attributes.OriginalID]; ok {
		if old := v.messages[aws.ToString(id.StringValue)]; old != nil && v.messages[*m.MessageId] == nil {
			return old
		}
	}
	return v.messages[*m.MessageId]
}

// received records a receive.
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

// unheard records that the answer with these messages was lost.
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

// handling records that a process begins to handle a delivery.
func (v *watch) handling(p *process, m consumer.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[m.ReceiptHandle] = time.Now()
	v.inHand[m.ReceiptHandle] = p
}

// handled records the end of the handling.
func (v *watch) handled(m consumer.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.inHand, m.ReceiptHandle)
}

// decided records the disposition of a message.
func (v *watch) decided(p *process, m consumer.Message, d consumer.Disposition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.messages[m.ID]
	known.taken = errors.Is(d.Err, dedupe.ErrLeaseLost) && !errors.Is(d.Err, dedupe.ErrUnavailable)
	if known.taken {
		known.unexcuse(storeTrouble) // the worker has got an answer from the store
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

// label returns the label of a receipt's message.
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

// labelsOf returns the labels of the messages with these ids, sorted.
func (v *watch) labelsOf(ids map[string]string) string {
	labels := make([]string, 0, len(ids))
	for _, id := range ids {
		labels = append(labels, v.labelOf(id))
	}
	slices.Sort(labels)
	return strings.Join(labels, ",")
}

// keyOf returns a key for a batch that does not depend on the order of its messages.
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

// onDelete is the prefix of the excuses of deletes. They do not make a message visible.
const onDelete = "delete: "

// faulty excuses the messages of a call that has met a fault.
func (v *watch) faulty(receipts []string, on string) func(fate) {
	return func(f fate) {
		for _, r := range receipts {
			v.excuseReceipt(r, on+string(f))
		}
	}
}

// queueFault records that a call to SQS has met a fault. Calls that wait behind it in a batcher may
// come too late for the end of the process.
func (v *watch) queueFault(p *process, op string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inTrouble[p] = true
	switch op {
	case "change":
		v.beatTrouble[p] = true
	case "receive": // it may take half a minute to time out
		v.progress = progress{}
	}
}

// storeFault records that a call for these records has met a fault.
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
