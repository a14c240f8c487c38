package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Rates are the probabilities of the faults of one call.
type Rates struct {
	Refuse   float64 // an error, not applied
	Throttle float64 // the same, at once
	Lose     float64 // applied, the answer lost
	Hang     float64 // no answer until the caller stops waiting; applied or not
	Late     float64 // applied after the caller has stopped waiting
	Entry    float64 // one entry of a batch fails
	CrashAt  float64 // the caller dies here, before or after the effect
}

// Plan is the configuration of a run, drawn from the seed.
type Plan struct {
	Seed uint64
	Live bool // faults end at Chaos, and then all messages must settle

	FIFO        bool
	MaxReceives int
	Workers     int
	Concurrency int
	Names       int
	Messages    int  // messages of all names, duplicates included
	Groups      int  // of a FIFO queue
	Bursts      bool // messages are sent in groups, so that calls are batched
	Mismatch    float64

	Visibility, Lease, Skew time.Duration
	Drain                   time.Duration
	MaxAttempts             int
	Hold                    bool

	// See Shared.
	Batch            int           // messages of a batch at most; 0: they are handled one by one
	BatchWait        time.Duration // for others
	BatchFail        float64       // probability that a batch fails as a whole
	GroupConcurrency int           // messages of a group at a time, in each process; 0: no bound
	GroupRate        float64       // and a second

	Late time.Duration // timers and goroutines are late by up to this; see Delayed

	Chaos  time.Duration // duration of the faults
	Settle time.Duration // within this time after the faults all messages must settle

	Store, Queue Rates

	Duplicate  float64 // a receive leaves a copy of its messages in the queue
	Early      float64 // a message becomes visible while it is handled
	DeleteLost float64 // a delete is answered without effect
	NoDelete   float64 // a delete is refused, in addition to Queue

	Slow, Fail, Permanent, Panic, Deaf float64 // behaviour of handlers; Deaf: ignores cancellation

	Crashes, Pauses, Restarts int // at random times, in addition to Rates.CrashAt; restarts are graceful
	MaxPause                  time.Duration
	StoreOutages              int
	QueueOutages              int
	TargetOutages             int
	Cuts                      int // times that a host loses the store for longer than a lease
	Redrives                  int // of the dead-letter queue

	Clock  time.Duration // clocks are wrong by at most half of this
	Steps  int           // number of clock steps
	Beyond bool          // clocks differ by more than Skew: attempts may overlap with different fences

	Trouble Trouble // faults of single messages; see NewTroubled
}

// NewPlan draws a plan. About half of the plans lack a given kind of fault, because frequent faults
// of one kind can hide others.
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

// Crowded returns the plan with many names at a time, so that writes and reads are batched.
func (p Plan) Crowded() Plan {
	r := dice{p.Seed}.roll("crowd", "", 0)
	p.Bursts = true
	p.Names = 10 + r.IntN(20)
	p.Messages = p.Names + r.IntN(20)
	p.Workers, p.Concurrency = min(p.Workers, 3), pick(r, 10, 25)
	return p
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// rate draws a probability: zero in half of the draws, else spread over two orders of magnitude.
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
