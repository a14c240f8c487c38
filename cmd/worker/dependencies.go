package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/backoff"
)

// The dependencies that the pool is told of.
const (
	targetDown   = "target"        // by the circuit breaker
	targetHealth = "target-health" // by its health path
	storeDown    = "store"
)

const (
	// A store that fails for so long without a success is down. Before that
	// the tries of each message are all there is to do.
	storePatience = 3 * time.Second
	// Failures that lie further apart have nothing to do with each other.
	storeMemory = 15 * time.Second

	healthFirst = time.Second // between two looks at a target that is not healthy
	healthMost  = 5 * time.Second
)

// report tells the pool about a dependency.
type report func(dependency string, is consumer.Condition)

// converge tells of a state, and again if it has changed meanwhile, so that of
// several who tell at the same time the last one tells what is.
func converge(state func() bool, tell func(bool)) {
	for {
		is := state()
		tell(is)
		if state() == is {
			return
		}
	}
}

func downOr(down bool) consumer.Condition {
	if down {
		return consumer.Down
	}
	return consumer.Up
}

// storeWatch finds out from the guard's hooks whether the store is down.
type storeWatch struct {
	report report
	log    *slog.Logger

	mu          sync.Mutex
	since, last time.Time // guarded by mu; first and last failure without a success
	down        bool      // guarded by mu
}

// hooks adds to a guard's hooks what the watch needs.
func (w *storeWatch) hooks(h dedupe.Hooks) dedupe.Hooks {
	failed, claimed, replayed, settled := h.StoreFailed, h.Claimed, h.Replayed, h.Settled
	h.StoreFailed = func(a dedupe.Attempt, op string, err error) {
		w.failed(time.Now(), err)
		if failed != nil {
			failed(a, op, err)
		}
	}
	h.Claimed = func(a dedupe.Attempt) {
		w.answered()
		if claimed != nil {
			claimed(a)
		}
	}
	h.Replayed = func(a dedupe.Attempt, kind string) {
		if kind == "recorded" { // by the store
			w.answered()
		}
		if replayed != nil {
			replayed(a, kind)
		}
	}
	h.Settled = func(a dedupe.Attempt, outcome string, took time.Duration, err error) {
		if outcome != "unrecorded" {
			w.answered()
		}
		if settled != nil {
			settled(a, outcome, took, err)
		}
	}
	return h
}

func (w *storeWatch) failed(now time.Time, err error) {
	w.mu.Lock()
	if now.Sub(w.last) > storeMemory {
		w.since = now
	}
	w.last = now
	news := !w.down && now.Sub(w.since) >= storePatience
	w.down = w.down || news
	w.mu.Unlock()
	if news {
		w.log.Warn("the store is down; messages are held until it answers", "error", err)
		w.tell()
	}
}

func (w *storeWatch) answered() {
	w.mu.Lock()
	news := w.down
	w.down, w.last = false, time.Time{}
	w.mu.Unlock()
	if news {
		w.log.Info("the store answers again")
		w.tell()
	}
}

func (w *storeWatch) tell() {
	converge(w.isDown, func(down bool) { w.report(storeDown, downOr(down)) })
}

func (w *storeWatch) isDown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

// targetWatch passes on what the circuit breaker finds out.
type targetWatch struct {
	report report
	health *healthGate // nil: there is no health path
	log    *slog.Logger
	known  atomic.Bool // as last logged
}

// changed is the breaker's callback, called after every request.
func (w *targetWatch) changed(down bool) {
	w.report(targetDown, downOr(down))
	if down && w.health != nil {
		w.health.look()
	}
	if w.known.Swap(down) == down {
		return
	}
	if down {
		w.log.Warn("the target is down; messages are held, and one at a time is tried")
	} else {
		w.log.Info("the target is up again")
	}
}

// healthGate keeps the pool from receiving until the target's health path has
// answered, at the start and whenever the breaker has opened.
type healthGate struct {
	check  func(context.Context) error
	report report
	log    *slog.Logger
	again  chan struct{} // holds one: look again
}

func newHealthGate(check func(context.Context) error, tell report, log *slog.Logger) *healthGate {
	g := &healthGate{check: check, report: tell, log: log, again: make(chan struct{}, 1)}
	g.report(targetHealth, consumer.Closed) // until run has looked
	return g
}

func (g *healthGate) look() {
	select {
	case g.again <- struct{}{}:
	default:
	}
}

// run looks until ctx ends.
func (g *healthGate) run(ctx context.Context) {
	for {
		g.report(targetHealth, consumer.Closed)
		if !g.await(ctx) {
			return
		}
		g.report(targetHealth, consumer.Up)
		select {
		case <-g.again:
		case <-ctx.Done():
			return
		}
	}
}

// await asks until the target is healthy, and reports false when ctx ends first.
func (g *healthGate) await(ctx context.Context) bool {
	for wait := healthFirst; ; wait = min(2*wait, healthMost) {
		err := g.check(ctx)
		if err == nil {
			if wait > healthFirst {
				g.log.Info("the target is healthy; receiving")
			}
			return true
		}
		if wait == healthFirst && ctx.Err() == nil {
			g.log.Warn("the target is not healthy; nothing is received until it is", "error", err)
		}
		if backoff.Sleep(ctx, wait) != nil {
			return false
		}
	}
}
