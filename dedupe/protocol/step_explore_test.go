package protocol_test

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// The exploration walks breadth first through every interleaving of three attempts on one name. It
// uses the real Step and the real memstore. Sending, applying and answering a write are separate
// events. Answers are lost, requests arrive late, attempts crash or give up, and each clock may
// step once within the skew margin. Method act models the guard between its calls.

// Bounds of the exploration.
const (
	exploreCrashes = 2
	exploreLost    = 2
	exploreUntil   = 10 // seconds of true time
)

var exploreTerms = protocol.Terms{Lease: 4 * time.Second, Skew: time.Second, Window: time.Hour, MaxAttempts: 2}

const (
	leaseSeconds = 4
	skewSeconds  = 1
	awaySeconds  = 6 // how long the work runs elsewhere after its handler has left
)

// phase is where an attempt stands.
type phase uint8

const (
	idle     phase = iota // has not claimed yet
	claiming              // has sent a claim, or has to claim again
	short                 // holds the name, but too little of the lease is left to begin
	running               // its handler runs
	ending                // its handler has returned, the outcome is not recorded
	away                  // has left; its work runs elsewhere until proven
	over                  // has ended
	crashed
)

// purpose is the event that a write carries.
type purpose uint8

const (
	nothing purpose = iota
	toClaim
	toRenew
	toComplete
	toFail
	toRelease
	toLeave // leave, counted
	toStop  // leave, not counted
)

// wire is the progress of a write.
type wire uint8

const (
	quiet   wire = iota // no write is in flight
	sent                // not yet applied
	done                // applied, not answered
	refused             // met a conflict, not answered
)

// player is one attempt. Records are indexes into explorer.records.
type player struct {
	phase      phase
	wire       wire
	doing      purpose
	by         int8    // the attempt that sent the write
	end        purpose // the outcome, once the handler has returned
	known      uint16  // the attempt's copy of the record
	base, next uint16  // the write in flight, or the write to repeat
	answer     uint16  // the record in a conflict
	sentAt     int8    // true second at which the write was built
	proven     int8    // true second at which the lease ends; after a leave, at which the work ends
	until      int8    // second on the attempt's own clock at which the work elsewhere must be over
	number     int8    // of the attempt, once its handler runs
	clock      int8    // seconds that the attempt's clock is ahead, 0 or 1
	resend     bool    // a final write without an answer is repeated unchanged
}

// world is one state. It is comparable, so that it can be hashed.
type world struct {
	now           int8
	store         uint16
	players       [3]player
	late          player // a write whose sender has stopped waiting
	crashes, lost uint8
	completed     uint16 // the first completed record
	counted       int8   // attempts begun, without the released ones
}

type explorer struct {
	t     *testing.T
	terms protocol.Terms
	ends  []purpose // the outcomes of handlers that do not crash

	records []protocol.Record
	numbers map[string]uint16
	steps   map[stepCall]stepAnswer // cached answers of Step
	swaps   map[swapCall]bool       // cached answers of the store

	// States are kept only while they are expanded; of the others 64-bit hashes are kept. Among 10
	// million states two hashes collide in one of 300,000 runs.
	seen    map[uint64]struct{}
	seed    maphash.Seed
	states  []world // found at the present depth
	leaves  bool    // the states found are not expanded, and not kept
	parents []int32
	actions []uint16
	names   map[string]uint16
	list    []string // the action names by number
	at      int32    // the state that is being expanded
	walked  []string // the actions of a random walk, instead of parents
}

// stepCall and swapCall are the arguments of pure functions, and the keys of their cached answers.
type stepCall struct {
	known uint16
	i     int
	now   int8
	until int8
	nth   int8
	do    purpose
}

type stepAnswer struct {
	next    uint16
	verdict protocol.Verdict
}

type swapCall struct{ store, base, next uint16 }

// number interns a record.
func (x *explorer) number(r protocol.Record) uint16 {
	key := fmt.Appendf(nil, "%s %d %d %x %d %d %s %s", r.Status, r.Version, r.Fence, r.Owner[0], r.LeaseUntil.UnixMilli(), r.Attempts, r.Result, r.Error)
	key = fmt.Appendf(key, " %d %d", r.ExpiresAt.Unix(), r.CompletedAt.UnixMilli())
	n, ok := x.numbers[string(key)]
	if !ok {
		n = uint16(len(x.records))
		if len(x.records) > 65000 {
			x.t.Fatal("more records than numbers")
		}
		x.records = append(x.records, r)
		x.numbers[string(key)] = n
	}
	return n
}

