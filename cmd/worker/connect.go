package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// backend is what the worker works on: a queue and a store, real or local.
type backend struct {
	queue    *sqs.Client
	queueURL string
	dlqURL   string
	store    dedupe.Store
	now      func() time.Time // the store's clock; nil: this machine's
	close    func()           // waits for the store's calls; nil: nothing to wait for
}

// connect reaches the real queue and table, creating them where that was asked
// for, and checks that the worker can work there.
func connect(ctx context.Context, c queueSettings, instrument func(*aws.Config), log *slog.Logger) (backend, error) {
	cfg, err := awsenv.Load(ctx)
	if err != nil {
		return backend{}, err
	}
	instrument(&cfg)
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	back := backend{queue: queue, queueURL: c.QueueURL, dlqURL: c.DLQURL}
	if c.Create {
		if !awsenv.EndpointOverridden(cfg, "SQS") || !awsenv.EndpointOverridden(cfg, "DYNAMODB") {
			return backend{}, &awsenv.SettingsError{Problems: []string{
				"--create: refused on AWS itself; set AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_DYNAMODB, or deploy the stack",
			}}
		}
		if back.queueURL, back.dlqURL, err = awsenv.CreateQueue(ctx, queue, c.QueueURL); err != nil {
			return backend{}, err
		}
		if c.DLQURL != "" {
			back.dlqURL = c.DLQURL
		}
		if err := dynamo.CreateTable(ctx, table, c.Table); err != nil {
			return backend{}, err
		}
	}
	store, err := dynamo.New(table, c.storeConfig(log))
	if err != nil {
		return backend{}, &awsenv.SettingsError{Problems: leaves(err)}
	}
	back.store, back.now, back.close = store, store.Now, store.Close
	if back.dlqURL, err = lookAround(ctx, c, back, table, log); err != nil {
		store.Close()
		return backend{}, err
	}
	return back, nil
}
