package dynamo

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
)

// The service's clock, as its answers show it.
const (
	clockGrain     = time.Second     // of the Date header
	clockTolerance = 2 * time.Second // what the guard's skew margin takes care of
)

// clock is this machine's, corrected by the service's where they disagree. Its
// zero value needs a logger.
type clock struct {
	logger *slog.Logger
	offset atomic.Int64 // nanoseconds to add; mostly 0

	mu   sync.Mutex // held while offset is changed
	sent time.Time  // guarded by mu: when the answer compared last was sent for
}

// Now returns this machine's time, or the service's when an answer has shown
// that the two differ by more than two seconds, beyond what the grain of the
// service's clock (one second) and the time the answer took can explain, until
// one shows that they differ by a second at most. It is
// the clock for a guard: leases are absolute times, and workers whose clocks
// are wrong agree by it all the same, from the store's first answer on: read
// something ([Store.Get]) before the first claim. It is a wall time, without a
// monotonic reading.
func (s *Store) Now() time.Time { return s.clock.now() }

func (c *clock) now() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.offset.Load()))
}

// observe compares the clocks by an answer to a call that was sent at the given
// time.
func (c *clock) observe(sent time.Time, answer middleware.Metadata) {
	server, ok := awsmiddleware.GetServerTime(answer)
	if !ok {
		return
	}
	received, ok := awsmiddleware.GetResponseAt(answer)
	if !ok || received.Before(sent) {
		received = time.Now()
	}
	c.compare(sent, received, server)
}

// observeFailure is observe for an answer that is an error: a conflict, which is
// most of what a challenger ever sees, is dated too.
func (c *clock) observeFailure(sent time.Time, err error) {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.Response == nil {
		return
	}
	if server, err := http.ParseTime(answer.Response.Header.Get("Date")); err == nil {
		c.compare(sent, time.Now(), server)
	}
}

// compare corrects our clock where the service's, read between two moments of
// ours, shows that it is wrong.
func (c *clock) compare(sent, received, server time.Time) {
	before, after := c.correct(sent, received, server)
	switch {
	case after == before:
	case after == 0:
		c.logger.Info("this machine's clock agrees with DynamoDB's again")
	case before == 0 || (after-before).Abs() > clockTolerance:
		c.logger.Warn("this machine's clock is wrong; leases go by DynamoDB's", "off_by", -after)
	}
}

// correct returns the correction as it was and as it is now. An answer that was
// sent for before one that has been compared already does not count: our clock
// may have been set in between.
func (c *clock) correct(sent, received, server time.Time) (before, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = time.Duration(c.offset.Load())
	if sent.Before(c.sent) {
		return before, before
	}
	c.sent = sent
	after = correction(before, sent, received, server)
	c.offset.Store(int64(after))
	return before, after
}

// correction returns what to add to this machine's clock, given what was added
// until now and an answer that was sent for, received, and dated by the service
// (in whole seconds). The service's clock stood somewhere within that second,
// at some moment between sending and receiving. A correction goes no further
// than needed, so that time does not jitter with the grain, and stays where the
// answer does not speak against it: one that was slow to come says little.
func correction(until time.Duration, sent, received, server time.Time) time.Duration {
	least := server.Sub(received)
	most := server.Add(clockGrain).Sub(sent)
	if until != 0 {
		if until = min(max(until, least), most); until.Abs() <= clockTolerance-clockGrain {
			return 0
		}
		return until
	}
	if least <= clockTolerance && most >= -clockTolerance {
		return 0
	}
	return least + (most-least)/2
}
