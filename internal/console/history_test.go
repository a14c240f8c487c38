package console

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

func TestHistory(t *testing.T) {
	t.Run("percentiles are at most a step too high", testPercentilesAreAtMostAStepTooHigh)
	t.Run("ring keeps the newest", testARingKeepsTheNewest)
	t.Run("failures that differ in names and numbers are one group", testFailuresThatDifferInNamesAndNumbersAreOneGroup)
	t.Run("sparklines cover a quarter of an hour", testSparklinesCoverAQuarterOfAnHour)
	t.Run("rates hold from the first seconds", testRatesHoldFromTheFirstSeconds)
	t.Run("countdowns follow claims and renewals", testCountdownsFollowClaimsAndRenewals)
	t.Run("task is known on fargate", testTheTaskIsKnownOnFargate)
}

func testPercentilesAreAtMostAStepTooHigh(t *testing.T) {
	for _, d := range []time.Duration{
		0, time.Microsecond, 64 * time.Microsecond, 65 * time.Microsecond, time.Millisecond, 17 * time.Millisecond,
		time.Second, 59 * time.Second, time.Hour, 12 * time.Hour,
	} {
		var h histogram
		h.add(d)
		got, ok := h.percentile(0.5)
		if !ok || got < d || float64(got) > max(float64(histogramUnit), 1.2*float64(d)) {
			t.Errorf("%s is shown as %s (%v)", d, got, ok)
		}
	}
	var h histogram
	if _, ok := h.percentile(0.5); ok {
		t.Error("nothing has a percentile")
	}
	for i := range 100 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	if p, _ := h.percentile(0.5); p < 50*time.Millisecond || p > 60*time.Millisecond {
		t.Errorf("p50 of 1 to 100 ms is %s", p)
	}
	if p, _ := h.percentile(0.99); p < 99*time.Millisecond || p > 119*time.Millisecond {
		t.Errorf("p99 of 1 to 100 ms is %s", p)
	}
	h = histogram{}
	h.add(-time.Second)
	h.add(1000 * time.Hour)
	if p, ok := h.percentile(1); !ok || p < 12*time.Hour {
		t.Errorf("a duration beyond the last step is shown as %s", p)
	}
}

func testARingKeepsTheNewest(t *testing.T) {
	r := newRing[int](3)
	for i := range 5 {
		if got := len(r.newest(10)); got != min(i, 3) {
			t.Fatalf("%d values after %d", got, i)
		}
		r.put(i)
	}
	if got := fmt.Sprint(r.newest(2), r.newest(9)); got != "[4 3] [4 3 2]" {
		t.Errorf("newest are %s", got)
	}
	var all []int
	r.each(func(v *int) bool { all = append(all, *v); return true })
	if fmt.Sprint(all) != "[2 3 4]" {
		t.Errorf("in order they are %v", all)
	}
}

func testFailuresThatDifferInNamesAndNumbersAreOneGroup(t *testing.T) {
	same := []string{
		`"order-17" is rejected after attempt 5: card declined`,
		`"order \"18\"" is rejected after attempt 12: card declined` + "\nstack",
		` "x" is rejected after attempt 1: card declined`,
	}
	for _, text := range same {
		if got := pattern(text); got != "“…” is rejected after attempt #: card declined" {
			t.Errorf("%q is grouped as %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"":                     "failed without a text",
		`dial tcp 10.0.0.1:80`: "dial tcp #.#.#.#:#",
		`target answered 503 Service Unavailable: db 10.0.0.1: 250 waiting`: "target answered 503 Service Unavailable: db #.#.#.#: # waiting",
		`unclosed "quote`:           `unclosed "quote`,
		`id 3f2a-77 of café`:        "id # of café",
		strings.Repeat("word ", 90): clip(strings.Repeat("word ", 90)[:maxPattern], maxPattern),
	} {
		if got := pattern(text); got != want {
			t.Errorf("%q is grouped as %q, want %q", text, got, want)
		}
	}
}

func FuzzPatternIsBoundedText(f *testing.F) {
	f.Add(`"a" b 3`)
	f.Add("\xff\x00\"\\")
	f.Fuzz(func(t *testing.T, text string) {
		got := pattern(text)
		if len(got) > maxPattern || got != strings.ToValidUTF8(got, "") || got == "" {
			t.Errorf("%q is grouped as %q", text, got)
		}
	})
}

func FuzzClipIsBoundedText(f *testing.F) {
	f.Add("äöü", 4)
	f.Add("00\xe600000", 4)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = 3 + min(max(n, 0), 1000)
		got := clip(s, n)
		if len(got) > n || got != strings.ToValidUTF8(got, "") {
			t.Errorf("%q cut to %d is %q", s, n, got)
		}
		if valid := strings.ToValidUTF8(s, "\uFFFD"); len(valid) <= n && valid != got && len(s) <= n {
			t.Errorf("%q was short enough, but became %q", s, got)
		}
	})
}

