package consumer_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/sqstest"
)

// order checks the order of messages, which are numbered from 0 within each group.
type order struct {
	mu      sync.Mutex
	tried   map[string]int       // guarded by mu; by body
	settled map[string]bool      // guarded by mu; handled or dead-lettered
	untried map[string]bool      // guarded by mu; given up at the end of a drain
	ended   map[string]time.Time // guarded by mu; end of the last try
	cut     map[string]bool      // guarded by mu; its copy or delete failed until the end of the stop
	wrong   []string             // guarded by mu
}

func newOrder() *order {
	return &order{
		tried: make(map[string]int), settled: make(map[string]bool), untried: make(map[string]bool),
		ended: make(map[string]time.Time), cut: make(map[string]bool),
	}
}

func split(body string) (group string, i int) {
	group, number, _ := strings.Cut(strings.TrimSuffix(body, "-full"), "-")
	i, _ = strconv.Atoi(number)
	return group, i
}

// start records the start of a try. No earlier message may be open, and no later one may have
// started.
func (o *order) start(body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	group, i := split(body)
	for j := range i {
		if before := fmt.Sprintf("%s-%d", group, j); !o.settled[before] && !o.settled[before+"-full"] {
			o.wrong = append(o.wrong, body+" has overtaken "+before)
		}
	}
	for other := range o.tried {
		if g, j := split(other); g == group && j > i {
			o.wrong = append(o.wrong, fmt.Sprintf("%s comes after %s", body, other))
		}
	}
	o.tried[body]++
}

func (o *order) settle(body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled[body] = true
}

// end records the end of a message. It may be dead-lettered without a try only at the end of a
// drain: the rest of a lane on its last receive can then be neither tried nor received again.
func (o *order) end(m consumer.Message, d consumer.Disposition, drained bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ended, m.Body)
	if d.Action != consumer.DeadLetter {
		return
	}
	o.ended[m.Body] = time.Now()
	if o.tried[m.Body] == 0 {
		if o.untried[m.Body] = drained; !drained {
			o.wrong = append(o.wrong, m.Body+" was given up untried: "+d.Reason)
		}
	}
	if m.LastReceive && full(m.Body) {
		o.settled[m.Body] = true // no room for our reason, so SQS moves it
	}
}

// cutOff records the messages that the stop has just left in the middle of dead-lettering. SQS
// itself moves them, possibly in addition to our copy.
func (o *order) cutOff() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for body, at := range o.ended {
		if at.Equal(time.Now()) {
			o.cut[body], o.settled[body] = true, true
		}
	}
}

// full reports whether a message has no room for another attribute.
func full(body string) bool { return strings.HasSuffix(body, "-full") }

// sendFull sends a message with as many attributes as SQS accepts.
func (p *pool) sendFull(group, body string) {
	p.t.Helper()
	in := &sqs.SendMessageInput{
		MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: aws.String(group + body),
		MessageAttributes: make(map[string]types.MessageAttributeValue),
	}
	for i := range 10 {
		in.MessageAttributes[fmt.Sprint("own", i)] = stringAttribute("x")
	}
	p.sendWith(in)
}

// script is a random sequence of events for a FIFO queue.
type script struct {
	seed                    uint64
	maxReceives             int
	groups, messages        int
	failing, deferring, bad float64 // shares of tries
	flaky                   float64 // share of failing batch entries
	full                    float64 // share of messages without room for a reason
	stops                   int
	drain                   time.Duration
	slots                   int
	sharing                 sharing
}

func (s script) outcome(random *rand.Rand) error {
	switch x := random.Float64(); {
	case x < s.failing:
		return errBoom
	case x < s.failing+s.deferring:
		return failure{deferred: true, after: 7 * time.Second}
	case x < s.failing+s.deferring+s.bad:
		return failure{permanent: true, reason: "bad"}
	default:
		return nil
	}
}

