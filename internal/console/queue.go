package console

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/deadletter"
)

// Queue is the client of the console. A [*sqs.Client] implements it.
type Queue = deadletter.Client

var _ Queue = (*sqs.Client)(nil)

const (
	queueCallTime = 5 * time.Second // timeout of one call
	depthAge      = 5 * time.Second // largest age of the depths on the page
)

// Depths are SQS's approximate numbers of messages in the queue and its dead-letter queue. Unknown
// numbers are null.
type Depths struct {
	Visible *int64 `json:"visible"`
	Hidden  *int64 `json:"in_flight"`
	Delayed *int64 `json:"delayed"`
	Dead    *int64 `json:"dead"`
	Error   string `json:"error,omitempty"` // error of an unknown number
}

// ask reads the numbers of both queues.
func (c *panel) askDepths(ctx context.Context) Depths {
	var d Depths
	if main, err := c.counts(ctx, c.queue.QueueURL); err != nil {
		d.Error = clip(err.Error(), maxErrorKept)
	} else {
		d.Visible, d.Hidden, d.Delayed = &main[0], &main[1], &main[2]
	}
	if c.queue.DLQURL == "" {
		return d
	}
	if dead, err := c.counts(ctx, c.queue.DLQURL); err != nil {
		d.Error = clip(err.Error(), maxErrorKept)
	} else {
		d.Dead = new(dead[0] + dead[1])
	}
	return d
}

var countNames = [3]types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

func (c *panel) counts(ctx context.Context, url string) (n [3]int64, err error) {
	ctx, cancel := context.WithTimeout(ours(ctx), queueCallTime)
	defer cancel()
	out, err := c.queue.Queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: countNames[:]})
	if err != nil {
		return n, fmt.Errorf("attributes of queue %s: %w", url, err)
	}
	for i, name := range countNames {
		if n[i], err = strconv.ParseInt(out.Attributes[string(name)], 10, 64); err != nil {
			return n, fmt.Errorf("attribute %s of queue %s: %w", name, url, err)
		}
	}
	return n, nil
}