// feed passes one message through the hooks: claimed, run, deleted.
func feed(h *History, id, name string, took time.Duration) {
	c, d := h.ConsumerHooks(nil, consumer.Hooks{}), h.DedupeHooks(dedupe.Hooks{})
	m := consumer.Message{ID: id, ReceiveCount: 1, SentAt: time.Now()}
	c.Received(1, 0)
	a := dedupe.Attempt{Name: name, MessageID: id, Number: 1, Fence: 7}
	d.Claimed(a)
	time.Sleep(took)
	d.Settled(a, "completed", took, nil)
	done := consumer.Disposition{Action: consumer.Delete}
	c.Handled(m, done, took)
	c.Ended(m, done)
}

func TestHistoryCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory(30 * time.Second)
		time.Sleep(time.Minute)
		c, d := h.ConsumerHooks(nil, consumer.Hooks{}), h.DedupeHooks(dedupe.Hooks{})
		feed(h, "m-1", "order-1", 10*time.Millisecond)
		for _, kind := range []string{"recorded", "cached", "joined"} {
			d.Replayed(dedupe.Attempt{Name: "order-1"}, kind)
		}
		h.called()
		h.called()
		m := consumer.Message{ID: "m-2", ReceiveCount: 3, SentAt: time.Now()}
		c.Received(1, 0)
		d.Deferred(dedupe.Attempt{Name: "order-2", MessageID: "m-2"}, time.Second)
		c.Handled(m, consumer.Disposition{Action: consumer.Release, Failure: true, Err: errors.New("card declined")}, time.Second)

		f := h.figures(time.Now())
		for what, got := range map[string]float64{
			"received": f.Received / 2, "handled": f.Handled, "failed": f.Failed, "recorded": f.Recorded,
			"cached": f.Cached, "joined": f.Joined, "deferred": f.Deferred,
		} {
			if want := 1 / (5 + float64(time.Now().UnixNano()%int64(bucketTime))/1e9); math.Abs(got-want) > 0.001 {
				t.Errorf("%s: %g a second, want %g", what, got, want)
			}
		}
		if *f.PerMessage != 2 {
			t.Errorf("%g calls per message", *f.PerMessage)
		}
		if *f.HandleP50 < 10 || *f.HandleP50 > 12 {
			t.Errorf("p50 is %g ms", *f.HandleP50)
		}
		got := h.recent(10)
		if len(got) != 2 || got[1].Name != "order-1" || got[1].Outcome != "completed" || got[1].Attempt != 1 || got[1].Fence != 7 {
			t.Errorf("outcomes are %+v", got)
		}
		if got[0].Error != "card declined" || got[0].Outcome != "deferred" || got[0].Receive != 3 {
			t.Errorf("the last outcome is %+v", got[0])
		}
		if groups := h.groups(); len(groups) != 1 || groups[0].Count != 1 || groups[0].Name != "order-2" || groups[0].Sample != "card declined" {
			t.Errorf("failures are %+v", groups)
		}
		if trail := h.trail("order-1", 10); len(trail) != 5 || trail[0].Kind != "claimed" || trail[1].Kind != "completed" {
			t.Errorf("the trail is %+v", trail)
		}
		if trail := h.trail("order-1", 2); len(trail) != 2 || trail[1].Kind != "joined" {
			t.Errorf("the end of the trail is %+v", trail)
		}
	})
}

func testSparklinesCoverAQuarterOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory(time.Second)
		if got := h.points(time.Now(), bucketCount); len(got) != 0 {
			t.Fatalf("%d points before anything happened", len(got))
		}
		h.received(10)
		time.Sleep(time.Minute)
		h.received(5)
		time.Sleep(3 * time.Second)
		got := h.points(time.Now(), bucketCount)
		if len(got) != 13 || got[0].Received != 2 || got[1].Received != 0 || got[1].InFlight != 10 || got[11].InFlight != 10 || got[12].InFlight != 15 {
			t.Fatalf("%d points: %+v", len(got), got)
		}
		if last := got[12]; last.Oldest != nil || last.Visible != nil || last.HandleP50 != nil || last.PerMsg != nil {
			t.Errorf("unmeasured values are shown: %+v", last)
		}
		h.gauge(time.Now(), gaugeReading{oldest: time.Second, visible: 3, hidden: -1, delayed: 0, dl: 4})
		if last := h.points(time.Now(), 1)[0]; *last.Oldest != 1 || *last.Visible != 3 || last.Hidden != nil || *last.Delayed != 0 || *last.Dead != 4 {
			t.Errorf("the measured point is %+v", last)
		}
		for range 15 {
			h.ended("m")
		}
		time.Sleep(10 * time.Second)
		if got := h.points(time.Now(), 2); len(got) != 2 || got[0].InFlight != 0 || got[1].InFlight != 0 {
			t.Errorf("after all have ended there are %+v", got)
		}
		time.Sleep(15 * time.Minute)
		h.received(0)
		time.Sleep(2 * time.Second)
		if got := h.points(time.Now(), bucketCount); len(got) == 0 || got[0].Received != 0 {
			t.Errorf("an old interval is shown as a new one: %+v", got)
		}
	})
}

func testRatesHoldFromTheFirstSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(4 * time.Second) // the worker starts late in an interval
		h := NewHistory(time.Second)
		for second := range 90 {
			time.Sleep(500 * time.Millisecond)
			for range 10 {
				feed(h, "m", "order-1", 0)
			}
			time.Sleep(500 * time.Millisecond)
			if f := h.figures(time.Now()); math.Abs(f.Handled-10) > 0.01 || math.Abs(f.Ended-10) > 0.01 {
				t.Errorf("after %d s: %g handled and %g ended a second", second+1, f.Handled, f.Ended)
			}
			for _, p := range h.points(time.Now(), bucketCount) {
				if math.Abs(p.Handled-10) > 0.01 {
					t.Errorf("after %d s: %g handled a second in the stretch of %d", second+1, p.Handled, p.T)
				}
			}
		}
	})
}

func testCountdownsFollowClaimsAndRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory(30 * time.Second)
		d := h.DedupeHooks(dedupe.Hooks{})
		a := dedupe.Attempt{Name: "order-1", MessageID: "m-1", Number: 2, Fence: 7}
		h.received(1)
		d.Claimed(a)
		time.Sleep(10 * time.Second)
		d.Renewed(dedupe.Attempt{Name: "order-1", MessageID: "m-1", Fence: 6}, nil) // of an earlier attempt
		d.Renewed(a, errors.New("no answer"))
		flights := []Flight{{ID: "m-1", Phase: "running", ReceiveCount: 1}, {ID: "m-2", Name: "order-1", Phase: "queued"}}
		rows, n := h.flightRows(flights)
		if until := time.UnixMilli(rows[0].LeaseUntil); n != 2 || rows[0].Name != "order-1" || rows[0].Attempt != 2 || time.Until(until) != 20*time.Second {
			t.Errorf("the row is %+v", rows[0])
		}
		if rows[1].LeaseUntil != 0 || rows[1].Attempt != 0 {
			t.Errorf("a message that waits holds a lease: %+v", rows[1])
		}
		d.Renewed(a, nil)
		rows, _ = h.flightRows(flights)
		if until := time.UnixMilli(rows[0].LeaseUntil); time.Until(until) != 30*time.Second {
			t.Errorf("after a renewal %s are left", time.Until(until))
		}
		if !h.holdsName("order-1", 7) || h.holdsName("order-1", 8) || h.holdsName("order-2", 7) {
			t.Error("the holder of the name is not known")
		}
		d.Settled(a, "completed", time.Second, nil)
		if h.holdsName("order-1", 7) {
			t.Error("a settled attempt still holds its name")
		}
	})
}

