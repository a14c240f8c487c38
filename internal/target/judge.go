package target

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// JudgeConfig says how a [Judge] judges. The zero value never suspects the target.
type JudgeConfig struct {
	// SuspectAfter is how many different messages in a row have to fail alike,
	// with no success between, before the target is suspect. 0 means never.
	SuspectAfter int

	// Hold says that a request of unknown outcome must not be repeated. Its error
	// then stays an [*UnknownOutcomeError] while the target is suspect.
	Hold bool

	// Health asks the target's health path; see [Target.Healthy]. When
	// SuspectAfter different messages in a row have timed out it is called, and
	// the target is suspect if it fails. Nil: time-outs never make it suspect.
	Health func(context.Context) error

	// Changed is called when the suspicion begins or ends, and again for each
	// outcome that is not counted. Calls may overlap, but the last one tells the
	// latest state. Nil: not called.
	Changed func(Suspicion)

	// Stopping is closed when this process is told to stop. Requests whose connection
	// breaks then, or up to 2 s before, are taken to be cut off by a stop of the target;
	// until those 2 s have passed, the caller of Post waits. Nil: nothing is waited for.
	Stopping <-chan struct{}

	// BrokenByStop is called with the error of the first such request. Nil: not called.
	BrokenByStop func(*UnknownOutcomeError)
}

// Suspicion is what a [Judge] holds against its target.
type Suspicion struct {
	Suspect bool
	Why     string // the error that began it; empty when not suspect
}

// Judge posts to a target, and tells failures of the target from failures of
// messages. The target is suspect once several different messages in a row have
// failed alike: by 5xx or by answers that say that it is not there as it should be
// (3xx, 401, 403, 404, 405), or by answers that blame the message (400, 415, 422, …),
// which a wrong host name or a header limit gives to every message. While it is
// suspect, failures are not counted: the error is a [*DownError].
//
// A judge refuses and limits nothing: the pool decides what is tried when. The first
// success ends the suspicion. A message whose failure was excused until then, and
// which fails again, fails by itself: that counts, and never again towards a
// suspicion.
//
// It is safe for concurrent use and starts no goroutine.
type Judge struct {
	target *Target
	cfg    JudgeConfig
	asking chan struct{} // holds one: a caller that asks the health path
	broken sync.Once     // calls BrokenByStop

	mu    sync.Mutex
	state *suspicion // guarded by mu
	why   string     // guarded by mu; of the current suspicion
}

// NewJudge returns a judge that does not suspect t.
func NewJudge(t *Target, cfg JudgeConfig) *Judge {
	return &Judge{target: t, cfg: cfg, asking: make(chan struct{}, 1), state: newSuspicion(cfg.SuspectAfter)}
}

// Suspicion returns what is held against the target now.
func (j *Judge) Suspicion() Suspicion {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Suspicion{j.state.suspect, j.why}
}

// Believe takes the target's answers as true, also if it blames every message:
// until the next success, for an hour at most. It ends a suspicion.
func (j *Judge) Believe() { j.change(func() { j.state.believe(time.Now()) }) }

// Recovered tells that the health path answers as it should. It ends a suspicion
// that began because it did not.
func (j *Judge) Recovered() { j.change(func() { j.state.examined(true) }) }

// Post is [Target.Post], judged. While the target is suspect a failure is a
// [*DownError]. Otherwise 429, and 503 with Retry-After, are a [*RefusedError]. Every
// other error is that of the target, which returns up to 2 s after a connection broke (see
// [JudgeConfig.Stopping]).
func (j *Judge) Post(ctx context.Context, r Request) (Response, error) {
	probe := j.Suspicion().Suspect
	resp, err := j.target.Post(ctx, r)
	found := weigh(err)
	excused := j.weighed(ctx, []string{r.MessageID}, probe, found, err)
	return resp, j.settled(ctx, j.verdict(ctx, err, excused))
}

