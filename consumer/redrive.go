package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/backoff"
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
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	out, err := c.queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       &c.cfg.QueueURL,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return known, fmt.Errorf("attributes of queue %s: %w", c.cfg.QueueURL, err)
	}
	p := redrivePolicy{dlqURL: c.cfg.DLQURL}
	text := out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]
	if text == "" {
		return p, nil
	}
	if p.dlqARN, p.maxReceives, err = parseRedrive(text); err != nil {
		return known, err
	}
	switch {
	case p.dlqURL != "":
		return p, nil
	case p.dlqARN == known.dlqARN && known.dlqURL != "":
		p.dlqURL = known.dlqURL
		return p, nil
	}
	name, account := p.dlqARN[strings.LastIndexByte(p.dlqARN, ':')+1:], arnAccount(p.dlqARN)
	dlq, err := c.queue.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name, QueueOwnerAWSAccountId: account})
	switch {
	case isFatal(err):
		// No reason to stand still: SQS's own redrive goes on.
		c.log.Error("the URL of the dead-letter queue cannot be found out; set it", "arn", p.dlqARN, "error", err)
		return p, nil
	case err != nil:
		return known, fmt.Errorf("URL of dead-letter queue %s: %w", p.dlqARN, err)
	}
	p.dlqURL = aws.ToString(dlq.QueueUrl)
	return p, nil
}

// parseRedrive reads a queue's RedrivePolicy. The count comes as a number or as a string,
// depending on who wrote the policy.
func parseRedrive(policy string) (arn string, maxReceives int, err error) {
	var p struct {
		ARN   string `json:"deadLetterTargetArn"`
		Count any    `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return "", 0, fmt.Errorf("redrive policy %q: %w", policy, err)
	}
	maxReceives, err = strconv.Atoi(fmt.Sprint(p.Count))
	if err != nil || maxReceives < 1 || p.ARN == "" {
		return "", 0, fmt.Errorf("redrive policy %q: want deadLetterTargetArn and maxReceiveCount", policy)
	}
	return p.ARN, maxReceives, nil
}

// arnAccount returns the account of arn:aws:sqs:region:account:name, or nil.
func arnAccount(arn string) *string {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[4] == "" {
		return nil
	}
	return &parts[4]
}