// fail fails the test with the actions that led to w.
func (x *explorer) fail(w world, action, format string, args ...any) {
	x.t.Helper()
	steps := x.walked
	if steps == nil {
		for i := x.at; i > 0; i = x.parents[i] {
			steps = append(steps, x.list[x.actions[i]])
		}
		slices.Reverse(steps)
	}
	x.t.Fatalf("%s\nafter: %s; %s\nrecord: %+v", fmt.Sprintf(format, args...), strings.Join(steps, "; "), action, x.records[w.store])
}

// reach records a state unless it was seen before.
func (x *explorer) reach(w world, action string) {
	h := maphash.Comparable(x.seed, w)
	if _, ok := x.seen[h]; ok {
		return
	}
	x.seen[h] = struct{}{}
	name, ok := x.names[action]
	if !ok {
		name = uint16(len(x.names))
		x.names[action] = name
		x.list = append(x.list, action)
	}
	if !x.leaves {
		x.states = append(x.states, w)
	}
	x.parents = append(x.parents, x.at)
	x.actions = append(x.actions, name)
}

func second(s int8) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(s) * time.Second)
}

func token(i int) protocol.Token { return protocol.Token{byte(i + 1)} }

func (x *explorer) event(w world, i int, do purpose) protocol.Event {
	p := w.players[i]
	now, owner := second(w.now+p.clock), token(i)
	switch do {
	case toClaim:
		return protocol.Claim{Now: now, Owner: owner, Terms: x.terms, ID: "s#n", Name: "n", MessageID: "m" + strconv.Itoa(i)}
	case toRenew:
		return protocol.Renew{Now: now, Owner: owner, Terms: x.terms}
	case toComplete:
		return protocol.Complete{Now: now, Owner: owner, Terms: x.terms, Result: []byte(strconv.Itoa(i))}
	case toFail:
		return protocol.Fail{Now: now, Owner: owner, Terms: x.terms, Error: "boom"}
	case toLeave, toStop:
		return protocol.Leave{
			Now: now, Owner: owner, Terms: x.terms,
			Number: int(p.number), Until: second(p.until), Counted: do == toLeave, Error: "left",
		}
	default:
		return protocol.Release{Now: now, Owner: owner, Terms: x.terms}
	}
}

// send calls Step and sends the write, or acts on the verdict if there is nothing to write.
func (x *explorer) send(w world, i int, do purpose, action string) {
	p := &w.players[i]
	if p.resend {
		p.resend, p.wire = false, sent
		x.reach(w, action+" again")
		return
	}
	call := stepCall{p.known, i, w.now + p.clock, p.until, p.number, do}
	ans, ok := x.steps[call]
	if !ok {
		next, verdict := protocol.Step(x.records[p.known], x.event(w, i, do))
		ans = stepAnswer{p.known, verdict}
		if next.Version != x.records[p.known].Version {
			ans.next = x.number(next)
		}
		x.steps[call] = ans
	}
	if ans.next == p.known {
		if ans.verdict == protocol.VerdictApply && do == toClaim {
			p.proven = int8(x.records[p.known].LeaseUntil.Sub(second(0))/time.Second) - p.clock
		}
		x.act(w, i, do, ans.verdict, action)
		return
	}
	p.doing, p.by, p.wire, p.base, p.next, p.sentAt = do, int8(i), sent, p.known, ans.next, w.now
	if p.phase == idle {
		p.phase = claiming
	}
	x.reach(w, action)
}

