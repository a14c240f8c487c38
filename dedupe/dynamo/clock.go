package dynamo

import (
	"log/slog"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
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
}

// Now returns this machine's time, or the service's when an answer has shown
// that the two differ by more than two seconds, beyond what the grain of the
// service's clock (one second) and the time the answer took can explain. It is
// the clock for a guard: leases are absolute times, and workers whose clocks
// are wrong agree by it all the same. It is a wall time, without a monotonic
// reading.
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
	before := time.Duration(c.offset.Load())
	after := correction(before, sent, received, server)
	if after == before || !c.offset.CompareAndSwap(int64(before), int64(after)) {
		return
	}
	switch {
	case after == 0:
		c.logger.Info("this machine's clock agrees with DynamoDB's again")
	case before == 0 || (after-before).Abs() > clockTolerance:
		c.logger.Warn("this machine's clock is wrong; leases go by DynamoDB's", "off_by", -after)
	}
}

// correction returns what to add to this machine's clock, given what was added
// until now and an answer that was sent for, received, and dated by the service
// (in whole seconds). The service's clock stood somewhere within that second,
// at some moment between sending and receiving.
func correction(until time.Duration, sent, received, server time.Time) time.Duration {
	least := server.Sub(received)
	most := server.Add(clockGrain).Sub(sent)
	switch {
	case least <= clockTolerance && most >= -clockTolerance:
		return 0
	case until != 0:
		return min(max(until, least), most) // no further than needed: time should not jitter with the grain
	default:
		return least + (most-least)/2
	}
}
