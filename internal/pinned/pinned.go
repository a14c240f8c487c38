// Package pinned replaces the random numbers and the scheduling of a worker through a context. A
// simulation is then determined by its seed.
package pinned

import (
	"context"
	"math/rand/v2"
	"runtime"
)

// Sources are the replacements. A nil field means the default. Both must be safe for concurrent
// use.
type Sources struct {
	// Random returns numbers in [0,1). Default [rand.Float64].
	Random func() float64
	// Yield lets other goroutines run before a batched call of the given operation, such as
	// "ReceiveMessage", so that they can join the batch. Default [runtime.Gosched].
	Yield func(operation string)
}

type key struct{}

// With returns a context that carries s.
func With(ctx context.Context, s Sources) context.Context { return context.WithValue(ctx, key{}, s) }

// From returns the sources in ctx, with the defaults filled in.
func From(ctx context.Context) Sources {
	s, _ := ctx.Value(key{}).(Sources)
	if s.Random == nil {
		s.Random = rand.Float64
	}
	if s.Yield == nil {
		s.Yield = func(string) { runtime.Gosched() }
	}
	return s
}