// apply delivers a write to the store.
func (x *explorer) apply(w *world, p *player, action string) {
	current, next := x.records[w.store], x.records[p.next]
	call := swapCall{w.store, p.base, p.next}
	written, ok := x.swaps[call]
	if !ok {
		written = swapped(x.t, current, x.records[p.base].Version, next)
		x.swaps[call] = written
	}
	if !written {
		p.wire, p.answer = refused, w.store
		return
	}
	p.wire, w.store = done, p.next
	switch p.doing {
	case toClaim:
		if next.Status == protocol.InProgress {
			w.counted++
		}
	case toRelease, toStop:
		w.counted--
	default: // counts nothing
	}
	switch {
	case p.doing != toClaim && current.Owner != token(int(p.by)):
		x.fail(*w, action, "attempt %d writes over a record that is not its own", p.by)
	case next.Version <= current.Version || next.Fence < current.Fence:
		x.fail(*w, action, "version or fence does not rise: %d.%d after %d.%d", next.Version, next.Fence, current.Version, current.Fence)
	case next.Attempts != int(w.counted):
		x.fail(*w, action, "the record counts %d attempts, there were %d", next.Attempts, w.counted)
	case w.completed != 0 && (next.Status != protocol.Completed || string(next.Result) != string(x.records[w.completed].Result)):
		x.fail(*w, action, "a completed name became %s with result %s", next.Status, next.Result)
	case next.Status == protocol.Completed && w.completed == 0:
		w.completed = p.next
	}
}

// swapped reports whether a memstore that holds current accepts the write.
func swapped(t *testing.T, current protocol.Record, old protocol.Version, next protocol.Record) bool {
	t.Helper()
	store := memstore.New()
	if current.Version != 0 {
		if err := store.Swap(t.Context(), 0, current); err != nil {
			t.Fatal(err)
		}
	}
	err := store.Swap(t.Context(), old, next)
	conflict, ok := errors.AsType[*dedupe.ConflictError](err)
	if err != nil && (!ok || conflict.Current.Version != current.Version) {
		t.Fatal(err)
	}
	return err == nil
}

// answered delivers the store's answer to the attempt.
func (x *explorer) answered(w world, i int, action string) {
	p := &w.players[i]
	ok := p.wire == done
	p.wire, p.resend = quiet, false
	if !ok {
		p.known, p.answer = p.answer, 0
		p.base, p.next, p.doing, p.by, p.sentAt = 0, 0, nothing, 0, 0
		x.reach(w, action+" (conflict)")
		return
	}
	p.known = p.next
	p.base, p.next = 0, 0
	if p.doing == toClaim || p.doing == toRenew {
		p.proven = p.sentAt + leaseSeconds
	}
	verdict := protocol.VerdictApply
	if s := x.records[p.known].Status; p.doing == toClaim && s != protocol.InProgress {
		verdict = protocol.VerdictRejected // or VerdictUnknown: the handler does not start
	}
	x.act(w, i, p.doing, verdict, action)
}

// act does what the guard does on a verdict once the record is stored.
func (x *explorer) act(w world, i int, do purpose, verdict protocol.Verdict, action string) {
	p := &w.players[i]
	known := x.records[p.known]
	mine := known.Owner == token(i)
	p.doing, p.by, p.sentAt = nothing, 0, 0
	switch {
	case do == toClaim && verdict == protocol.VerdictWait:
		*p = player{phase: claiming, clock: p.clock}
	case do == toClaim && verdict != protocol.VerdictApply:
		*p = player{phase: over}
	case do == toClaim || do == toRenew && p.phase == short:
		if verdict != protocol.VerdictApply { // lost before it began
			*p = player{phase: over}
			break
		}
		p.phase = short
		if p.proven-w.now >= leaseSeconds/2 {
			x.start(&w, i, action)
		}
	case do == toRenew:
		if verdict != protocol.VerdictApply {
			p.proven = w.now // cancelled at once
		}
	case verdict == protocol.VerdictApply && (do == toLeave || do == toStop):
		*p = player{phase: away, proven: p.proven}
	case verdict == protocol.VerdictApply:
		want := map[purpose]protocol.Status{toComplete: protocol.Completed}[do]
		if want != "" && (known.Status != want || string(known.Result) != strconv.Itoa(i) || w.completed == 0) {
			x.fail(w, action, "attempt %d takes %+v for its completion", i, known)
		}
		*p = player{phase: over}
	default:
		if mine && known.Status == protocol.InProgress {
			x.fail(w, action, "attempt %d loses an outcome while it has the name", i)
		}
		*p = player{phase: over}
	}
	x.reach(w, action)
}

// start begins a handler, and checks that no other attempt may still be at work.
func (x *explorer) start(w *world, i int, action string) {
	for j, other := range w.players {
		if j != i && other.phase == running && w.now < other.proven-skewSeconds {
			x.fail(*w, action, "attempt %d starts while the context of %d is live", i, j)
		}
		if j != i && other.phase == away && w.now < other.proven {
			x.fail(*w, action, "attempt %d starts while the work that %d has left may run", i, j)
		}
	}
	if w.completed != 0 {
		x.fail(*w, action, "attempt %d starts after the name was completed", i)
	}
	p := &w.players[i]
	p.phase, p.number = running, int8(x.records[p.known].Attempts)
}

