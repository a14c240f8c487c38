package producercmd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/backoff"
)

// replayCmd is "producer replay".
type replayCmd struct {
	Name          string        `required:"" env:"-" placeholder:"NAME" help:"Name to send; with --distinct the prefix of each name."`
	Count         int           `default:"100" help:"Messages to send; at least 1."`
	Concurrency   int           `env:"-" default:"20" help:"Concurrent requests; at least 1."`
	Distinct      int           `default:"1" help:"Number of different names, from 1 to --count: NAME-0, NAME-1, and so on."`
	PermuteKeys   bool          `xor:"mode" help:"Write the keys of each body in another order. The messages stay duplicates."`
	DifferentBody bool          `xor:"mode" help:"Send a different body in each message. All but the first of a name are mismatches, which workers dead-letter."`
	Rate          float64       `env:"-" default:"0" help:"Messages per second, at most; 0: no limit."`
	Spread        time.Duration `help:"Spread the messages evenly over this time; not together with --rate. 0: send them at once."`
	Settle        time.Duration `env:"-" default:"2m" help:"Time to wait for final statuses after the last message was sent; more than 0."`
	backendFlags
}

func (s *replayCmd) check() error {
	var bad problems
	if s.Distinct == 1 {
		checkName(&bad, s.Name)
	} else {
		checkName(&bad, s.nameOf(s.Distinct-1))
	}
	if s.Count < 1 {
		bad.add("--count %d: must be at least 1", s.Count)
	}
	if s.Distinct < 1 || s.Distinct > s.Count {
		bad.add("--distinct %d: must be from 1 to --count %d", s.Distinct, s.Count)
	}
	if s.Concurrency < 1 {
		bad.add("--concurrency %d: must be at least 1", s.Concurrency)
	}
	if s.Rate < 0 {
		bad.add("--rate %g: must not be negative", s.Rate)
	}
	if s.Spread < 0 || s.Spread > 0 && s.Rate > 0 {
		bad.add("--spread %s: must not be negative, and cannot be used with --rate", s.Spread)
	}
	if s.Settle <= 0 {
		bad.add("--settle %s: must be positive", s.Settle)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

// nameOf returns the name of message i.
func (s *replayCmd) nameOf(i int) string {
	if s.Distinct == 1 {
		return s.Name
	}
	return s.Name + "-" + strconv.Itoa(i%s.Distinct)
}

// bodyOf returns the body of message i.
func (s *replayCmd) bodyOf(i int) []byte {
	name := jsonString(s.nameOf(i))
	members := []string{`"name":` + name, `"kind":"replay"`, `"big":12345678901234567890`, `"list":[1,2,3]`}
	switch {
	case s.DifferentBody:
		members = append(members, `"copy":`+strconv.Itoa(i))
	case s.PermuteKeys:
		rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	body := "{"
	for n, m := range members {
		if n > 0 {
			body += ","
			if s.PermuteKeys && i%2 == 1 {
				body += " "
			}
		}
		body += m
	}
	return []byte(body + "}")
}

func (s *replayCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	names := make([]string, s.Distinct)
	for i := range names {
		names[i] = s.nameOf(i)
	}
	seen := newLedger(names)
	if err := seen.begin(ctx, c, s.Concurrency); err != nil {
		return err
	}
	accepted, failures, err := s.send(ctx, c, io)
	if err != nil {
		return err
	}
	drained, err := s.settle(ctx, c, seen, io)
	if err != nil {
		return err
	}
	depth, err := c.depth(ctx)
	if err != nil {
		return err
	}
	mismatched, err := s.mismatched(ctx, c, names, accepted, io)
	if err != nil {
		return err
	}
	report := seen.report(accepted, failures, drained, depth, mismatched)
	if s.JSON {
		err = printJSON(io.out, report)
	} else {
		report.print(io.out)
	}
	if err != nil {
		return err
	}
	return report.verdict()
}

// mismatched counts the messages that were dead-lettered because their body differs from the first
// of their name; nil without --different-body. If the dead-letter queue cannot be read, it returns
// the expected number.
func (s *replayCmd) mismatched(ctx context.Context, c *client, names []string, accepted int, io stdio) (*int, error) {
	if !s.DifferentBody {
		return nil, nil //nolint:nilnil // nil means that there is no count
	}
	found, err := c.deadLetters(ctx, 0, url.Values{"reason": {reasonMismatch}})
	if status := statusOf(err); status == http.StatusUnauthorized || status == http.StatusNotFound {
		_, _ = fmt.Fprintf(io.err, "the dead-letter queue cannot be read (%v): mismatched is the expected number\n", err)
		return new(max(0, accepted-len(names))), nil
	}
	if err != nil {
		return nil, err
	}
	ours := make(map[string]bool, len(names))
	for _, name := range names {
		ours[name] = true
	}
	originals := make(map[string]bool)
	for _, m := range found.Messages {
		if ours[m.Name] {
			originals[m.OriginalID] = true
		}
	}
	if !found.Complete {
		_, _ = fmt.Fprintf(io.err, "only the first %d messages of the dead-letter queue were examined\n", found.Looked)
	}
	return new(len(originals)), nil
}

// reasonMismatch is the reason with which workers dead-letter a mismatch.
var reasonMismatch = (&dedupe.MismatchError{}).Reason()

// send sends the messages. It returns the number of accepted ones, and the number of failures by
// error text.
func (s *replayCmd) send(ctx context.Context, c *client, io stdio) (accepted int, failures map[string]int, err error) {
	limit := rate.NewLimiter(rate.Inf, 1)
	switch {
	case s.Rate > 0:
		limit = rate.NewLimiter(rate.Limit(s.Rate), 1)
	case s.Spread > 0:
		limit = rate.NewLimiter(rate.Limit(float64(s.Count)/s.Spread.Seconds()), 1)
	}
	bar := progress(io.err, int64(s.Count), "sending")
	defer bar.finish()
	failures = make(map[string]int)
	var mu sync.Mutex // guards accepted and failures
	var group errgroup.Group
	group.SetLimit(s.Concurrency)
	for i := range s.Count {
		if err = limit.Wait(ctx); err != nil {
			break
		}
		group.Go(func() error {
			_, err := c.do(ctx, request{method: http.MethodPost, path: "/", body: s.bodyOf(i)})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures[err.Error()]++
			} else {
				accepted++
			}
			bar.add(1)
			return nil
		})
	}
	_ = group.Wait() // failures are counted
	if ctx.Err() != nil {
		return accepted, failures, context.Cause(ctx)
	}
	if accepted == 0 {
		for text := range failures {
			return 0, failures, fmt.Errorf("no message was accepted: %s", text)
		}
	}
	return accepted, failures, err
}

const (
	settleEvery   = 100 * time.Millisecond
	emptyReadings = 3 // in a row: the counts are approximate
)

// settle reads the records of the names until all are final and the queue is empty. It reports
// whether that happened within --settle.
func (s *replayCmd) settle(ctx context.Context, c *client, seen *ledger, io stdio) (drained bool, err error) {
	bar := progress(io.err, int64(s.Distinct), "settling")
	defer bar.finish()
	deadline := time.Now().Add(s.Settle)
	every, empty := settleEvery, 0
	for {
		if err := seen.lookUnsettled(ctx, c, s.Concurrency); err != nil {
			return false, err
		}
		bar.set(int64(s.Distinct - seen.unsettled()))
		depth, err := c.depth(ctx)
		if err != nil {
			return false, err
		}
		if depth.Visible+depth.InFlight+depth.Delayed == 0 {
			empty++
		} else {
			empty = 0
		}
		if seen.unsettled() == 0 && empty >= emptyReadings {
			drained = true
			break
		}
		if time.Now().After(deadline) {
			break
		}
		if err := backoff.Sleep(ctx, every); err != nil {
			return false, err
		}
		every = min(every*5/4, time.Second)
	}
	// Only after the last message is handled, another attempt at a completed name can be excluded.
	return drained, seen.look(ctx, c, s.Concurrency)
}
