// Command gocloud receives and acknowledges messages with gocloud.dev/pubsub: without dedupe,
// heartbeat and dead letters. It shows the least cost of a message with another library. It is a
// separate module, so that no other module has its requirements.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/awssnssqs"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/verify/bench/program"
)

func main() { program.Main("CONCURRENCY", run) }

func run(ctx context.Context, cfg aws.Config, concurrency int) error {
	// It uses the default batching.
	subscription := awssnssqs.OpenSubscription(ctx, sqs.NewFromConfig(cfg), os.Getenv("QUEUE_URL"),
		&awssnssqs.SubscriptionOptions{Raw: true, WaitTime: 20 * time.Second})
	var group errgroup.Group
	for range concurrency {
		group.Go(func() error { return acknowledge(ctx, subscription) })
	}
	return group.Wait()
}

// acknowledge receives and acknowledges messages until ctx ends.
func acknowledge(ctx context.Context, subscription *pubsub.Subscription) error {
	for ctx.Err() == nil {
		m, err := subscription.Receive(ctx)
		if err == nil {
			m.Ack()
		} else if ctx.Err() == nil {
			return err
		}
	}
	return nil
}
