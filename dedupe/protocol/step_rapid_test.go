package protocol

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// machine is one record and the attempts that act on it. The attempts' clocks differ by at most the
// skew margin.
type machine struct {
	rec   Record
	now   time.Time
	next  byte // names the next attempt
	known map[Token]*player

	completed []byte // the recorded result; nil before completion and after forget or expiry
	starts    int    // attempts that began since attempts were last 0, without the released ones
}

// player is the state that an attempt keeps about itself.
type player struct {
	offset time.Duration
	fence  Version
	stop   time.Time // true time at which its context is cancelled, or its work elsewhere must be over
	ended  bool
	gone   bool // its handler has returned, its work may run on until stop
}

// swap stores the record that Step returns, and checks the invariants of every write.
func (m *machine) swap(t *rapid.T, e Event, at time.Time) (Record, Verdict) {
	next, verdict := Step(m.rec, e)
	if next.Version == m.rec.Version {
		return next, verdict
	}
	checkStep(t, m.rec, next, at)
	was := m.rec
	m.rec = next
	if m.completed != nil && was.Live(at, terms.Skew) && was.Status == Completed {
		if next.Status == Completed && string(next.Result) != string(m.completed) {
			t.Fatalf("the result changed from %s to %s", m.completed, next.Result)
		}
		if _, forgotten := e.(Forget); next.Status != Completed && !forgotten {
			t.Fatalf("a completed name became %s by %T", next.Status, e)
		}
	}
	m.completed = nil
	if next.Status == Completed {
		m.completed = next.Result
	}
	return next, verdict
}

func (m *machine) pick(t *rapid.T) (Token, *player) {
	var tokens []Token
	for b := byte(1); b <= m.next; b++ {
		if p := m.known[Token{b}]; p != nil && !p.ended && !p.gone {
			tokens = append(tokens, Token{b})
		}
	}
	if len(tokens) == 0 {
		t.Skip("no attempt is at work") // rapid then draws another action; the test goes on
	}
	token := rapid.SampledFrom(tokens).Draw(t, "attempt")
	return token, m.known[token]
}

// claim sends the claim of a new attempt, which begins if the verdict allows it.
func (m *machine) claim(t *rapid.T) {
	if m.next == 200 {
		t.Skip("enough") // a Token has one byte here; rapid then draws another action
	}
	m.next++
	token := Token{m.next}
	offset := time.Duration(rapid.IntRange(0, int(terms.Skew/time.Millisecond)).Draw(t, "clock")) * time.Millisecond
	at := m.now.Add(offset)
	c := claimBy(token, at)
	c.Terms.Hold = rapid.Bool().Draw(t, "hold")
	c.RedriveOrder = rapid.Bool().Draw(t, "order")
	c.MessageID = rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "message")
	c.Fingerprint = rapid.SampledFrom([]Fingerprint{fpA, fpA, fpB, {}}).Draw(t, "body")
	was := m.rec
	next, verdict := m.swap(t, c, at)
	if c.RedriveOrder && next.ReopenedBy != c.MessageID {
		t.Fatalf("an order on %s is not spent", was.Status)
	}
	if verdict != VerdictApply {
		return
	}
	for other, p := range m.known {
		if !p.ended && m.now.Before(p.stop) {
			t.Fatalf("%v starts while %v may run", token, other)
		}
		if next.Fence <= p.fence {
			t.Fatalf("fence %d of %v is not above %d of %v", next.Fence, token, p.fence, other)
		}
	}
	if was.Status == Completed && was.Live(at, terms.Skew) {
		t.Fatal("an attempt starts after the name was completed")
	}
	if fresh := !was.Live(at, terms.Skew) || was.Status == Rejected; fresh {
		m.starts = 0
	}
	m.starts++
	if next.Attempts != m.starts {
		t.Fatalf("the record counts %d attempts, there were %d", next.Attempts, m.starts)
	}
	m.known[token] = &player{offset: offset, fence: next.Fence, stop: m.now.Add(terms.Lease - terms.Skew)}
}

