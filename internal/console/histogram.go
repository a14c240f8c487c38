package console

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in steps of a quarter of an octave, from 64 µs to more than 12 hours.
// A percentile is at most 19 % too high.
type histogram [histogramSteps]uint32

const (
	histogramUnit  = 64 * time.Microsecond // the lowest step ends here
	histogramSteps = 30*4 + 1              // 64 µs × 2^30 is 19 hours
)

// stepBounds are the upper bounds of the four steps of an octave, in 1/1024 of the octave's lower
// bound.
var stepBounds = [4]uint64{1218, 1448, 1722, 2048}

// add counts d. Negative durations, from differing clocks, count in the lowest step.
func (h *histogram) add(d time.Duration) { h[stepOf(d)]++ }

func stepOf(d time.Duration) int {
	if d <= histogramUnit {
		return 0
	}
	n := uint64(d)
	octave := bits.Len64((n-1)/uint64(histogramUnit)) - 1
	floor := uint64(histogramUnit) << octave
	quarter := 0
	for quarter < 3 && n*1024 > floor*stepBounds[quarter] {
		quarter++
	}
	return min(1+octave*4+quarter, histogramSteps-1)
}

// merge adds the counts of other.
func (h *histogram) merge(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// percentile returns the smallest step end that the share p (0 to 1) of all durations does not
// exceed; false if none was counted.
func (h *histogram) percentile(p float64) (time.Duration, bool) {
	var total uint64
	for _, n := range h {
		total += uint64(n)
	}
	if total == 0 {
		return 0, false
	}
	rank := max(1, uint64(math.Ceil(p*float64(total))))
	for i, n := range h {
		if rank <= uint64(n) {
			return stepEnd(i), true
		}
		rank -= uint64(n)
	}
	return stepEnd(histogramSteps - 1), true
}

// stepEnd returns the upper bound of a step.
func stepEnd(i int) time.Duration {
	if i == 0 {
		return histogramUnit
	}
	octave, quarter := (i-1)/4, (i-1)%4
	return time.Duration((uint64(histogramUnit) << octave) / 1024 * stepBounds[quarter])
}