// play runs the script and returns the violations.
func (s script) play(t *testing.T) (wrong []string) {
	bubble(t, s.maxReceives, true, func(t *testing.T, p *pool) {
		o := newOrder()
		d := &dice{from: rand.New(rand.NewPCG(s.seed, 3))}
		s.arrange(p, d)
		p.cfg.Hooks.DeadLettered = func(m consumer.Message, _ consumer.Disposition) { o.settle(m.Body) }
		var drained atomic.Pointer[time.Time] // end of the drain of a stop that has begun
		p.cfg.Hooks.Ended = func(m consumer.Message, d consumer.Disposition) {
			end := drained.Load()
			o.end(m, d, end != nil && !time.Now().Before(*end))
		}
		finish := func() {
			end := time.Now().Add(s.drain)
			drained.Store(&end)
			if err := p.finish(); err != nil {
				wrong = append(wrong, err.Error())
			}
			if s.flaky > 0 && time.Now().After(end) {
				o.cutOff()
			}
			drained.Store(nil)
		}
		p.handler = func(ctx context.Context, m consumer.Message) error {
			o.start(m.Body)
			select {
			case <-time.After(d.upTo(3 * time.Second)):
			case <-ctx.Done():
				return ctx.Err()
			}
			err := d.outcome(s)
			if err == nil {
				o.settle(m.Body)
			}
			return err
		}
		for range s.stops {
			p.start()
			time.Sleep(d.upTo(20 * time.Second))
			finish()
		}
		p.start()
		time.Sleep(time.Duration(s.messages) * 3 * time.Minute)
		finish()
		p.faults(nil)
		wrong = append(wrong, s.leftovers(p, o)...)
	})
	return wrong
}

// dice is a source of random numbers for several goroutines.
type dice struct {
	mu   sync.Mutex
	from *rand.Rand // guarded by mu
}

// upTo returns a duration below d.
func (d *dice) upTo(most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.from.Int64N(int64(most)))
}

// below reports true with the probability share.
func (d *dice) below(share float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.from.Float64() < share
}

func (d *dice) outcome(s script) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.outcome(d.from)
}

// arrange sends the script's messages and configures the queue and the pool.
func (s script) arrange(p *pool, d *dice) {
	for g := range s.groups {
		group := string(rune('a' + g))
		for i := range s.messages {
			if body := fmt.Sprintf("%s-%d", group, i); d.below(s.full) {
				p.sendFull(group, body+"-full")
			} else {
				p.sendGroup(group, body)
			}
		}
	}
	late := latencies(s.seed, 200*time.Millisecond)
	p.faults(func(c sqstest.Call) sqstest.Fault {
		f := late(c)
		for i := range c.Entries {
			if strings.HasSuffix(c.Operation, "Batch") && d.below(s.flaky) {
				f.FailEntries = append(f.FailEntries, i)
			}
		}
		return f
	})
	p.share(s.sharing)
	p.cfg.GroupBy = func(m consumer.Message) string { return strconv.Itoa(int(m.Body[0]) % 2) } // of several FIFO groups
	p.cfg.DrainTimeout = s.drain
	p.sources.Random = func() float64 { return float64(d.upTo(time.Hour)) / float64(time.Hour) }
	p.cfg.Concurrency, p.cfg.Backoff, p.cfg.MaxBackoff = s.slots, time.Second, 20*time.Second
}

// leftovers returns the violations that remain after the last stop.
func (s script) leftovers(p *pool, o *order) (wrong []string) {
	if visible, hidden := p.depths(p.queueURL); visible+hidden > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages are left", visible+hidden))
	}
	for body, m := range p.dead() {
		if attribute(m, consumer.AttrReason) == "" && !full(body) && !o.cut[body] {
			wrong = append(wrong, body+" was dead-lettered without a reason")
		}
		if o.tried[body] == 0 && !o.untried[body] {
			wrong = append(wrong, body+" was dead-lettered unattempted")
		}
	}
	if len(o.settled) != s.groups*s.messages {
		wrong = append(wrong, fmt.Sprintf("%d messages of %d are settled", len(o.settled), s.groups*s.messages))
	}
	return append(wrong, o.wrong...)
}

func TestFIFO(t *testing.T) {
	t.Run("group keeps its order under all faults", testGroupKeepsItsOrderUnderAllFaults)
	t.Run("head without room for its reason does not take its followers along", testAHeadWithoutRoomForItsReasonDoesNotTakeItsFollowersAlong)
	t.Run("follower held up for twelve hours is dead lettered as that", testAFollowerHeldUpForTwelveHoursIsDeadLetteredAsThat)
	t.Run("retry happens in place and counts towards the last", testARetryHappensInPlaceAndCountsTowardsTheLast)
	t.Run("stop gives back the receives of tries in place", testStopGivesBackTheReceivesOfTriesInPlace)
	t.Run("deferred head looks again every few seconds and costs nothing", testADeferredHeadLooksAgainEveryFewSecondsAndCostsNothing)
	t.Run("lane is given back followers first", testALaneIsGivenBackFollowersFirst)
	t.Run("follower on its last receive is handled in order during a stop", testAFollowerOnItsLastReceiveIsHandledInOrderDuringAStop)
	t.Run("lost receive answer is fetched again", testALostReceiveAnswerIsFetchedAgain)
}

