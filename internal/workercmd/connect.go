package workercmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/powertools"
)

// backend is the queue and the store of a worker, real or local.
type backend struct {
	queue    *sqs.Client
	queueURL string
	dlqURL   string
	store    dedupe.Store
	now      func() time.Time   // the store's clock; nil: this machine's
	payloads *payloads          // nil: payloads in S3 are not fetched
	earlier  *powertools.Reader // nil: records of Powertools are not read
	close    func()             // waits for the store's calls; may be nil
}

// connect connects to the real queue and table, and checks them and the settings. With --create it
// creates them. If AWS cannot be reached, it tries again for --wait-at-start; other errors end it
// at once.
func (q *queueWorker) connect(ctx context.Context) (backend, error) {
	cfg, err := awsenv.Load(ctx, q.log)
	if err != nil {
		return backend{}, err
	}
	if err := q.settings.fits(cfg); err != nil {
		return backend{}, err
	}
	q.instrument(&cfg)
	end := time.Now().Add(q.settings.WaitAtStart)
	for try := 0; ; try++ {
		back, err := q.lookUp(ctx, cfg)
		outage, ok := errors.AsType[outageError](err)
		if !ok || ctx.Err() != nil || q.settings.WaitAtStart == 0 {
			return back, err
		}
		if !time.Now().Before(end) {
			return back, fmt.Errorf("waited %s (--wait-at-start): %w", q.settings.WaitAtStart, err)
		}
		text := "waiting at the start: " + outage.Error()
		if said := q.trouble.Swap(&text); said == nil {
			q.log.Warn("waiting at the start: AWS cannot be reached",
				"for_at_most", q.settings.WaitAtStart.String(), "admin", "http://"+q.admin.Addr().String(), "error", err)
		}
		if backoff.Sleep(ctx, min(looks.Delay(try, nil), time.Until(end))) != nil {
			return back, err
		}
	}
}

// looks are the pauses between two tries to reach AWS.
var looks = backoff.Policy{First: time.Second, Max: 15 * time.Second}

// fits returns an error if the settings contradict the AWS configuration.
func (c queueSettings) fits(cfg aws.Config) error {
	if c.Create && !(awsenv.EndpointOverridden(cfg, "SQS") && awsenv.EndpointOverridden(cfg, "DYNAMODB")) {
		return &awsenv.SettingsError{Problems: []string{
			"--create: refused without endpoint overrides; set AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_DYNAMODB, or deploy the stack",
		}}
	}
	return awsenv.CheckRegions(cfg, c.QueueURL, c.DLQURL)
}

// lookUp creates the clients, and checks the queue and the table. Its error is an [outageError] if
// a later try may succeed.
func (q *queueWorker) lookUp(ctx context.Context, cfg aws.Config) (backend, error) {
	c := q.settings
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	back := backend{queue: queue, queueURL: c.QueueURL, dlqURL: c.DLQURL, payloads: c.newPayloads(cfg, q.log)}
	if c.Create {
		var err error
		if back.queueURL, back.dlqURL, err = awsenv.CreateQueue(ctx, queue, c.QueueURL); err == nil {
			err = c.storeConfig(q.log).CreateTable(ctx, table)
		}
		switch {
		case err != nil && isOutage(err):
			return backend{}, outageError{err}
		case err != nil:
			return backend{}, err
		}
		back.dlqURL = cmp.Or(c.DLQURL, back.dlqURL)
	}
	storing := c.storeConfig(q.log)
	storing.BatchRefused = q.telemetry.BatchRefused
	storing.Timeout = dynamo.TimeoutFor(c.Lease)
	store, err := dynamo.New(table, storing)
	if err != nil {
		return backend{}, &awsenv.SettingsError{Problems: joinedTexts(err)}
	}
	back.store, back.now, back.close = store, store.Now, store.Close
	if c.PowertoolsPrefix != "" {
		if back.earlier, err = powertools.New(table, c.powertools(store.Now)); err != nil {
			return backend{}, &awsenv.SettingsError{Problems: joinedTexts(err)}
		}
	}
	if back.dlqURL, err = lookAround(ctx, c, back, table, q.log); err == nil {
		if err := store.ReadClock(ctx); err != nil {
			q.log.Warn("DynamoDB's clock could not be read; leases use this machine's clock for now", "error", err)
		}
		return back, nil
	}
	if ctx.Err() == nil {
		store.Close() // after a signal the worker does not wait for calls in flight
	}
	return backend{}, err
}
