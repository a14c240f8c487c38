// Gocloud receives and acknowledges by gocloud.dev/pubsub: no dedupe, no
// heartbeat, no dead letters. It stands in the benchmark for what a message
// costs at the least, by another's hand. It is a module of its own, so that
// what it needs is needed by nothing else here.
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
	// Its own batching, as it comes.
	subscription := awssnssqs.OpenSubscription(ctx, sqs.NewFromConfig(cfg), os.Getenv("QUEUE_URL"),
		&awssnssqs.SubscriptionOptions{Raw: true, WaitTime: 20 * time.Second})
	var group errgroup.Group
	for range concurrency {
		group.Go(func() error { return acknowledge(ctx, subscription) })
	}
	return group.Wait()
}

// acknowledge receives and acknowledges until ctx ends.
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
