// Command cron runs a job at every full hour, on as many hosts as you like, once.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

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
	err = every(ctx, time.Hour, store, dedupe.Config{Scope: "cron", Now: store.Now}, func(context.Context, time.Time) (string, error) {
		log.Print("the report is written")
		return "written", nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// every runs job at every full period until ctx ends. Of all hosts that call it, one
// runs the job. The others wait: should it fail, or its host die, the next host runs it.
func every(
	ctx context.Context, period time.Duration, store dedupe.Store, cfg dedupe.Config, job func(context.Context, time.Time) (string, error),
) error {
	cfg.Wait = true
	guard, err := dedupe.New[string](store, cfg)
	if err != nil {
		return err
	}
	for {
		due := time.Now().Truncate(period).Add(period)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(due)):
		}
		// The time that the run stands for is part of its name. A run ends before the next.
		running, cancel := context.WithDeadline(ctx, due.Add(period))
		_, err := guard.Do(running, dedupe.Key{Name: "report " + due.UTC().Format(time.RFC3339)}, func(ctx context.Context) (string, error) {
			return job(ctx, due)
		})
		cancel()
		if err != nil && ctx.Err() == nil {
			log.Printf("the run of %s: %v", due, err)
		}
	}
}
