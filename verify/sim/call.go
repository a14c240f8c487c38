package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
)

// Errors of faulty calls.
var (
	errCrashed   = errors.New("sim: the process is dead")
	errRefused   = errors.New("sim: refused")
	errThrottled = errors.New("sim: throttled")
	errLost      = errors.New("sim: answer lost")
	errHung      = errors.New("sim: no answer")
)

// fate is the outcome of a call over the network.
type fate string

const (
	works       fate = "ok"
	refused     fate = "refuse"
	throttled   fate = "throttle"
	lost        fate = "lose"
	hung        fate = "hang"
	hungApplied fate = "apply+hang"
	late        fate = "late"
	crashBefore fate = "crash before"
	crashAfter  fate = "crash after"
	outage      fate = "outage"
)

// patience bounds a hanging call whose caller has no deadline.
const patience = time.Minute

// call is one call over the network.
type call struct {
	op, key string
	rates   Rates
	down    bool                            // the service does not answer at all
	apply   func(ctx context.Context) error // the effect; its error is the service's answer
	met     func(f fate)                    // called for every fault, before the effect; may be nil
	again   bool                            // allows the fate late, where apply runs after the call has returned
}

// do makes a call, which takes time. Its fault is before or after the effect. While the process is
// paused no call begins and no answer arrives.
func (p *process) do(ctx context.Context, c call) error {
	p.holdUp(c.op + " " + c.key)
	if err := p.gate(c.op + " " + c.key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // not sent
	}
	n := p.count(c.op + " " + c.key)
	r := p.w.dice.roll(p.label+" "+c.op, c.key, n)
	f := drawFate(r, c.rates)
	if c.down {
		f = outage
	}
	if f == late && !c.again {
		f = lost
	}
	if f != works {
		p.w.watch.fault(c.op, f)
		if c.met != nil {
			c.met(f)
		}
	}
	err := p.meet(ctx, r, f, c)
	if ctx.Err() != nil {
		// Deadlines fall on the same instants as tickers. The sleep keeps later events apart.
		time.Sleep(between(r, time.Microsecond, time.Millisecond))
	}
	p.w.watch.note(p.label, c.op, c.key, strconv.Itoa(n), string(f), outcomeOf(err))
	p.holdUp(c.op + " " + c.key)
	if dead := p.gate(c.op + " " + c.key); dead != nil {
		return dead
	}
	return err
}

func (p *process) meet(ctx context.Context, r *rand.Rand, f fate, c call) error {
	before, after := latency(r), latency(r)
	dropped := chance(r, 0.5) // a request in flight may arrive after its sender's death, or not
	switch f {
	case throttled:
		_ = backoff.Sleep(ctx, before/8)
		return errThrottled
	case refused:
		_ = backoff.Sleep(ctx, before)
		return errRefused
	case outage:
		if dropped {
			_ = backoff.Sleep(ctx, before)
			return errRefused
		}
		return hang(ctx, r)
	case hung:
		return hang(ctx, r)
	case late:
		p.w.later(before+between(r, time.Second, 90*time.Second), func() { _ = c.apply(context.WithoutCancel(ctx)) })
		return hang(ctx, r)
	}
	if err := backoff.Sleep(ctx, before); err != nil {
		return err
	}
	if f == crashBefore {
		p.crash()
	}
	if p.isDead() && dropped {
		return errCrashed
	}
	err := c.apply(ctx)
	switch f {
	case crashAfter:
		p.crash()
	case lost:
		_ = backoff.Sleep(ctx, after)
		return errLost
	case hungApplied:
		return hang(ctx, r)
	}
	if slept := backoff.Sleep(ctx, after); slept != nil {
		return slept
	}
	return err
}

func drawFate(r *rand.Rand, rates Rates) fate {
	x := r.Float64()
	for _, k := range []struct {
		p float64
		f fate
	}{
		{rates.Refuse, refused},
		{rates.Throttle, throttled},
		{rates.Lose, lost},
		{rates.Hang / 2, hung},
		{rates.Hang / 2, hungApplied},
		{rates.Late, late},
		{rates.CrashAt / 2, crashBefore},
		{rates.CrashAt / 2, crashAfter},
	} {
		if x < k.p {
			return k.f
		}
		x -= k.p
	}
	return works
}

// latency draws the latency of one way: milliseconds, sometimes up to two seconds.
func latency(r *rand.Rand) time.Duration {
	if chance(r, 0.02) {
		return between(r, 50*time.Millisecond, 2*time.Second)
	}
	return between(r, 200*time.Microsecond, 8*time.Millisecond)
}

// hang waits until the caller stops waiting.
func hang(ctx context.Context, r *rand.Rand) error {
	if err := backoff.Sleep(ctx, patience+between(r, 0, time.Second)); err != nil {
		return err
	}
	return errHung
}

func outcomeOf(err error) string {
	if err == nil {
		return "done"
	}
	text, _, _ := strings.Cut(err.Error(), " by message ") // message ids do not depend on the seed
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		text = strings.ReplaceAll(text, end.Error(), "context ended") // both errors can occur at one instant
	}
	return fmt.Sprintf("%.60s", text)
}
