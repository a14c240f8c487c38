package consumer

import "time"

// Bounds of the rate that refusals set.
const (
	cutTo       = 0.75             // what a refusal leaves of the rate
	raisePerSec = 1.0              // what it regains each second
	leastRate   = 1.0              // messages a second
	forgetRate  = 10 * time.Minute // without a refusal
)

// startRate bounds how many messages are begun a second: by the setting, and by what
// refusals have brought it to, which rises again by itself. It is a token bucket.
type startRate struct {
	limit  float64 // messages a second by the setting; 0: none
	cutter float64 // messages a second after the last cut; 0: never refused
	cutAt  time.Time
	spared time.Time // no other cut before

	tokens float64
	filled time.Time

	starts   int // since counted
	counted  time.Time
	measured float64 // starts a second before that
}

// perSecond is the rate now; 0: no bound.
func (r *startRate) perSecond(now time.Time) float64 {
	if r.cutter == 0 || now.Sub(r.cutAt) > forgetRate {
		return r.limit
	}
	risen := r.cutter + raisePerSec*now.Sub(r.cutAt).Seconds()
	if r.limit == 0 {
		return risen
	}
	return min(r.limit, risen)
}

// next is when the next message may be begun; zero: now.
func (r *startRate) next(now time.Time) time.Time {
	rate := r.perSecond(now)
	if rate == 0 {
		return time.Time{}
	}
	r.fill(now, rate)
	if r.tokens >= 1 {
		return time.Time{}
	}
	return now.Add(time.Duration((1-r.tokens)/rate*float64(time.Second)) + 1)
}

// fill adds what has come since the last time. Refusals allow no bursts.
func (r *startRate) fill(now time.Time, rate float64) {
	burst := max(1, float64(int(r.limit)))
	if rate != r.limit {
		burst = 1
	}
	if r.filled.IsZero() {
		r.tokens = burst
	} else {
		r.tokens = min(burst, r.tokens+rate*now.Sub(r.filled).Seconds())
	}
	r.filled = now
}

// take counts a start.
func (r *startRate) take(now time.Time) {
	if passed := now.Sub(r.counted); passed >= time.Second {
		r.measured, r.starts, r.counted = float64(r.starts)/passed.Seconds(), 0, now
	}
	r.starts++
	if r.tokens > 0 {
		r.tokens--
	}
}

// cut lowers the rate after a refusal that asks to be left alone for a while.
func (r *startRate) cut(now time.Time, asked time.Duration) {
	if now.Before(r.spared) {
		return
	}
	rate := max(r.measured, float64(r.starts))
	if bound := r.perSecond(now); bound > 0 {
		rate = min(rate, bound)
	}
	if r.cutter == 0 {
		r.tokens, r.filled = 0, now
	}
	r.cutter, r.cutAt = max(leastRate, cutTo*rate), now
	r.spared = now.Add(max(time.Second, asked))
}