// end ends an attempt. The answer may be lost; then the attempt repeats the write.
func (m *machine) end(t *rapid.T) {
	token, p := m.pick(t)
	at := m.now.Add(p.offset)
	e := rapid.SampledFrom([]Event{
		Complete{Now: at, Owner: token, Terms: terms, Result: []byte{token[0]}},
		Fail{Now: at, Owner: token, Terms: terms, Error: "boom"},
		Fail{Now: at, Owner: token, Terms: terms, Kind: FailPermanent},
		Fail{Now: at, Owner: token, Terms: terms, Kind: FailUnknown},
		Fail{Now: at, Owner: token, Terms: terms, LastDelivery: true},
		Release{Now: at, Owner: token, Terms: terms},
		Leave{Now: at, Owner: token, Terms: terms, Number: m.rec.Attempts, Until: at.Add(3 * terms.Lease), Counted: true, Error: "boom"},
		Leave{Now: at, Owner: token, Terms: terms, Number: m.rec.Attempts, Until: at.Add(2 * terms.Lease)},
	}).Draw(t, "end")
	was := m.rec
	next, verdict := m.swap(t, e, at)
	held := was.Status == InProgress && was.Owner == token
	_, completes := e.(Complete)
	late := completes && was.Status == Unknown && was.Owner == token
	if (held || late) && verdict != VerdictApply {
		t.Fatalf("%T of the one who holds the name: verdict %d", e, verdict)
	}
	if !held && !late && next.Version != was.Version {
		t.Fatalf("%T of one who holds nothing was written over %s", e, was.Status)
	}
	leave, left := e.(Leave)
	if _, released := e.(Release); held && (released || left && !leave.Counted) {
		m.starts--
	}
	if again, verdict2 := Step(m.rec, e); verdict == VerdictApply && (verdict2 != VerdictApply || again.Version != m.rec.Version) {
		t.Fatalf("%T is not recognised after its answer was lost", e)
	}
	p.ended = true
	if left && held { // the handler has ended, its work has not
		p.ended, p.gone = false, true
		p.stop = m.now.Add(leave.Until.Sub(at))
	}
}

func (m *machine) renew(t *rapid.T) {
	token, p := m.pick(t)
	at := m.now.Add(p.offset)
	if _, verdict := m.swap(t, Renew{Now: at, Owner: token, Terms: terms}, at); verdict == VerdictApply {
		p.stop = m.now.Add(terms.Lease - terms.Skew)
	}
}

func (m *machine) operator(t *rapid.T) {
	e := rapid.SampledFrom([]Event{
		Reopen{Now: m.now, Terms: terms}, Resolve{Now: m.now, Terms: terms, Result: []byte("r")},
		Forget{Now: m.now, Terms: terms}, Forget{Now: m.now, Terms: terms, Force: true},
	}).Draw(t, "verb")
	was := m.rec
	next, verdict := m.swap(t, e, m.now)
	if next.Version != was.Version {
		if next.Fence != next.Version || next.Owner != (Token{}) {
			t.Fatalf("%T leaves the name to its attempt: %+v", e, next)
		}
		if _, reopened := e.(Reopen); reopened {
			m.starts = 0
		}
	}
	if f, ok := e.(Forget); ok && !f.Force && was.Status == InProgress && !was.leaseLapsed(m.now, terms.Skew) && verdict != VerdictWait {
		t.Fatal("a live lease was forgotten without force")
	}
	if f, ok := e.(Forget); ok && f.Force { // the operator accepts that attempts may overlap
		for _, p := range m.known {
			p.stop = m.now
		}
	}
	if again, v := Step(m.rec, e); verdict == VerdictApply && (v != VerdictApply || again.Version != m.rec.Version) {
		t.Fatalf("%T said twice is written twice", e)
	}
}

func TestStepRapid(t *testing.T) {
	t.Run("no sequence of events breaks the promise", testNoSequenceOfEventsBreaksThePromise)
}

func testNoSequenceOfEventsBreaksThePromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{now: t0, known: map[Token]*player{}}
		t.Repeat(map[string]func(*rapid.T){
			"claim":    m.claim,
			"renew":    m.renew,
			"end":      m.end,
			"operator": m.operator,
			"time": func(t *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{
					time.Millisecond, time.Second, terms.Skew, terms.Lease / 2, terms.Lease - 2*terms.Skew, terms.Lease, terms.Lease + terms.Skew, terms.Window,
				})
				m.now = m.now.Add(d.Draw(t, "passes"))
			},
		})
	})
}
