package consumer

import "time"

// Bounds of the rate after refusals.
const (
	cutTo       = 0.75             // share of the rate that a refusal leaves
	raisePerSec = 1.0              // rise of the rate per second, in messages per second
	leastRate   = 1.0              // messages per second
	leastLimit  = 1e-6             // messages per second; the time of the next start fits a Duration
	mostLimit   = 1e9              // messages per second; a burst fits an int
	forgetRate  = 10 * time.Minute // time without a refusal after which the rate is no longer reduced
)

// goodRate reports whether a configured limit is 0, which means none, or within its bounds. NaN is
// not.
func goodRate(limit float64) bool {
	return limit == 0 || limit >= leastLimit && limit <= mostLimit
}

// startRate bounds the starts per second by the configured limit and by a lower rate after
// refusals, which rises again over time. It is a token bucket.
type startRate struct {
	limit  float64 // configured starts per second; 0 means no limit
	cutter float64 // starts per second after the last cut; 0 means no refusal so far
	cutAt  time.Time
	spared time.Time // earliest next cut

	tokens float64
	filled time.Time

	starts   int // starts since counted
	counted  time.Time
	measured float64 // starts per second in the period before counted
}

// perSecond returns the current rate; 0 means no bound.
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

// next returns when the next message may start; zero means now.
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

// fill adds the tokens for the time since the last call. A rate reduced by refusals allows no
// bursts.
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

// take records a start.
func (r *startRate) take(now time.Time) {
	if passed := now.Sub(r.counted); passed >= time.Second {
		r.measured, r.starts, r.counted = float64(r.starts)/passed.Seconds(), 0, now
	}
	r.starts++
	if r.tokens > 0 {
		r.tokens--
	}
}

// cut lowers the rate after a refusal. asked is the refusal's RetryAfter.
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
