package target

import (
	"errors"
	"net/http"
)

// evidence is what the outcome of a request says about the target, as opposed to
// the message.
type evidence uint8

const (
	nothing  evidence = iota // of the target: it is busy, or nobody knows what it did
	success                  // it did the work
	failing                  // it is not there, not as it should be, or fails
	blaming                  // it says that the message is bad; so does a target that is set up wrongly
	timedOut                 // it did not answer in time
)

// weigh says what the outcome of a request is evidence of.
func weigh(err error) evidence {
	if err == nil {
		return success
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		return weighStatus(status)
	}
	if unknown, ok := errors.AsType[*UnknownOutcomeError](err); ok && unknown.timedOut {
		return timedOut
	} else if ok && unknown.garbled {
		return failing
	}
	if _, ok := errors.AsType[*DownError](err); ok {
		return failing
	}
	return nothing
}

// weighAll says what it is evidence of that each message of a batch has failed: the worst
// of it, and its error.
func weighAll(failed []error) (evidence, error) {
	found, cause := nothing, failed[0]
	for _, err := range failed {
		if e := weigh(err); e == failing || e == blaming && found == nothing {
			found, cause = e, err
		}
	}
	return found, cause
}

// weighStatus is weigh for an answer. A 4xx blames the message, whether or not
// that is believed (Config.PermanentStatuses), with two exceptions. Some are about
// the moment or about another request; 410 and 413 are about this message's
// subject and size.
func weighStatus(e *StatusError) evidence {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly,
		http.StatusTooManyRequests, http.StatusGone, http.StatusRequestEntityTooLarge:
		return nothing
	}
	switch {
	case e.TargetDown():
		return failing
	case e.Permanent():
		return blaming
	case e.Status >= http.StatusInternalServerError:
		return failing
	case e.Status >= http.StatusBadRequest:
		return blaming
	default:
		return nothing // 1xx
	}
}
