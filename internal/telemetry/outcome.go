package telemetry

import (
	"context"
	"errors"
)

// Behaviour of a handler's error, asked for by method as package consumer does.
type (
	deferrer interface {
		error
		Deferred() bool
	}
	permanenter interface {
		error
		Permanent() bool
	}
	unavailabler interface {
		error
		Unavailable() bool
	}
	keeper interface {
		error
		Keep() bool
	}
)

// outcomeOf is the label for what a handler returned.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "done"
	case is(err, keeper.Keep):
		return "kept"
	case is(err, unavailabler.Unavailable):
		return "unavailable"
	case is(err, deferrer.Deferred):
		return "deferred"
	case is(err, permanenter.Permanent):
		return "permanent"
	case errors.Is(err, context.Canceled):
		return "stopped"
	default:
		return "failed"
	}
}

func is[T error](err error, behaviour func(T) bool) bool {
	e, ok := errors.AsType[T](err)
	return ok && behaviour(e)
}
