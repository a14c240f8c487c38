package target

import (
	"context"
	"errors"
	"time"
)

// stopSettle is for how long after a connection broke a stop of this process still explains
// it. A platform that stops process and target together tells them one after the other, and
// the target's end may be seen first.
const stopSettle = 2 * time.Second

// settled is err, once it is known whether a stop of this process explains it. The error of a
// request whose connection broke is returned after stopSettle; when the process is told to
// stop by then, it is returned at once and says so (see [UnknownOutcomeError.Stopped]).
func (j *Judge) settled(ctx context.Context, err error) error {
	unknown, ok := errors.AsType[*UnknownOutcomeError](err)
	if !ok || unknown.timedOut || unknown.garbled || ctx.Err() != nil || j.cfg.Stopping == nil {
		return err
	}
	if _, excused := errors.AsType[*DownError](err); !excused { // else it does not count anyway
		timer := time.NewTimer(stopSettle)
		defer timer.Stop()
		select {
		case <-j.cfg.Stopping:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	select {
	case <-j.cfg.Stopping: // also when the time is over
	default:
		return err
	}
	stopped := &UnknownOutcomeError{Err: unknown.Err, until: unknown.until, stopped: true}
	if j.cfg.BrokenByStop != nil {
		j.broken.Do(func() { j.cfg.BrokenByStop(stopped) })
	}
	return stopped
}
