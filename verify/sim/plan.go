package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Rates are the probabilities of the faults of one call.
type Rates struct {
	Refuse   float64 // an error, nothing applied
	Throttle float64 // the same, at once
	Lose     float64 // applied, the answer lost
	Hang     float64 // no answer until the caller gives up; applied or not
	Late     float64 // applied after the caller has given up
	Entry    float64 // one entry of a batch fails
	CrashAt  float64 // the caller dies here, before or after the effect
}

// Plan is everything that a seed decides before a run begins.
type Plan struct {
	Seed uint64
	Live bool // faults end at Chaos, and then everything must settle

	FIFO        bool
	MaxReceives int
	Workers     int
	Concurrency int
	Names       int
	Messages    int  // Names and duplicates of them
	Groups      int  // of a FIFO queue
	Bursts      bool // messages come many at a time, so that calls are shared
	Mismatch    float64

	Visibility, Lease, Skew time.Duration
	Drain                   time.Duration
	MaxAttempts             int
	Hold                    bool

	Chaos  time.Duration // how long faults are met
	Settle time.Duration // within which all is settled after that

	Store, Queue Rates

	Duplicate  float64 // a receive delivers, and leaves a copy behind
	Early      float64 // a message is visible again while it is handled
	DeleteLost float64 // a delete is answered and does nothing
	NoDelete   float64 // a delete is refused, beside Queue

	Slow, Fail, Permanent, Panic, Deaf float64 // of handlers; Deaf: ignores cancellation

	Crashes, Pauses, Restarts int // by time, beside Rates.CrashAt; restarts are graceful
	MaxPause                  time.Duration
	StoreOutages              int
	QueueOutages              int
	TargetOutages             int
	Cuts                      int // of one host from the store, for longer than a lease
	Redrives                  int // of the dead-letter queue

	Clock  time.Duration // clocks are off by at most half of this
	Steps  int           // of clocks
	Beyond bool          // clocks differ by more than Skew: attempts may overlap, and only fences tell them apart

	Trouble Trouble // of single messages; see NewTroubled
}

// NewPlan draws a plan. Each kind of fault is absent from about half of the
// plans: what hides behind frequent faults is found where they are missing.
func NewPlan(seed uint64, live bool) Plan {
	r := dice{seed}.roll("plan", "", 0)
	p := Plan{
		Seed: seed, Live: live,
		FIFO:        chance(r, 0.4),
		MaxReceives: pick(r, 1, 2, 3, 3, 5, 10, 10),
		Workers:     pick(r, 1, 1, 2, 2, 2, 3, 3, 4, 6, 16),
		Concurrency: pick(r, 1, 2, 3, 5, 12),
		Names:       1 + r.IntN(6),
		Groups:      1 + r.IntN(3),
		Visibility:  60 * time.Second, Lease: 30 * time.Second, Skew: 2 * time.Second,
		Drain:       pick(r, time.Second, 5*time.Second, 25*time.Second, 25*time.Second),
		MaxAttempts: pick(r, 1, 2, 3, 5, 5, 20),
		Hold:        chance(r, 0.2),
		Chaos:       between(r, time.Minute, 12*time.Minute),
		Settle:      3 * time.Hour,
	}
	if chance(r, 0.3) {
		p.Visibility, p.Lease, p.Skew = 30*time.Second, 10*time.Second, time.Second
	}
	p.Messages = p.Names + r.IntN(12)
	if chance(r, 0.2) {
		p.Mismatch = 0.1
	}
	p.Store, p.Queue = rates(r), rates(r)
	p.Duplicate, p.Early, p.DeleteLost = rate(r), rate(r), rate(r)
	p.Slow = pick(r, 0, 0, 0.02, 0.1, 0.5, 1)
	p.Fail, p.Permanent, p.Panic, p.Deaf = 3*rate(r), rate(r), rate(r), rate(r)
	p.Crashes, p.Pauses, p.Restarts = some(r, 4), some(r, 3), some(r, 4)
	p.MaxPause = 3 * p.Lease
	p.StoreOutages, p.QueueOutages, p.TargetOutages = some(r, 2), some(r, 2), some(r, 2)
	p.Redrives = some(r, 3)
	p.Cuts = some(r, 3)
	if chance(r, 0.5) {
		p.Clock, p.Steps = p.Skew, some(r, 4)
		if chance(r, 0.2) {
			p.Clock, p.Beyond = 100*time.Second, true
		}
	}
	return p
}

// Crowded is the plan with many names at a time, so that writes and reads share
// calls.
func (p Plan) Crowded() Plan {
	r := dice{p.Seed}.roll("crowd", "", 0)
	p.Bursts = true
	p.Names = 10 + r.IntN(20)
	p.Messages = p.Names + r.IntN(20)
	p.Workers, p.Concurrency = min(p.Workers, 3), pick(r, 10, 25)
	return p
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// rate is zero for half of the plans, and else spread over two magnitudes.
func rate(r *rand.Rand) float64 {
	if chance(r, 0.5) {
		return 0
	}
	return 0.2 * math.Pow(10, -2*r.Float64())
}

func some(r *rand.Rand, most int) int {
	if chance(r, 0.5) {
		return 0
	}
	return 1 + r.IntN(most)
}

func rates(r *rand.Rand) Rates {
	if chance(r, 0.25) {
		return Rates{}
	}
	return Rates{
		Refuse: rate(r), Throttle: rate(r), Lose: rate(r), Hang: rate(r) / 2, Late: rate(r) / 2,
		Entry: rate(r), CrashAt: rate(r) / 10,
	}
}
