package target

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// JudgeConfig configures a [Judge]. With the zero value the target is never suspect.
type JudgeConfig struct {
	// SuspectAfter is the number of different messages that must fail in a row, for the same kind
	// of reason and without a success between them, before the target is suspect. 0 means never.
	SuspectAfter int

	// Hold means that a request of unknown outcome must not be repeated. Its error then stays an
	// [*UnknownOutcomeError] while the target is suspect.
	Hold bool

	// Health requests the target's health path; see [Target.Healthy]. It is called when
	// SuspectAfter different messages in a row have timed out. The target is suspect if it returns
	// an error. Default nil: timeouts never make the target suspect.
	Health func(context.Context) error

	// Changed is called when the suspicion begins or ends, and for each failure that is not
	// counted. Calls may overlap, but the last one has the latest state. Default nil.
	Changed func(Suspicion)

	// Stopping is closed when this process is told to stop. If a connection breaks after that, or
	// up to 2 s before, a stop of the target is assumed to be the cause. The caller of Post waits
	// until those 2 s have passed. Default nil: no wait.
	Stopping <-chan struct{}

	// BrokenByStop is called with the error of the first such request. Default nil.
	BrokenByStop func(*UnknownOutcomeError)
}

// Suspicion is a [Judge]'s view of its target.
type Suspicion struct {
	Suspect bool
	Why     string // the error that began the suspicion; empty if not suspect
}

// Judge posts to a target and separates failures of the target from failures of messages.
//
// The target becomes suspect when several different messages in a row have failed for the same kind
// of reason. One kind is 5xx, and answers that show a missing or misconfigured target (3xx, 401,
// 403, 404, 405). The other kind is answers that blame the message (400, 415, 422, …), because a
// wrong host name or a header limit makes the target refuse every message. While the target is
// suspect, failures do not count: the error is a [*DownError].
//
// A judge only judges; the pool decides which messages are tried when. The first success ends the
// suspicion. If a message whose failure was excused fails again, the message is the cause. Its
// failures then count, and never again towards a suspicion.
//
// A Judge is safe for concurrent use and starts no goroutine.
type Judge struct {
	target *Target
	cfg    JudgeConfig
	asking chan struct{} // capacity 1; held by the caller that requests the health path
	broken sync.Once     // calls BrokenByStop

	mu    sync.Mutex
	state *suspicion // guarded by mu
	why   string     // guarded by mu; cause of the current suspicion
}

// NewJudge returns a judge for t. The target is not suspect at first.
func NewJudge(t *Target, cfg JudgeConfig) *Judge {
	return &Judge{target: t, cfg: cfg, asking: make(chan struct{}, 1), state: newSuspicion(cfg.SuspectAfter)}
}

// Suspicion returns the current suspicion.
func (j *Judge) Suspicion() Suspicion {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Suspicion{j.state.suspect, j.why}
}

// Believe ends a suspicion and accepts the target's answers, even if it blames every message. It
// lasts until the next success, for at most 1 hour.
func (j *Judge) Believe() { j.change(func() { j.state.believe(time.Now()) }) }

// Recovered ends a suspicion that began because the health path failed. It is called when that path
// answers as it should.
func (j *Judge) Recovered() { j.change(func() { j.state.examined(true) }) }

// Post is [Target.Post] with a judgement. While the target is suspect, a failure is a [*DownError].
// Otherwise 429, and 503 with Retry-After, are a [*RefusedError]. All other errors are those of the
// target. After a broken connection Post may wait for up to 2 s, see [JudgeConfig.Stopping].
func (j *Judge) Post(ctx context.Context, r Request) (Response, error) {
	probe := j.Suspicion().Suspect
	resp, err := j.target.Post(ctx, r)
	found := weigh(err)
	excused := j.weighed(ctx, []string{r.MessageID}, probe, found, err)
	return resp, j.settled(ctx, j.verdict(ctx, err, excused))
}

// PostBatch is [Target.PostBatch], judged like [Judge.Post]. A request whose messages fail for the
// same kind of reason counts as one message.
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
	if err == nil && len(messages) == 0 { // every message has failed
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

// weighed records the evidence in the outcome of a request, and reports whether a failure is
// excused. probe means that the target was suspect when the request began.
func (j *Judge) weighed(ctx context.Context, messages []string, probe bool, found evidence, err error) (excused bool) {
	excused, silent := j.learn(messages, found, err)
	switch {
	case probe && found == timedOut:
		return true // it hung then, even if it has recovered since
	case silent:
		return j.ask(ctx)
	}
	return excused
}

// verdict returns the error for an outcome.
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

// learn records the evidence in an outcome. It reports whether a failure is excused, and whether
// the health path must be requested.
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

// ask requests the health path unless another caller has done so meanwhile. It reports whether the
// target is suspect afterwards.
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
			return j.Suspicion().Suspect // the caller has given up
		}
		j.change(func() {
			if j.state.examined(err == nil); err != nil {
				j.why = err.Error()
			}
		})
	}
	return j.Suspicion().Suspect
}

// change applies do to the state and reports a change of the suspicion.
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

// tell calls Changed until the state is unchanged after a call, so that the last of several
// concurrent calls has the latest state.
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

// refused reports whether the answer asks for a delay. The work was not done.
func (e *StatusError) refused() bool {
	return !e.permanent && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable && e.retryAfter > 0)
}
