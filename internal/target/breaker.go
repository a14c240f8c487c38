package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// tripAfter different messages that the target failed, with no success
	// between, mean that it is down. One message, however often it fails, means
	// only that message.
	tripAfter = 5
	// retryAfterTrip is the least time between two probes. Who calls has its
	// own, longer and growing; this one keeps those off that come together.
	retryAfterTrip = 100 * time.Millisecond
	// A probe may be long at work, and well. The next one goes without it.
	probePatience = 5 * time.Second
)

// What a request tells about the target, as opposed to the message.
var (
	errFailing  = errors.New("target fails")
	errNoSignal = errors.New("nothing can be told")
	errOpen     = errors.New("target is known to be down")
)

// Breaker posts to a target and keeps book of whether it is down: refusing
// connections, or answering every message with 3xx, 401, 403, 404, 405 or 5xx.
// While it is down such an answer ends in a [*DownError], because a bad deploy
// is not the message's fault, and one request is out at a time. So does, while it
// is down, a request of unknown outcome, unless that is to be held: the error
// then also wraps the [*UnknownOutcomeError].
//
// It is safe for concurrent use and holds no goroutine.
type Breaker struct {
	target  *Target
	hold    bool
	changed func(down bool)
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu       sync.Mutex
	suspects map[string]struct{} // guarded by mu; messages that failed since the last success
	probe    *pass               // guarded by mu; let through last while down
}

// NewBreaker returns a breaker for t that takes it to be up. With hold nobody
// runs a message of unknown outcome again, so that its error stays that. Changed
// is called after each change, from a goroutine that posts, and again with the
// same value now and then; nil is nobody.
func NewBreaker(t *Target, hold bool, changed func(down bool)) *Breaker {
	b := &Breaker{target: t, hold: hold, changed: changed, suspects: make(map[string]struct{})}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     retryAfterTrip,
		ReadyToTrip: func(gobreaker.Counts) bool { return b.suspected() >= tripAfter },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoSignal) },
	})
	return b
}

// Down reports whether the target is known to be down.
func (b *Breaker) Down() bool { return b.circuit.State() != gobreaker.StateClosed }

// Post is [Target.Post] with a memory. Where that says that the target fails, or
// cannot tell, and the target is known to be down, the error is a [*DownError],
// whether the request went out or not: the attempt is not counted.
func (b *Breaker) Post(ctx context.Context, r Request) (Response, error) {
	p, err := b.admit(time.Now())
	if err != nil {
		return Response{}, &DownError{Err: fmt.Errorf("%w: %w", errOpen, err)}
	}
	resp, err := b.target.Post(ctx, r)
	if b.learn(p, r.MessageID, signal(err)) && b.excused(ctx, err) {
		err = &DownError{Err: err}
	}
	return resp, err
}

// excused reports whether err, of a target that is known to be down, is not to
// be counted against the message, and does not say so by itself. What the caller
// has given up says nothing.
func (b *Breaker) excused(ctx context.Context, err error) bool {
	if _, already := errors.AsType[*DownError](err); already {
		return false
	}
	if _, ok := errors.AsType[*UnknownOutcomeError](err); ok {
		return !b.hold && ctx.Err() == nil
	}
	return errors.Is(signal(err), errFailing)
}

// signal is what the outcome of a request tells about the target: nil for a
// target that is there, whatever it thinks of the message.
func signal(err error) error {
	if err == nil {
		return nil
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		if status.TargetDown() || status.Status >= http.StatusInternalServerError && !status.Permanent() {
			return errFailing
		}
		return nil
	}
	if _, ok := errors.AsType[*DownError](err); ok {
		return errFailing
	}
	return errNoSignal
}

// pass is leave for one request.
type pass struct {
	at   time.Time
	tell func(error) // the first call counts
}

// admit lets a request through, or says why not.
func (b *Breaker) admit(now time.Time) (*pass, error) {
	done, err := b.circuit.Allow()
	b.mu.Lock()
	late := b.probe
	b.mu.Unlock()
	if errors.Is(err, gobreaker.ErrTooManyRequests) && late != nil && now.Sub(late.at) >= probePatience {
		late.tell(errNoSignal)
		done, err = b.circuit.Allow()
	}
	if err != nil {
		return nil, err
	}
	var once sync.Once
	p := &pass{at: now, tell: func(outcome error) { once.Do(func() { done(outcome) }) }}
	if b.Down() {
		b.mu.Lock()
		b.probe = p
		b.mu.Unlock()
	}
	return p, nil
}

// learn takes in what a request told, and reports whether the target is down.
func (b *Breaker) learn(p *pass, messageID string, told error) bool {
	b.note(messageID, told)
	if b.Down() && errors.Is(told, errNoSignal) {
		told = errFailing // a probe has to prove the contrary
	}
	p.tell(told)
	if told == nil {
		b.closeAfterLateSuccess()
	}
	return b.report()
}

// note keeps the list of suspects.
func (b *Breaker) note(messageID string, told error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case told == nil:
		clear(b.suspects)
	case errors.Is(told, errFailing) && len(b.suspects) < tripAfter:
		b.suspects[messageID] = struct{}{}
	}
}

func (b *Breaker) suspected() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.suspects)
}

// closeAfterLateSuccess makes the success of a probe that was not waited for
// any longer count as one.
func (b *Breaker) closeAfterLateSuccess() {
	if b.circuit.State() != gobreaker.StateHalfOpen {
		return
	}
	b.mu.Lock()
	out := b.probe
	b.mu.Unlock()
	if out != nil {
		out.tell(errNoSignal)
	}
	if done, err := b.circuit.Allow(); err == nil {
		done(nil)
	}
}

// report tells of the state, and again if it has changed meanwhile, so that of
// several reporters the last one tells what is.
func (b *Breaker) report() bool {
	for {
		down := b.Down()
		if b.changed != nil {
			b.changed(down)
		}
		if b.Down() == down {
			return down
		}
	}
}
