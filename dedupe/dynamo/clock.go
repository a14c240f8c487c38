package dynamo

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

const (
	clockGrain     = time.Second     // of the Date header
	clockTolerance = 2 * time.Second // what the guard's skew margin takes care of

	// clockAnswers is how many answers in a row must agree before the clock moves.
	clockAnswers = 3

	// maxCorrection bounds a correction. Further off than this, AWS would not have
	// accepted our signature: https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html
	maxCorrection = 5 * time.Minute
)

// clock is this machine's clock, corrected by DynamoDB's where they disagree. Its
// zero value needs a logger.
type clock struct {
	logger *slog.Logger
	offset atomic.Int64 // nanoseconds to add; mostly 0

	mu      sync.Mutex // held while offset is changed
	sent    time.Time  // guarded by mu: when the request was sent whose answer was compared last
	answers []bounds   // guarded by mu: what the last of them say, at most clockAnswers
	absurd  bool       // guarded by mu: a difference beyond maxCorrection has been logged
}

// bounds is what answers say of the difference between DynamoDB's clock and ours.
type bounds struct{ least, most time.Duration }

// Now returns this machine's time, or DynamoDB's where several answers in a row
// have shown that the two differ by more than two seconds, beyond what the grain
// of the Date header (one second) and the time that the answers took can explain.
// It stays DynamoDB's until answers show a difference of one second at most. A
// correction is never larger than five minutes, and only the answers of calls
// that succeeded count: proxies date their errors, too.
//
// It is the clock for a guard ([dedupe.Config.Now]): leases are absolute times,
// and workers whose clocks are wrong agree by it all the same. Call
// [Store.ReadClock] before the first claim. The time is a wall time, without a
// monotonic reading.
func (s *Store) Now() time.Time { return s.clock.now() }

// ReadClock makes as many reads as it takes for [Store.Now] to know DynamoDB's
// clock: three, one after the other, of a record that does not exist. Its error is
// that of the first read that fails.
func (s *Store) ReadClock(ctx context.Context) error {
	for range clockAnswers {
		if _, err := s.getItem(ctx, "#clock"); err != nil { // no record has an empty scope
			return err
		}
	}
	return nil
}

func (c *clock) now() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.offset.Load()))
}

// observe compares the clocks by the answer to a call that succeeded, and that was
// sent at the given time.
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

// compare corrects our clock where DynamoDB's, read between two moments of ours,
// and the answers before this one show that it is wrong.
func (c *clock) compare(sent, received, server time.Time) {
	before, after, absurd := c.correct(sent, received, server)
	switch {
	case absurd:
		c.logger.Error("this machine's clock and DynamoDB's differ by more than five minutes; leases go by ours",
			"date", server, "ours", received)
	case after == before:
	case after == 0:
		c.logger.Info("this machine's clock agrees with DynamoDB's again")
	case before == 0 || (after-before).Abs() > clockTolerance:
		c.logger.Warn("this machine's clock is wrong; leases go by DynamoDB's", "off_by", -after)
	}
}

// correct returns the correction as it was and as it is now, and whether it would
// have to be absurdly large, the first time that this is so. An answer whose
// request was sent before one that has been compared already does not count: our
// clock may have been set in between.
func (c *clock) correct(sent, received, server time.Time) (before, after time.Duration, absurd bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = time.Duration(c.offset.Load())
	if sent.Before(c.sent) {
		return before, before, false
	}
	c.sent = sent
	c.answers = append(c.answers, boundsOf(sent, received, server))
	c.answers = c.answers[max(0, len(c.answers)-clockAnswers):]
	after = correction(before, c.answers)
	if after.Abs() > maxCorrection {
		absurd, c.absurd = !c.absurd, true
		return before, before, absurd
	}
	c.absurd = false
	c.offset.Store(int64(after))
	return before, after, false
}

// boundsOf is what an answer says that was sent for, received, and dated by the
// server in whole seconds. Its clock stood somewhere within that second, at some
// moment between sending and receiving.
func boundsOf(sent, received, server time.Time) bounds {
	return bounds{least: server.Sub(received), most: server.Add(clockGrain).Sub(sent)}
}

// correction returns what to add to this machine's clock, given what was added
// until now and what the last answers say. They count when there are enough of
// them and all can be true at once. A correction goes no further than needed, so
// that time does not jitter with the grain, and stays where the answers do not
// speak against it: those that were slow to come say little.
func correction(until time.Duration, answers []bounds) time.Duration {
	if len(answers) < clockAnswers {
		return until
	}
	all := answers[0]
	for _, b := range answers[1:] {
		all = bounds{max(all.least, b.least), min(all.most, b.most)}
	}
	switch {
	case all.least > all.most: // one of them is wrong, or our clock has been set
		return until
	case until != 0:
		if until = min(max(until, all.least), all.most); until.Abs() <= clockTolerance-clockGrain {
			return 0
		}
		return until
	case all.least <= clockTolerance && all.most >= -clockTolerance:
		return 0
	default:
		return all.least + (all.most-all.least)/2
	}
}
