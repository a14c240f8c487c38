package consumer

import (
	"context"
	"sync/atomic"

	"github.com/sqsonce/sqsonce/internal/backoff"
	redrivepolicy "github.com/sqsonce/sqsonce/internal/redrive"
)

// redrivePolicy is the redrive policy of the queue.
type redrivePolicy struct {
	maxReceives int    // 0 if there is no redrive policy
	dlqARN      string // empty if there is no redrive policy
	dlqURL      string // empty if not known
}

// redrive holds the redrive policy as last read.
type redrive struct {
	client *client
	policy atomic.Pointer[redrivePolicy]
}

func (v *redrive) load() redrivePolicy { return *v.policy.Load() }

// read reads the policy. It retries until SQS answers, and returns an error if no retry can
// succeed: the queue is missing or access is denied.
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

// keep reads the policy again every few minutes until ctx ends, because a deployment of the queue
// may change it.
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

// redrivePolicy reads the policy. The URL of the dead-letter queue is looked up if the ARN differs
// from that in known.
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
		// Not fatal, because SQS's own redrive continues.
		c.log.Error("cannot determine the URL of the dead-letter queue: set it", "arn", p.dlqARN, "error", err)
		return p, nil
	case err != nil:
		return known, err
	}
	p.dlqURL = dlqURL
	return p, nil
}