// Of several messages of a name only one runs.
func TestFlightRows(t *testing.T) {
	h := NewHistory(30 * time.Second)
	d := h.DedupeHooks(dedupe.Hooks{})
	d.Claimed(dedupe.Attempt{Name: "order-1", MessageID: "m-2", Number: 1, Fence: 7})
	var flights []Flight
	for _, id := range []string{"m-1", "m-2", "m-3"} {
		flights = append(flights, Flight{ID: id, Name: "order-1", Phase: "running", ReceiveCount: 1})
	}
	flights = append(flights, Flight{ID: "m-4", Name: "order-2", Phase: "running"}, Flight{ID: "m-5", Name: "order-1", Phase: "parked"})
	rows, _ := h.flightRows(flights)
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s %s %s %d", r.ID, r.Phase, r.WaitsFor, r.Fence))
	}
	want := []string{"m-1 waiting m-2 0", "m-2 running  7", "m-3 waiting m-2 0", "m-4 running  0", "m-5 parked  0"}
	if !slices.Equal(got, want) {
		t.Errorf("rows are %q, want %q", got, want)
	}
}

// A verdict belongs to its own message, in any order of the pool's decisions.
func TestVerdict(t *testing.T) {
	h := NewHistory(30 * time.Second)
	named := func(m consumer.Message) (string, bool) { return "read of " + m.ID, true }
	c, d := h.ConsumerHooks(named, consumer.Hooks{}), h.DedupeHooks(dedupe.Hooks{})
	of := func(id string) dedupe.Attempt {
		return dedupe.Attempt{Name: "order-1", MessageID: id, Number: 1, Fence: 7}
	}
	d.Claimed(of("m-1"))
	d.Settled(of("m-1"), "completed", time.Second, nil)
	d.Replayed(dedupe.Attempt{Name: "order-1", MessageID: "m-2"}, "joined")
	d.Refused(dedupe.Attempt{Name: "order-1", MessageID: "m-3"}, "mismatch")
	var got []string
	for _, id := range []string{"m-3", "m-2", "m-4", "m-1"} {
		m := consumer.Message{ID: id}
		c.Handled(m, consumer.Disposition{Action: consumer.Delete}, time.Second)
		c.Ended(m, consumer.Disposition{Action: consumer.Delete})
		o := h.recent(1)[0]
		got = append(got, fmt.Sprintf("%s %s %s %d", o.ID, o.Name, o.Outcome, o.Attempt))
	}
	want := []string{"m-3 order-1 mismatch 0", "m-2 order-1 joined 0", "m-4 read of m-4 delete 0", "m-1 order-1 completed 1"}
	if !slices.Equal(got, want) {
		t.Errorf("outcomes are %q, want %q", got, want)
	}
	if n := h.guarded.Len(); n != 0 {
		t.Errorf("%d messages are remembered after their end", n)
	}
}