// leave keeps attempt i's write in flight after its sender has stopped waiting.
func (w *world) leave(i int) {
	p := &w.players[i]
	if p.wire == sent && w.late.wire == quiet {
		w.late = player{wire: sent, doing: p.doing, by: p.by, base: p.base, next: p.next}
	}
}

// successors reaches every state that can follow w.
func (x *explorer) successors(w world) {
	if w.now < exploreUntil {
		for _, d := range []int8{2, 6} {
			n := w
			n.now += d
			x.reach(n, fmt.Sprintf("%ds pass", d))
		}
	}
	if w.late.wire == sent {
		n := w
		late := n.late
		x.apply(&n, &late, "a late write arrives")
		n.late = player{}
		x.reach(n, "a late write arrives")
	}
	for i := range w.players {
		x.player(w, i)
	}
}

func (x *explorer) player(w world, i int) {
	p := w.players[i]
	name := string(rune('A' + i))
	if p.phase >= away || p.phase == idle && i > 0 && w.players[i-1].phase == idle {
		return // at its end, or not its turn: attempts that have not begun are interchangeable
	}
	if p.wire == quiet {
		x.sends(w, i, name)
		if p.clock == 0 { // the clock is read only for a write, so a step before that has no effect
			w.players[i].clock = 1
			x.sends(w, i, name+"'s clock steps, "+name)
			w.players[i].clock = p.clock
		}
	} else {
		x.wires(w, i, name)
	}
	if p.phase == running && (p.wire == quiet || w.lost < exploreLost) {
		x.returns(w, i, name)
	}
	if p.phase != idle && w.crashes < exploreCrashes {
		n := w
		n.crashes++
		n.leave(i)
		n.players[i] = player{phase: crashed}
		x.reach(n, name+" crashes")
	}
}

// sends reaches the states after each write that the attempt may begin.
func (x *explorer) sends(w world, i int, name string) {
	switch p := w.players[i]; p.phase {
	case idle:
		x.send(w, i, toClaim, name+" claims")
		if w.store != 0 {
			w.players[i].known = w.store
			x.send(w, i, toClaim, name+" reads and claims")
		}
	case claiming:
		x.send(w, i, toClaim, name+" claims again")
	case short:
		x.send(w, i, toRenew, name+" renews before it begins")
		x.send(w, i, toRelease, name+" releases what it has not begun")
	case running:
		if p.proven-w.now < leaseSeconds && w.now < p.proven+leaseSeconds {
			x.send(w, i, toRenew, name+" renews")
		}
	case ending:
		x.send(w, i, p.end, name+" records")
	default: // at its end
	}
}

// wires reaches the states after each event of a write in flight.
func (x *explorer) wires(w world, i int, name string) {
	if w.players[i].wire == sent {
		n := w
		x.apply(&n, &n.players[i], name+"'s write arrives")
		x.reach(n, name+"'s write arrives")
	} else {
		x.answered(w, i, name+" is answered")
	}
	if w.lost < exploreLost {
		n := w
		n.lost++
		n.leave(i) // it may arrive later, or never
		p := &n.players[i]
		p.wire, p.answer = quiet, 0
		p.resend = p.phase == ending
		if !p.resend {
			p.base, p.next, p.doing, p.by, p.sentAt = 0, 0, nothing, 0, 0
		}
		x.reach(n, name+"'s answer is lost")
		x.givesUp(w, i, name)
	}
}

// givesUp reaches the state after the guard has stopped waiting for an answer. It reads the record
// of a claim and releases it if it is its own. An outcome stays unrecorded.
func (x *explorer) givesUp(w world, i int, name string) {
	w.lost++
	w.leave(i)
	switch p := &w.players[i]; p.phase {
	case claiming:
		*p = player{phase: ending, end: toRelease, known: w.store, clock: p.clock}
		x.reach(w, name+" gives up its claim")
	case ending:
		*p = player{phase: over}
		x.reach(w, name+" gives up recording")
	default: // the lease is renewed until the handler returns
	}
}

