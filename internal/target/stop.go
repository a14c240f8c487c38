package target

import (
	"context"
	"errors"
	"time"
)

// stopSettle is how long after a broken connection a stop of this process still explains it. A
// platform that stops process and target together signals one after the other, and the target may
// end first.
const stopSettle = 2 * time.Second

// settled returns err after it is known whether a stop of this process explains it. It delays the
// error of a broken connection by stopSettle. If the process is told to stop before that, it
// returns the error at once, marked as stopped (see [UnknownOutcomeError.Stopped]).
func (j *Judge) settled(ctx context.Context, err error) error {
	unknown, ok := errors.AsType[*UnknownOutcomeError](err)
	if !ok || unknown.timedOut || unknown.garbled || ctx.Err() != nil || j.cfg.Stopping == nil {
		return err
	}
	if _, excused := errors.AsType[*DownError](err); !excused { // otherwise it does not count anyway
		timer := time.NewTimer(stopSettle)
		defer timer.Stop()
		select {
		case <-j.cfg.Stopping:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	select {
	case <-j.cfg.Stopping: // also if the time has passed
	default:
		return err
	}
	stopped := &UnknownOutcomeError{Err: unknown.Err, until: unknown.until, stopped: true}
	if j.cfg.BrokenByStop != nil {
		j.broken.Do(func() { j.cfg.BrokenByStop(stopped) })
	}
	return stopped
}