// PostBatch is [Target.PostBatch], judged as [Judge.Post] does: of messages that fail
// alike, the request counts as one.
func (j *Judge) PostBatch(ctx context.Context, rs []Request) (failed []error, err error) {
	probe := j.Suspicion().Suspect
	failed, err = j.target.PostBatch(ctx, rs)
	found, cause := weigh(err), err
	messages := make([]string, 0, len(rs))
	for i, r := range rs {
		if err != nil || failed[i] == nil {
			messages = append(messages, r.MessageID)
		}
	}
	if err == nil && len(messages) == 0 { // all of them failed, each by itself
		found, cause = weighAll(failed)
		for _, r := range rs {
			messages = append(messages, r.MessageID)
		}
	}
	excused := j.weighed(ctx, messages, probe, found, cause)
	if err != nil {
		return nil, j.settled(ctx, j.verdict(ctx, err, excused))
	}
	for i, err := range failed {
		failed[i] = j.verdict(ctx, err, excused)
	}
	return failed, nil
}

// weighed takes in what the outcome of a request for messages says, and reports whether it
// is excused.
func (j *Judge) weighed(ctx context.Context, messages []string, probe bool, found evidence, err error) (excused bool) {
	excused, silent := j.learn(messages, found, err)
	switch {
	case probe && found == timedOut:
		return true // it hung then, whatever the target has done since
	case silent:
		return j.ask(ctx)
	}
	return excused
}

// verdict is the error of an outcome.
func (j *Judge) verdict(ctx context.Context, err error, excused bool) error {
	if _, ok := errors.AsType[*UnknownOutcomeError](err); ok && (j.cfg.Hold || ctx.Err() != nil) {
		return err
	}
	if _, ok := errors.AsType[*DownError](err); ok || err == nil {
		return err
	}
	status, answered := errors.AsType[*StatusError](err)
	switch {
	case excused && (answered || ctx.Err() == nil):
		return &DownError{Err: err}
	case answered && status.refused():
		return &RefusedError{Err: status}
	default:
		return err
	}
}

// learn takes in what an outcome says. It reports whether the outcome is excused,
// and whether the health path has to be asked.
func (j *Judge) learn(messages []string, found evidence, err error) (excused, silent bool) {
	j.mu.Lock()
	before := j.state.suspect
	excused = j.state.learnAll(messages, found, time.Now())
	silent = j.cfg.Health != nil && found == timedOut && j.state.silent()
	after := j.state.suspect
	switch {
	case after && !before:
		j.why = err.Error()
	case !after:
		j.why = ""
	}
	j.mu.Unlock()
	if excused || before != after {
		j.tell()
	}
	return excused, silent
}

// ask asks the health path, unless that has happened meanwhile, and reports whether
// the target is suspect then.
func (j *Judge) ask(ctx context.Context) bool {
	select {
	case j.asking <- struct{}{}:
	case <-ctx.Done():
		return j.Suspicion().Suspect
	}
	defer func() { <-j.asking }()
	j.mu.Lock()
	needed := j.state.silent()
	j.mu.Unlock()
	if needed {
		err := j.cfg.Health(ctx)
		if ctx.Err() != nil {
			return j.Suspicion().Suspect // given up by the caller
		}
		j.change(func() {
			if j.state.examined(err == nil); err != nil {
				j.why = err.Error()
			}
		})
	}
	return j.Suspicion().Suspect
}

// change applies do to the state and tells of what has changed.
func (j *Judge) change(do func()) {
	j.mu.Lock()
	before := j.state.suspect
	do()
	after := j.state.suspect
	if !after {
		j.why = ""
	}
	j.mu.Unlock()
	if before != after {
		j.tell()
	}
}

// tell calls Changed, and again if the state has changed meanwhile, so that of
// several callers the last one tells the latest state.
func (j *Judge) tell() {
	if j.cfg.Changed == nil {
		return
	}
	for {
		is := j.Suspicion()
		j.cfg.Changed(is)
		if j.Suspicion() == is {
			return
		}
	}
}

// refused reports an answer that asks for patience: nothing has happened.
func (e *StatusError) refused() bool {
	return !e.permanent && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable && e.retryAfter > 0)
}
