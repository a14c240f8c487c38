package sim

import (
	"math/rand/v2"
	"time"
)

// dice draws random numbers from the seed and the subject of a decision. Two runs of a seed
// therefore draw the same numbers, in whatever order their goroutines ask.
type dice struct{ seed uint64 }

// roll returns the random numbers for the n-th decision of a kind about key.
func (d dice) roll(kind, key string, n int) *rand.Rand {
	h := mix(d.seed, kind)
	h = mix(h, key)
	return rand.New(rand.NewPCG(h, uint64(n)))
}

// mix is FNV-1a with h as its start, and a final scramble.
func mix(h uint64, s string) uint64 {
	h ^= 14695981039346656037
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15
}

// between draws a duration in [low, high), in nanoseconds.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// chance reports true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }
