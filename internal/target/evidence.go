package target

import (
	"errors"
	"net/http"
)

// evidence is what the outcome of a request shows about the target, as opposed to the message.
type evidence uint8

const (
	nothing  evidence = iota // about the target: it is busy, or the outcome is unknown
	success                  // it did the work
	failing                  // it is missing, misconfigured, or fails
	blaming                  // it blames the message, as a misconfigured target may, too
	timedOut                 // it did not answer in time
)

// weigh returns the evidence in the outcome of a request.
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

// weighAll returns the evidence of a batch in which every message has failed: the worst evidence,
// and its error.
func weighAll(failed []error) (evidence, error) {
	found, cause := nothing, failed[0]
	for _, err := range failed {
		if e := weigh(err); e == failing || e == blaming && found == nothing {
			found, cause = e, err
		}
	}
	return found, cause
}

// weighStatus is weigh for an answer. A 4xx blames the message, whether or not it counts as
// permanent ([Config].PermanentStatuses). There are two exceptions: statuses about a temporary
// condition or another request, and 410 and 413, which are about the subject and size of this
// message.
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
