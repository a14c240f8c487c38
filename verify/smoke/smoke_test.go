package smoke

import (
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/verify/bench"
	"github.com/sqsonce/sqsonce/verify/sim"
)

// A few seeds of the simulation, in both modes.
func TestSimulation(t *testing.T) {
	// As in the simulation's own tests: a run has little parallel work.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	attempts := 0
	for seed := range uint64(20) {
		for _, live := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				report := sim.Run(sim.NewPlan(seed, live))
				attempts += report.Stats.Attempts
				for _, violation := range report.Violations {
					t.Errorf("seed %d (live %v): %s; make sim SEED=%d writes its trace", seed, live, violation, seed)
				}
			})
		}
	}
	if attempts < 100 {
		t.Errorf("%d attempts in all: these seeds show nothing", attempts)
	}
}

// The calls per message at the latencies of AWS, with a backlog of a few hundred messages.
func TestCallsOfAMessage(t *testing.T) {
	o := bench.Simulate(t, emulators.DynamoDB(t), bench.Scene{Backlog: [][]string{bench.Bodies("a", 300, 300, 1024)}})
	if o.Ran != o.Messages || o.PerMessage() > 0.45 {
		t.Errorf("%d messages, %d run, %.3f calls a message, want at most 0.45", o.Messages, o.Ran, o.PerMessage())
	}
}