// SQS delivers a message again while its first delivery is still in the worker.
func TestVerdictOfTwoDeliveries(t *testing.T) {
	h := NewHistory(30 * time.Second)
	c, d := h.ConsumerHooks(nil, consumer.Hooks{}), h.DedupeHooks(dedupe.Hooks{})
	first := consumer.Message{ID: "m-1", ReceiptHandle: "a", ReceiveCount: 1}
	second := consumer.Message{ID: "m-1", ReceiptHandle: "b", ReceiveCount: 2}
	lost := dedupe.Attempt{Name: "order-17", MessageID: "m-1", Number: 1, Fence: 7}
	taken := dedupe.Attempt{Name: "order-17", MessageID: "m-1", Number: 2, Fence: 8}
	row := func() FlightRow {
		rows, _ := h.flightRows([]Flight{{ID: "m-1", Phase: "running", ReceiveCount: 2}})
		return rows[0]
	}
	d.Claimed(lost)
	d.Claimed(taken)
	d.Settled(lost, "lost", time.Second, nil)
	c.Handled(first, consumer.Disposition{Action: consumer.Release}, time.Second)
	c.Ended(first, consumer.Disposition{Action: consumer.Release})
	if got := row(); got.Name != "order-17" || got.Attempt != 2 || got.Fence != 8 || got.LeaseUntil == 0 {
		t.Errorf("after the first delivery has ended the second is %+v", got)
	}
	d.Settled(taken, "completed", time.Second, nil)
	if row().LeaseUntil != 0 {
		t.Error("a settled attempt still holds its name")
	}
	c.Handled(second, consumer.Disposition{Action: consumer.Delete}, time.Second)
	c.Ended(second, consumer.Disposition{Action: consumer.Delete})
	if got := row().Name; got != "" {
		t.Errorf("after both have ended their name is still %q", got)
	}
	var outcomes []string
	for _, o := range h.recent(10) {
		outcomes = append(outcomes, fmt.Sprintf("%s %d", o.Outcome, o.Attempt))
	}
	if got := strings.Join(outcomes, "; "); got != "completed 2; lost 1" {
		t.Errorf("outcomes are %s", got)
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	h := NewHistory(time.Second)
	c, d := h.ConsumerHooks(nil, consumer.Hooks{}), h.DedupeHooks(dedupe.Hooks{})
	long := strings.Repeat("n", 600)
	for i := range 3 * maxMessages {
		a := dedupe.Attempt{Name: fmt.Sprintf("%s-%d", long, i), MessageID: fmt.Sprint(i)}
		d.Claimed(a)
		for range 2 * maxVerdicts {
			d.Refused(a, "mismatch")
		}
	}
	for i := range 1000 {
		// The errors differ in words, so that each has its own group.
		err := errors.New(strings.Repeat(string(rune('a'+i%26)), 1+i/26) + strings.Repeat(" x", 4000))
		c.Handled(consumer.Message{ID: long, ReceiveCount: 1}, consumer.Disposition{Action: consumer.Release, Failure: true, Err: err}, 0)
	}
	for what, n := range map[string][2]int{
		"messages": {h.guarded.Len(), maxMessages}, "verdicts": {len(h.guarded.Values()[0].verdicts), maxVerdicts},
		"failures": {len(h.failures), maxFailures}, "outcomes": {len(h.recent(1 << 20)), maxOutcomes},
	} {
		if n[0] > n[1] {
			t.Errorf("%d %s are kept, more than %d", n[0], what, n[1])
		}
	}
	for _, o := range h.recent(maxOutcomes) {
		if len(o.Name) > maxNameKept || len(o.Error) > maxErrorKept || len(o.ID) > 100 {
			t.Fatalf("an outcome has %d bytes of name, %d of error, %d of id", len(o.Name), len(o.Error), len(o.ID))
		}
	}
}

func TestHooksAreChained(t *testing.T) {
	h := NewHistory(time.Second)
	var next []string
	c := h.ConsumerHooks(nil, consumer.Hooks{
		Received: func(int, time.Duration) { next = append(next, "received") },
		Handled:  func(consumer.Message, consumer.Disposition, time.Duration) { next = append(next, "handled") },
		Ended:    func(consumer.Message, consumer.Disposition) { next = append(next, "ended") },
	})
	d := h.DedupeHooks(dedupe.Hooks{
		Claimed:  func(dedupe.Attempt) { next = append(next, "claimed") },
		Replayed: func(dedupe.Attempt, string) { next = append(next, "replayed") },
		Settled:  func(dedupe.Attempt, string, time.Duration, error) { next = append(next, "settled") },
	})
	c.Received(1, 0)
	d.Claimed(dedupe.Attempt{Name: "a"})
	d.Settled(dedupe.Attempt{Name: "a"}, "completed", 0, nil)
	d.Replayed(dedupe.Attempt{Name: "a"}, "cached")
	c.Handled(consumer.Message{ID: "m"}, consumer.Disposition{Action: consumer.Delete}, 0)
	c.Ended(consumer.Message{ID: "m"}, consumer.Disposition{})
	if got := strings.Join(next, " "); got != "received claimed settled replayed handled ended" {
		t.Errorf("the next caller got %q", got)
	}
	if f := h.figures(time.Now()); f.Handled == 0 || f.Cached == 0 || f.Received == 0 {
		t.Errorf("the history knows %+v", f)
	}
}

func testTheTaskIsKnownOnFargate(t *testing.T) {
	for uri, want := range map[string]string{
		"http://169.254.170.2/v4/cd189a933e5849daa93386466019ab50-2495160603": "cd189a933e5849daa93386466019ab50",
		"http://169.254.170.2/v4/6bb3e0b8-6d61-4d7c-8b6c-1a1e2e3f4a5b":        "",
		"": "",
	} {
		if got := TaskID(uri); got != want {
			t.Errorf("the task of %q is %q", uri, got)
		}
	}
}

func TestSettingsAreInOrder(t *testing.T) {
	if got := fmt.Sprint(Settings(map[string]any{"b": []int{1, 2}, "a": "x", "c": true, "d-token": []string(nil)})); got != "[{a x} {b [1 2]} {c true} {d-token }]" {
		t.Errorf("settings are %s", got)
	}
}
