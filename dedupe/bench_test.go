package dedupe_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/stack"
)

// BenchmarkDo measures a guard's overhead without its store, for a name that runs and for a name
// that is answered from memory.
func BenchmarkDo(b *testing.B) {
	guard, err := dedupe.New[int](memstore.New(), dedupe.Config{Scope: "q"})
	if err != nil {
		b.Fatal(err)
	}
	work := func(context.Context) (int, error) { return 1, nil }
	names := 0 // each runs once, also with -count
	fresh := func() dedupe.Key {
		names++
		return dedupe.Key{Name: strconv.Itoa(names)}
	}
	b.Run("Runs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if res, err := guard.Do(b.Context(), fresh(), work); err != nil || res.Replayed {
				b.Fatal(res, err)
			}
		}
	})
	// As a pool does it: a goroutine for each message.
	for _, way := range []struct {
		name  string
		first func()
	}{{"Goroutine", func() {}}, {"GoroutineWithRoom", stack.Grow}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				done := make(chan error)
				go func() {
					way.first()
					_, err := guard.Do(b.Context(), fresh(), work)
					done <- err
				}()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := guard.Do(b.Context(), dedupe.Key{Name: "one"}, work); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStep(b *testing.B) {
	terms := protocol.Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: time.Hour, MaxAttempts: 5}
	claim := protocol.Claim{Now: time.Now(), Owner: protocol.Token{1}, Terms: terms, ID: "q#n", Name: "n"}
	b.ReportAllocs()
	for b.Loop() {
		r, _ := protocol.Step(protocol.Record{}, claim)
		if _, v := protocol.Step(r, protocol.Complete{Now: claim.Now, Owner: claim.Owner, Terms: terms}); v != protocol.VerdictApply {
			b.Fatal(v)
		}
	}
}