// returns reaches the states after the handler's return. The attempt stops waiting for a renewal.
func (x *explorer) returns(w world, i int, name string) {
	for _, end := range x.ends {
		n := w
		p := &n.players[i]
		if p.wire != quiet {
			n.lost++
			n.leave(i)
			p.wire, p.answer, p.base, p.next, p.doing, p.by, p.sentAt = quiet, 0, 0, 0, nothing, 0, 0
		}
		p.phase, p.end, p.proven = ending, end, 0
		if end == toLeave || end == toStop {
			p.proven, p.until = w.now+awaySeconds, w.now+p.clock+awaySeconds
		}
		x.reach(n, fmt.Sprintf("%s's handler returns (%d)", name, end))
	}
}

func newExplorer(t *testing.T, terms protocol.Terms, ends []purpose) *explorer {
	t.Helper()
	x := &explorer{
		t: t, terms: terms, ends: ends, seed: maphash.MakeSeed(), numbers: map[string]uint16{}, names: map[string]uint16{},
		seen: map[uint64]struct{}{}, steps: map[stepCall]stepAnswer{}, swaps: map[swapCall]bool{},
	}
	x.number(protocol.Record{})
	return x
}

// explore walks until it has found all states up to deepest events, or the given number of states.
// It returns the number of states found, and the depth up to which all are found.
func (x *explorer) explore(deepest, states int) (found, depth int) {
	x.reach(world{}, "")
	for depth < deepest {
		leaving := x.states
		x.states, x.leaves = nil, depth+1 == deepest
		for _, w := range leaving {
			x.successors(w)
			x.at++
			if len(x.seen) >= states {
				return len(x.seen), depth
			}
		}
		depth++
		if len(x.states) == 0 {
			break // no state is left to expand
		}
	}
	return len(x.seen), depth
}

// wander takes one random walk of deep events.
func (x *explorer) wander(rnd *rand.Rand, deep int) {
	var w world
	x.walked = []string{}
	for range deep {
		clear(x.seen)
		x.states, x.actions, x.parents = x.states[:0], x.actions[:0], x.parents[:0]
		x.successors(w)
		if len(x.states) == 0 {
			return
		}
		i := rnd.IntN(len(x.states))
		for range 3 { // prefer events that finish a write to further faults
			if !strings.Contains(x.list[x.actions[i]], "arrives") && !strings.Contains(x.list[x.actions[i]], "answered") {
				i = rnd.IntN(len(x.states))
			}
		}
		w = x.states[i]
		x.walked = append(x.walked, x.list[x.actions[i]])
	}
}

// variants are the settings that are explored.
var variants = map[string]struct {
	hold bool
	ends []purpose
}{
	"rerun, handlers complete or fail":       {false, []purpose{toComplete, toFail}},
	"hold, handlers complete or are stopped": {true, []purpose{toComplete, toRelease}},
	"rerun, handlers complete or leave":      {false, []purpose{toComplete, toLeave, toStop}},
}

func TestStepExplore(t *testing.T) {
	t.Run("no long walk breaks the promise", testNoLongWalkBreaksThePromise)
	t.Run("no interleaving breaks the promise", testNoInterleavingBreaksThePromise)
}

func testNoLongWalkBreaksThePromise(t *testing.T) {
	for name, v := range variants {
		terms := exploreTerms
		terms.Hold = v.hold
		x := newExplorer(t, terms, v.ends)
		seed := rand.Uint64()
		t.Logf("%s: seed %d", name, seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		for range testutil.N(t, 6000) {
			x.wander(rnd, 30)
		}
	}
}

func testNoInterleavingBreaksThePromise(t *testing.T) {
	deepest, states := 99, testutil.N(t, 60_000)
	if s := os.Getenv("SQSONCE_EXPLORE_DEPTH"); s != "" {
		var err error
		if deepest, err = strconv.Atoi(s); err != nil {
			t.Fatalf("SQSONCE_EXPLORE_DEPTH=%q: %v", s, err)
		}
		states = math.MaxInt
	}
	total := 0
	for name, v := range variants {
		terms := exploreTerms
		terms.Hold = v.hold
		found, depth := newExplorer(t, terms, v.ends).explore(deepest, states)
		t.Logf("%s: %d distinct states, all that are up to %d events deep", name, found, depth)
		total += found
	}
	t.Logf("%d distinct states", total)
}
