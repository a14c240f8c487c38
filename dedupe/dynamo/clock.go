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
	clockGrain     = time.Second     // resolution of the Date header
	clockTolerance = 2 * time.Second // smaller differences are covered by the guard's skew margin

	// clockAnswers is the number of consecutive answers that must agree before the clock is
	// corrected.
	clockAnswers = 3

	// maxCorrection bounds a correction. AWS would not accept our signature with a larger
	// difference:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html
	maxCorrection = 5 * time.Minute
)

// clock is this machine's clock, corrected by DynamoDB's if the two disagree. The zero value needs
// a logger.
type clock struct {
	logger *slog.Logger
	offset atomic.Int64 // nanoseconds to add; usually 0

	mu      sync.Mutex // held while offset is changed
	sent    time.Time  // guarded by mu; when the request of the last compared answer was sent
	answers []bounds   // guarded by mu; from the last answers, at most clockAnswers
	absurd  bool       // guarded by mu; a difference above maxCorrection has been logged
}

// bounds is the range of possible differences between DynamoDB's clock and ours.
type bounds struct{ least, most time.Duration }

// Now returns the time for a guard ([dedupe.Config.Now]): leases are absolute times, and with Now
// the workers agree even if their clocks are wrong. The result is a wall time without a monotonic
// reading.
//
// Now is this machine's time until three consecutive answers show that it differs from DynamoDB's
// by more than 2 seconds. The resolution of the Date header (1 second) and the duration of the
// calls are taken into account. From then on Now is DynamoDB's time until answers show a difference
// of at most 1 second. A correction is at most 5 minutes. Only the answers of successful calls
// count, because proxies date their errors, too.
//
// Call [Store.ReadClock] before the first claim.
func (s *Store) Now() time.Time { return s.clock.now() }

// ReadClock makes the reads that [Store.Now] needs to know DynamoDB's clock: three consecutive
// reads of a record that does not exist. It returns the error of the first read that fails.
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

// observe compares the clocks by the answer to a successful call, which was sent at the given time.
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

// compare corrects our clock if this answer and the ones before it show that it is wrong.
// DynamoDB's clock was read between sent and received.
func (c *clock) compare(sent, received, server time.Time) {
	before, after, absurd := c.correct(sent, received, server)
	switch {
	case absurd:
		c.logger.Error("this machine's clock and DynamoDB's differ by more than five minutes; leases use this machine's",
			"date", server, "ours", received)
	case after == before:
	case after == 0:
		c.logger.Info("this machine's clock agrees with DynamoDB's again")
	case before == 0 || (after-before).Abs() > clockTolerance:
		c.logger.Warn("this machine's clock is wrong; leases use DynamoDB's", "off_by", -after)
	}
}

// correct returns the old and the new correction. absurd reports the first difference above
// maxCorrection. An answer does not count if its request was sent before that of the last compared
// answer, because our clock may have been set in between.
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

// boundsOf returns the bounds from an answer. The server's date is in whole seconds, and its clock
// was read at some time between sent and received.
func boundsOf(sent, received, server time.Time) bounds {
	return bounds{least: server.Sub(received), most: server.Add(clockGrain).Sub(sent)}
}

// correction returns the new correction from the previous one and the bounds of the last answers.
// The answers count only if there are enough of them and they do not contradict each other. The
// correction moves no further than needed, so that time does not jitter by the resolution. It stays
// if it is within the bounds; slow answers have wide bounds.
func correction(until time.Duration, answers []bounds) time.Duration {
	if len(answers) < clockAnswers {
		return until
	}
	all := answers[0]
	for _, b := range answers[1:] {
		all = bounds{max(all.least, b.least), min(all.most, b.most)}
	}
	switch {
	case all.least > all.most: // an answer is wrong, or our clock was set
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