func testGroupKeepsItsOrderUnderAllFaults(t *testing.T) {
	if err := flag.Set("rapid.checks", strconv.Itoa(testutil.N(t, 50))); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		s := script{
			seed:        rapid.Uint64().Draw(r, "seed"),
			maxReceives: rapid.IntRange(1, 5).Draw(r, "maxReceives"),
			groups:      rapid.IntRange(1, 5).Draw(r, "groups"),
			messages:    rapid.IntRange(1, 8).Draw(r, "messages"),
			failing:     rapid.SampledFrom([]float64{0, 0.2, 0.6}).Draw(r, "failing"),
			deferring:   rapid.SampledFrom([]float64{0, 0.2, 0.3}).Draw(r, "deferring"),
			bad:         rapid.SampledFrom([]float64{0, 0.1}).Draw(r, "bad"),
			flaky:       rapid.SampledFrom([]float64{0, 0.2}).Draw(r, "flaky"),
			full:        rapid.SampledFrom([]float64{0, 0.3}).Draw(r, "full"),
			stops:       rapid.IntRange(0, 6).Draw(r, "stops"),
			drain:       rapid.SampledFrom([]time.Duration{25 * time.Second, time.Hour}).Draw(r, "drain"),
			slots:       rapid.SampledFrom([]int{1, 3, 20}).Draw(r, "slots"),
			sharing: sharing{
				batch: rapid.SampledFrom([]int{0, 0, 2, 5}).Draw(r, "batch"), limit: rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(r, "limit"),
			},
		}
		if wrong := s.play(t); len(wrong) > 0 {
			r.Fatalf("%+v: %s", s, strings.Join(wrong, "\n"))
		}
	})
}

// SQS moves a head without room for a reason to the dead-letter queue, and its followers are tried.
func testAHeadWithoutRoomForItsReasonDoesNotTakeItsFollowersAlong(t *testing.T) {
	for _, maxReceives := range []int{1, 3} {
		bubble(t, maxReceives, true, func(t *testing.T, p *pool) {
			p.handler = func(_ context.Context, m consumer.Message) error {
				if full(m.Body) {
					return errBoom
				}
				return nil
			}
			p.sendFull("a", "a-0-full")
			p.sendGroup("a", "a-1", "a-2")
			p.start()
			time.Sleep(10 * time.Minute)
			p.finishClean()
			p.wantDepths(p.queueURL, 0, 0)
			if dead := p.dead(); len(dead) != 1 || dead["a-0-full"].Body == nil {
				t.Errorf("maxReceiveCount %d: dead letters %v, want the head alone", maxReceives, slices.Collect(maps.Keys(dead)))
			}
			if tried := slices.Compact(p.bodies()); !slices.Equal(tried, []string{"a-0-full", "a-1", "a-2"}) {
				t.Errorf("maxReceiveCount %d: tried %v", maxReceives, tried)
			}
		})
	}
}

func testAFollowerHeldUpForTwelveHoursIsDeadLetteredAsThat(t *testing.T) {
	bubble(t, 1, true, func(t *testing.T, p *pool) {
		p.handler = func(context.Context, consumer.Message) error { return failure{keep: true} }
		p.sendGroup("a", "a-0", "a-1")
		p.start()
		time.Sleep(13 * time.Hour)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if got := attribute(p.dead()["a-1"], consumer.AttrReason); got != "held up and never tried" {
			t.Errorf("reason %q", got)
		}
	})
}

