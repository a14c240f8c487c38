// Package pinned replaces the random numbers and the scheduling of a worker by those
// of a simulation, through a context, so that a seed says everything.
package pinned

import (
	"context"
	"math/rand/v2"
	"runtime"
)

// Sources are what a simulation decides. A nil field means the default. Both must be
// safe for concurrent use.
type Sources struct {
	// Random returns numbers from 0, included, to 1, not included. Default [rand.Float64].
	Random func() float64
	// Yield lets other goroutines run before a call of an operation, such as
	// "ReceiveMessage", goes out that could carry more. Default [runtime.Gosched].
	Yield func(operation string)
}

type key struct{}

// With returns a context that carries s.
func With(ctx context.Context, s Sources) context.Context { return context.WithValue(ctx, key{}, s) }

// From returns the sources that ctx carries, defaults filled in.
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
