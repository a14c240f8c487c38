package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/pinned"
)

// process is one life of a worker, from its start to its stop or death.
type process struct {
	w     *world
	host  int    // determines its clock
	label string // host and life, for the trace

	prime    func(context.Context) // called before Run; may be nil
	consumer *consumer.Consumer
	stop     context.CancelFunc
	ended    chan struct{} // closed when Run has returned
	dead     chan struct{} // closed by a crash

	target judge // judges the target's answers

	mu      sync.Mutex
	groups  map[string]int // guarded by mu; messages at work, by group
	counts  map[string]int // guarded by mu; number of decisions drawn, by subject
	paused  chan struct{}  // guarded by mu; closed at the end of the pause, nil without
	pauses  int            // guarded by mu
	isOver  bool           // guarded by mu: crashed, or ended after a stop
	crashed bool           // guarded by mu
	stopped bool           // guarded by mu: told to stop
}

// newProcess starts a worker.
func newProcess(w *world, host, life int) (*process, error) {
	p := &process{
		w: w, host: host, label: fmt.Sprintf("w%d.%d", host, life),
		ended: make(chan struct{}), dead: make(chan struct{}), counts: make(map[string]int),
	}
	plan := w.plan
	log := slog.New(slog.DiscardHandler)
	store, now, err := w.keep.open(p)
	if err != nil {
		return nil, err
	}
	worker, err := p.newWorker(sqsonce.Config{
		QueueURL: w.queueURL, Queue: queue{p}, Store: store, Namer: namer{}, Middleware: []consumer.Middleware{p.apart},
		Guard: dedupe.Config{
			Scope: w.scope, Lease: plan.Lease, Skew: plan.Skew,
			MaxAttempts: plan.MaxAttempts, Hold: plan.Hold, Now: now, Logger: log,
			Hooks: w.watch.hooks(p),
		},
		Pool: consumer.Config{
			Concurrency: plan.Concurrency, Visibility: plan.Visibility,
			DrainTimeout: plan.Drain, Logger: log,
			Hooks: consumer.Hooks{Handled: func(m consumer.Message, d consumer.Disposition, _ time.Duration) {
				p.step("decides", m)
				w.watch.decided(p, m, d)
			}},
		},
	})
	if err != nil {
		return nil, err
	}
	p.consumer = worker.Pool
	if plan.Trouble.Idle {
		p.consumer.Pause()
	}
	ctx, stop := context.WithCancel(pinned.With(context.Background(), pinned.Sources{Random: p.random, Yield: p.yield}))
	p.stop = stop
	go func() { // joined through ended
		defer close(p.ended)
		if p.prime != nil {
			p.prime(ctx)
		}
		err := p.consumer.Run(ctx)
		p.exit()
		w.watch.ranOut(p, err)
	}()
	return p, nil
}

// now returns the time of the host's clock.
func (p *process) now() time.Time { return p.w.clock(p.host) }

// count numbers the decisions about one subject.
func (p *process) count(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[what]++
	return p.counts[what]
}

// random is the source of random numbers for consumer and guard.
func (p *process) random() float64 {
	return p.w.dice.roll(p.label+" random", "", p.count("random")).Float64()
}

// yield sleeps for up to a microsecond, so that goroutines that are due can run. The order of
// runtime.Gosched would not be reproducible.
func (p *process) yield(operation string) {
	time.Sleep(between(p.w.dice.roll(p.label+" yields", operation, p.count("yields before "+operation)), time.Nanosecond, time.Microsecond))
}

// gate blocks while the process is paused, and fails if it is dead. After a pause callers with
// different subjects go on at different instants.
func (p *process) gate(about string) error {
	for {
		p.mu.Lock()
		over, paused, n := p.isOver, p.paused, p.pauses
		p.mu.Unlock()
		switch {
		case over:
			return errCrashed
		case paused == nil:
			return nil
		}
		select {
		case <-paused:
			time.Sleep(between(p.w.dice.roll(p.label+" resumes", about, n), time.Nanosecond, time.Millisecond))
		case <-p.dead:
		}
	}
}

// crash ends the process as kill -9 does: from here on its calls have no effect. Its goroutines end
// unobserved.
func (p *process) crash() {
	p.mu.Lock()
	over := p.isOver
	p.isOver, p.crashed = true, p.crashed || !over
	p.mu.Unlock()
	if over {
		return
	}
	p.w.watch.crashed(p)
	close(p.dead)
	p.consumer.Abort()
	p.stop()
	p.w.restartLater(p)
}

// exit ends the process after its Run has returned, and with it abandoned handlers.
func (p *process) exit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isOver {
		p.isOver = true
		close(p.dead)
	}
}

