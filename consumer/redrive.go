package consumer

import (
	"context"
	"sync/atomic"

	"github.com/sqsonce/sqsonce/internal/backoff"
	redrivepolicy "github.com/sqsonce/sqsonce/internal/redrive"
)

// redrivePolicy is what the queue itself says about redrives.
type redrivePolicy struct {
	maxReceives int    // 0: no redrive policy
	dlqARN      string // empty: no redrive policy
	dlqURL      string // empty: none known
}

// redrive is the redrive policy of the queue, as read last.
type redrive struct {
	client *client
	policy atomic.Pointer[redrivePolicy]
}

func (v *redrive) load() redrivePolicy { return *v.policy.Load() }

// read asks the queue until it answers. It fails when no later try can succeed: the queue
// is missing or access is denied.
func (v *redrive) read(ctx context.Context, random func() float64) error {
	for try := 0; ; try++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, err := v.client.redrivePolicy(ctx, redrivePolicy{})
		if err == nil {
			v.policy.Store(&p)
			return nil
		}
		if isFatal(err) {
			return err
		}
		v.client.failed("GetQueueAttributes", err)
		if err := backoff.Sleep(ctx, pollBackoff.Delay(try, random)); err != nil {
			return err
		}
	}
}

// keep reads the policy again every few minutes, until ctx ends: it changes with each
// deployment of the queue.
func (v *redrive) keep(ctx context.Context, random func() float64) {
	for backoff.Sleep(ctx, redriveEvery.Delay(0, random)) == nil {
		was := v.load()
		is, err := v.client.redrivePolicy(ctx, was)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			v.client.failed("GetQueueAttributes", err)
			continue
		case is != was:
			v.client.log.Info("the queue's redrive policy has changed", "max_receive_count", is.maxReceives, "dlq_url", is.dlqURL)
		}
		v.policy.Store(&is)
	}
}

// redrivePolicy asks the queue. The URL of the dead-letter queue is looked up when its ARN
// is not that of the policy known.
func (c *client) redrivePolicy(ctx context.Context, known redrivePolicy) (redrivePolicy, error) {
	limited, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	policy, err := redrivepolicy.Read(limited, c.queue, c.cfg.QueueURL)
	if err != nil {
		return known, err
	}
	p := redrivePolicy{maxReceives: policy.MaxReceives, dlqARN: policy.TargetARN, dlqURL: c.cfg.DLQURL}
	switch {
	case p.dlqURL != "" || p.dlqARN == "":
		return p, nil
	case p.dlqARN == known.dlqARN && known.dlqURL != "":
		p.dlqURL = known.dlqURL
		return p, nil
	}
	limited, cancel = context.WithTimeout(ctx, callDeadline) // for a call of its own
	defer cancel()
	dlqURL, err := policy.TargetURL(limited, c.queue)
	switch {
	case isFatal(err):
		// No reason to stand still: SQS's own redrive goes on.
		c.log.Error("cannot determine the URL of the dead-letter queue: set it", "arn", p.dlqARN, "error", err)
		return p, nil
	case err != nil:
		return known, err
	}
	p.dlqURL = dlqURL
	return p, nil
}
