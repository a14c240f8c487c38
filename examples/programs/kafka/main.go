// Command kafka handles each order of a topic once, however often it is produced or
// consumed.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	store, err := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{Table: os.Getenv("TABLE")})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Getenv("BROKER")), kgo.ConsumerGroup("orders"), kgo.ConsumeTopics("orders"),
		kgo.DisableAutoCommit(), // an offset is committed when its records are handled
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	handle := func(_ context.Context, r *kgo.Record) (string, error) { return fmt.Sprintf("shipped %s", r.Value), nil }
	if err := consume(ctx, client, store, dedupe.Config{Scope: "orders", Now: store.Now}, handle); err != nil {
		log.Fatal(err)
	}
}

// consume handles records until ctx ends. The key of a record names it: a record that was
// produced twice, or is consumed again after a rebalance, is handled once.
func consume(
	ctx context.Context, client *kgo.Client, store dedupe.Store, cfg dedupe.Config, handle func(context.Context, *kgo.Record) (string, error),
) error {
	cfg.Wait = true // another consumer may still have the record after a rebalance
	guard, err := dedupe.New[string](store, cfg)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) { log.Printf("%s/%d: %v", topic, partition, err) })
		for _, r := range fetches.Records() {
			if !untilFinal(ctx, guard, r, handle) {
				return nil // stopped: the record is not committed, and comes again
			}
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
			log.Print(err) // the records come again, and are not handled again
		}
	}
	return nil
}

// untilFinal handles a record until its name has an outcome. It returns false when ctx
// ends first.
func untilFinal(ctx context.Context, guard *dedupe.Guard[string], r *kgo.Record, handle func(context.Context, *kgo.Record) (string, error)) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		_, err := guard.Do(ctx, dedupe.Key{Name: string(r.Key)}, func(ctx context.Context) (string, error) { return handle(ctx, r) })
		permanent, _ := errors.AsType[interface {
			error
			Permanent() bool
		}](err)
		switch {
		case err == nil:
			return true
		case permanent != nil && permanent.Permanent():
			log.Printf("%s/%d@%d is left out: %v", r.Topic, r.Partition, r.Offset, err) // or produce it to a topic of dead letters
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}