func (p *process) hasCrashed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashed
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isOver
}

func (p *process) isStopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped || p.isOver
}

// terminate stops the process gracefully, as SIGTERM does.
func (p *process) terminate() {
	p.mu.Lock()
	again := p.stopped || p.isOver
	p.stopped = true
	p.mu.Unlock()
	if again {
		return
	}
	p.resume() // a paused process gets SIGTERM when it goes on
	p.w.watch.terminated(p)
	p.stop()
}

// pause stops the process as SIGSTOP does, until resume.
func (p *process) pause() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isOver || p.paused != nil {
		return false
	}
	p.paused = make(chan struct{})
	p.pauses++
	return true
}

func (p *process) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
}

// pauseState returns the number of pauses so far, and whether the process is paused.
func (p *process) pauseState() (times int, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pauses, p.paused != nil
}

// Errors of handlers.
var (
	errFailed    = errors.New("sim: failed")
	errPermanent = permanent{errors.New("sim: failed for good")}
	errDown      = down{errors.New("sim: target down")}
)

type permanent struct{ error }

// Permanent implements [failure.Permanent].
func (permanent) Permanent() bool { return true }

type down struct{ error }

// Down implements [failure.Down].
func (down) Down() bool { return true }

// handle is the handler. Its outcome is drawn by name and number of the attempt, so that it does
// not depend on the worker.
func (p *process) handle(ctx context.Context, m consumer.Message) (string, error) {
	w := p.w
	if p.gate(m.Body) != nil {
		return "", errCrashed
	}
	a, _ := dedupe.AttemptFrom(ctx)
	run := w.watch.begin(p, ctx, a, m)
	defer w.watch.end(run)
	p.holdUp("handler of " + m.Body)
	r := w.dice.roll("handler", a.Name, int(a.Fence))
	took, deaf := between(r, time.Millisecond, 3*time.Second), chance(r, w.now(w.plan.Deaf))
	if chance(r, w.now(w.plan.Slow)) {
		took = between(r, 10*time.Second, 4*time.Minute)
	}
	if w.isDown(targetDown) {
		_ = backoff.Sleep(ctx, between(r, time.Microsecond, time.Second))
		return "", errDown
	}
	if err := p.meetTrouble(ctx, run, a.Number, r); err != nil {
		return "", err
	}
	pauses, _ := p.pauseState()
	err := p.work(ctx, took)
	if p.gate(m.Body) != nil {
		return "", errCrashed
	}
	if now, _ := p.pauseState(); now > pauses && chance(r, 0.5) {
		err = nil // an effect that was in flight before the pause arrives without a check
	}
	if err != nil {
		reaction := between(r, time.Microsecond, 500*time.Millisecond)
		if deaf {
			reaction = took
		}
		_ = p.work(context.WithoutCancel(ctx), reaction)
		if !deaf {
			w.watch.cancelled(run)
			return "", fmt.Errorf("sim: gave up: %w", err)
		}
	}
	if p.gate(m.Body) != nil {
		return "", errCrashed
	}
	switch {
	case chance(r, w.plan.Permanent):
		return "", errPermanent
	case chance(r, w.now(w.plan.Fail)):
		return "", errFailed
	case chance(r, w.now(w.plan.Panic)):
		panic("sim: panic")
	}
	w.watch.effect(run)
	if err := w.keep.count(ctx, a.Name); err != nil {
		return "", err
	}
	w.watch.done(run)
	p.target.succeeded()
	return fmt.Sprintf("%s by %d", a.Name, a.Fence), nil
}

// apart delays handlers by random times, so that messages that were received or stopped together
// are not handled at one instant, where their order would be undefined.
func (p *process) apart(h consumer.Handler) consumer.Handler {
	return func(ctx context.Context, m consumer.Message) error {
		p.step("begins", m)
		err := p.watched(ctx, m, h)
		p.step("ends", m)
		return err
	}
}

// watched reports the begin and the end of a handling to the watch.
func (p *process) watched(ctx context.Context, m consumer.Message, h consumer.Handler) error {
	p.w.watch.handling(p, m)
	defer p.w.watch.handled(m) // even if h panics
	return h(ctx, m)
}

// step sleeps for a random time that differs between messages.
func (p *process) step(what string, m consumer.Message) {
	label := p.w.watch.labelOf(m.ID)
	r := p.w.dice.roll(p.label+" "+what, label, p.count(what+" "+label))
	time.Sleep(between(r, time.Nanosecond, time.Millisecond))
}

// work sleeps for d, unless the process dies or ctx is cancelled.
func (p *process) work(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.dead:
		return errCrashed
	}
}
