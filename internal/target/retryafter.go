package target

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// longestRetryAfter is the longest time for which SQS can keep a message invisible.
const longestRetryAfter = 12 * time.Hour

// retryAfter parses the Retry-After header: seconds, or a date. A date counts from the Date of the
// response, so that the target's clock does not matter, or else from now. A past or invalid value
// is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	seconds, err := strconv.ParseUint(value, 10, 32)
	switch {
	case err == nil:
		return min(time.Duration(seconds)*time.Second, longestRetryAfter)
	case errors.Is(err, strconv.ErrRange):
		return longestRetryAfter
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(until.Sub(now), 0), longestRetryAfter)
}
