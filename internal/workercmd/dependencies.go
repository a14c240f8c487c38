package workercmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/target"
)

// Dependencies in reports to the pool.
const (
	targetDown   = "target"        // reported by the judge of the target's answers
	targetHealth = "target-health" // reported by the checks of the health path
	storeDown    = "store"
	queueDown    = "queue" // reported by the pool itself, if receives have failed for a minute
)

const (
	// The store is down if it has failed for storePatience without a success. Until then each
	// message is retried on its own.
	storePatience = 3 * time.Second
	// Failures that are further apart than storeMemory count as unrelated.
	storeMemory = 15 * time.Second

	healthFirst = time.Second // first pause between health checks of an unhealthy target
	healthMost  = 5 * time.Second
)

// report reports the condition of a dependency to the pool.
type report func(dependency string, is consumer.Condition)

// converge calls tell with the state until the state stays the same, so that after concurrent calls
// the last value told is the current state.
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

// storeWatch detects an outage of the store from the guard's hooks.
type storeWatch struct {
	report report
	log    *slog.Logger

	mu          sync.Mutex
	since, last time.Time // guarded by mu; first and last failure since a success
	down        bool      // guarded by mu
	denied      error     // guarded by mu; permanent error of a write since the last successful one
}

// hooks returns h with the watch's hooks added.
func (w *storeWatch) hooks(h dedupe.Hooks) dedupe.Hooks {
	failed, claimed, replayed, renewed, settled := h.StoreFailed, h.Claimed, h.Replayed, h.Renewed, h.Settled
	h.StoreFailed = func(a dedupe.Attempt, op string, err error) {
		w.failed(time.Now(), err)
		if failed != nil {
			failed(a, op, err)
		}
	}
	h.Claimed = func(a dedupe.Attempt) {
		w.written()
		if claimed != nil {
			claimed(a)
		}
	}
	h.Replayed = func(a dedupe.Attempt, kind string) {
		if kind == "recorded" { // the store has answered
			w.answered()
		}
		if replayed != nil {
			replayed(a, kind)
		}
	}
	h.Renewed = func(a dedupe.Attempt, err error) {
		if err == nil {
			w.written()
		}
		if renewed != nil {
			renewed(a, err)
		}
	}
	h.Settled = func(a dedupe.Attempt, outcome string, took time.Duration, err error) {
		switch outcome {
		case "unrecorded":
		case "lost": // the store has answered: another attempt holds the name
			w.answered()
		default:
			w.written()
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
	if errors.Is(err, dedupe.ErrUnavailable) {
		w.denied = err
	}
	changed := !w.down && now.Sub(w.since) >= storePatience
	w.down = w.down || changed
	w.mu.Unlock()
	if changed {
		w.log.Warn("the store is down: messages are held until it answers", "error", err)
		w.tell()
	}
}

// written handles a successful write.
func (w *storeWatch) written() {
	w.mu.Lock()
	w.denied = nil
	w.mu.Unlock()
	w.answered()
}

// ready returns an error while records cannot be written: access is denied, or the table is
// missing.
func (w *storeWatch) ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.denied == nil {
		return nil
	}
	return fmt.Errorf("records cannot be written: %w", w.denied)
}

func (w *storeWatch) answered() {
	w.mu.Lock()
	changed := w.down
	w.down, w.last = false, time.Time{}
	w.mu.Unlock()
	if changed {
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

// targetWatch reports and logs the suspicion of the judge of the target.
type targetWatch struct {
	report  report
	health  *healthGate // nil: there is no health path
	believe string      // the operator's call that ends a wrong suspicion
	log     *slog.Logger
	known   atomic.Bool // the state that was logged last
}

// changed is the judge's callback.
func (w *targetWatch) changed(is target.Suspicion) {
	w.report(targetDown, downOr(is.Suspect))
	if is.Suspect && w.health != nil {
		w.health.look()
	}
	if w.known.Swap(is.Suspect) == is.Suspect {
		return
	}
	if is.Suspect {
		w.log.Error("the target is suspect: several messages in a row have failed alike; messages are held and probed until one succeeds",
			"answer", is.Why, "if_it_is_right", w.believe+", or --suspect-after 0")
	} else {
		w.log.Info("the target is no longer suspect")
	}
}

// queueWatch logs, for alarms, that receives have failed for a minute, and that they work again.
// The pool logs each single failure.
type queueWatch struct {
	stats func() consumer.Stats
	log   *slog.Logger
}

// queueWatchEvery is the interval of a queueWatch.
const queueWatchEvery = 5 * time.Second

// run watches the queue until ctx ends.
func (w *queueWatch) run(ctx context.Context) {
	for known := false; backoff.Sleep(ctx, queueWatchEvery) == nil; {
		down := slices.Contains(w.stats().Down, queueDown)
		switch {
		case down && !known:
			w.log.Error("the queue is down: receives have failed for a minute")
		case known && !down:
			w.log.Info("the queue answers again")
		}
		known = down
	}
}

// healthGate stops the pool from receiving until the target's health path answers 2xx: at the
// start, and whenever the target is suspect.
type healthGate struct {
	check     func(context.Context) error
	recovered func() // called after a successful check, before receiving begins
	report    report
	log       *slog.Logger
	again     chan struct{} // requests another check; capacity 1
}

func newHealthGate(check func(context.Context) error, recovered func(), tell report, log *slog.Logger) *healthGate {
	return &healthGate{check: check, recovered: recovered, report: tell, log: log, again: make(chan struct{}, 1)}
}

// close stops the pool from receiving until a check in run succeeds.
func (g *healthGate) close() { g.report(targetHealth, consumer.Closed) }

func (g *healthGate) look() {
	select {
	case g.again <- struct{}{}:
	default:
	}
}

// run checks the target at the start and after each look, until ctx ends.
func (g *healthGate) run(ctx context.Context) {
	for {
		g.close()
		if !g.await(ctx) {
			return
		}
		g.recovered()
		g.report(targetHealth, consumer.Up)
		select {
		case <-g.again:
		case <-ctx.Done():
			return
		}
	}
}

// await repeats the check until the target is healthy. It returns false if ctx ends first.
func (g *healthGate) await(ctx context.Context) bool {
	for wait := healthFirst; ; wait = min(2*wait, healthMost) {
		err := g.check(ctx)
		if err == nil {
			if wait > healthFirst {
				g.log.Info("the target is healthy: receiving messages")
			}
			return true
		}
		if wait == healthFirst && ctx.Err() == nil {
			g.log.Warn("the target is not healthy: no messages are received until it is", "error", err)
		}
		if backoff.Sleep(ctx, wait) != nil {
			return false
		}
	}
}