func testARetryHappensInPlaceAndCountsTowardsTheLast(t *testing.T) {
	bubble(t, 3, true, func(t *testing.T, p *pool) {
		type try struct {
			body  string
			count int
			last  bool
		}
		var tries []try
		p.handler = func(_ context.Context, m consumer.Message) error {
			tries = append(tries, try{m.Body, m.ReceiveCount, m.LastReceive})
			if m.Body == "a-0" {
				return errBoom
			}
			return nil
		}
		p.sendGroup("a", "a-0", "a-1", "a-2")
		p.start()
		time.Sleep(5 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		want := []try{{"a-0", 1, false}, {"a-0", 1, false}, {"a-0", 1, true}, {"a-1", 1, false}, {"a-2", 1, false}}
		if !slices.Equal(tries, want) {
			t.Errorf("tries %v, want %v", tries, want)
		}
		if got := attribute(p.dead()["a-0"], consumer.AttrReason); got != "failed on its last receive" {
			t.Errorf("reason %q", got)
		}
	})
}

// SQS would deliver the message again. So a stop that cancels its last try in place does not
// dead-letter it unless its end was recorded.
func testStopGivesBackTheReceivesOfTriesInPlace(t *testing.T) {
	bubble(t, 2, true, func(t *testing.T, p *pool) {
		p.cfg.DrainTimeout = 5 * time.Second
		var lasts []bool
		p.handler = func(ctx context.Context, m consumer.Message) error {
			lasts = append(lasts, m.LastReceive)
			if len(lasts) == 1 {
				return errBoom
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		p.sendGroup("a", "a-0")
		p.start()
		time.Sleep(time.Minute)
		p.finishClean()
		if !slices.Equal(lasts, []bool{false, true}) {
			t.Errorf("tries that were the last: %v, want the second", lasts)
		}
		p.wantDepths(p.queueURL, 1, 0)
		p.wantDepths(p.dlqURL, 0, 0)
	})
}

func testADeferredHeadLooksAgainEveryFewSecondsAndCostsNothing(t *testing.T) {
	bubble(t, 2, true, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 1
		c := newClockwork()
		p.handler = func(_ context.Context, m consumer.Message) error {
			if m.LastReceive {
				t.Errorf("%s: patience has used up its receives", m.Body)
			}
			if c.tick(m) <= 50 && m.Body == "a-0" {
				return failure{deferred: true, after: time.Hour}
			}
			return nil
		}
		p.sendGroup("a", "a-0", "a-1")
		p.sendGroup("b", "b-0")
		p.start()
		time.Sleep(10 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		ticks := c.at["a-0"]
		if len(ticks) != 51 || ticks[50] > 255*time.Second {
			t.Errorf("%d tries in %s", len(ticks), ticks[len(ticks)-1])
		}
		if at := c.at["b-0"][0]; at > time.Second {
			t.Errorf("the other group waited %s for a free slot", at)
		}
	})
}

// While the head is in flight, no other receiver gets its followers. So the head must be released
// last.
func testALaneIsGivenBackFollowersFirst(t *testing.T) {
	bubble(t, 10, true, func(t *testing.T, p *pool) {
		p.sendGroup("a", numbered(8)...)
		p.handler = func(context.Context, consumer.Message) error { return failure{deferred: true, after: time.Hour} }
		p.start()
		time.Sleep(time.Minute)
		var mu sync.Mutex
		var visible []int
		p.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault { // calls the server itself
			if c.Operation == "ChangeMessageVisibilityBatch" {
				n, _ := p.depths(p.queueURL)
				mu.Lock()
				defer mu.Unlock()
				visible = append(visible, n)
			}
			return sqstest.Fault{}
		})
		p.finishClean()
		p.faults(nil)
		p.wantDepths(p.queueURL, 8, 0)
		if len(visible) == 0 || visible[len(visible)-1] != 7 {
			t.Errorf("visible before each release: %v; want seven before the last", visible)
		}
	})
}

func testAFollowerOnItsLastReceiveIsHandledInOrderDuringAStop(t *testing.T) {
	bubble(t, 1, true, func(t *testing.T, p *pool) {
		var got []string
		p.handler = func(_ context.Context, m consumer.Message) error {
			time.Sleep(2 * time.Second)
			got = append(got, m.Body)
			return nil
		}
		p.sendGroup("a", numbered(8)...)
		p.start()
		time.Sleep(time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		if !slices.Equal(got, numbered(8)) {
			t.Errorf("handled %v", got)
		}
	})
}

// On FIFO queues a retried receive has the same attempt ID, so that it gets the messages of the
// lost answer.
func testALostReceiveAnswerIsFetchedAgain(t *testing.T) {
	bubble(t, 1, true, func(t *testing.T, p *pool) {
		lost := 0
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "ReceiveMessage" && lost < 5 { // more than the client's own retries
				lost++
				return sqstest.Fault{LoseAnswer: true}
			}
			return sqstest.Fault{}
		})
		p.sendGroup("a", "a-0", "a-1")
		p.start()
		time.Sleep(30 * time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		p.wantDepths(p.dlqURL, 0, 0)
		if n := len(p.bodies()); n != 2 {
			t.Errorf("%d handled", n)
		}
	})
}

func TestGroupsWorkInParallel(t *testing.T) {
	bubble(t, 3, true, func(t *testing.T, p *pool) {
		p.handler = func(context.Context, consumer.Message) error { time.Sleep(time.Minute); return nil }
		for g := range 20 {
			p.sendGroup(string(rune('a'+g)), "0", "1")
		}
		p.start()
		time.Sleep(2*time.Minute + time.Second)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}
