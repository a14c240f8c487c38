package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Bounds of histograms.
var (
	workSeconds    = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	waitSeconds    = []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	requestSeconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	callSeconds    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30}
	entries        = []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25}
)

// Labels of this project. Their values are few, and all listed here.
const (
	keyOutcome   = attribute.Key("outcome")
	keyReason    = attribute.Key("reason")
	keyKind      = attribute.Key("kind")
	keyOperation = attribute.Key("operation")
	keyService   = attribute.Key("service")
	keyError     = attribute.Key("error")
)

// instruments are the metrics of a process.
type instruments struct {
	received, deadLetters, copiesFailed, refused  metric.Int64Counter
	handled, duplicates, settled                  metric.Int64Counter
	takeovers, lost, late, recovered, storeErrors metric.Int64Counter
	batchRefused, ignored                         metric.Int64Counter
	awsCalls, sent                                metric.Int64Counter
	work, dwell, awsTime, requests                metric.Float64Histogram
	receives, acks                                metric.Int64Histogram
	meter                                         metric.Meter
}

func (is *instruments) init(m metric.Meter) error {
	is.meter = m
	var errs []error
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
		return c
	}
	seconds := func(name, help string, bounds []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	sizes := func(name, help string) metric.Int64Histogram {
		h, err := m.Int64Histogram(name, metric.WithDescription(help), metric.WithExplicitBucketBoundaries(entries...))
		errs = append(errs, err)
		return h
	}
	is.received = counter("messaging.client.consumed.messages", "{message}", "Messages received.")
	is.handled = counter("sqsonce.handled", "{try}", "Calls of the handler, by the decision about the message.")
	is.copiesFailed = counter("sqsonce.dead_letters.failed", "{message}",
		"Messages that could not be copied to the dead-letter queue and stayed in their own, by reason.")
	is.deadLetters = counter("sqsonce.dead_letters", "{message}", "Messages copied to the dead-letter queue, by reason.")
	is.duplicates = counter("sqsonce.duplicates", "{message}",
		"Deliveries that did not run the work, by kind: replayed, joined, cached, deferred.")
	is.refused = counter("sqsonce.refused", "{message}", "Deliveries of names that are not run again, by reason.")
	is.ignored = counter("sqsonce.ignored", "{message}", "Messages deleted without work because of a setting, by reason.")
	is.settled = counter("sqsonce.attempts", "{attempt}", "Attempts that have ended, by outcome.")
	is.takeovers = counter("sqsonce.takeovers", "{attempt}", "Attempts on names whose earlier holder's lease had lapsed.")
	is.lost = counter("sqsonce.leases.lost", "{attempt}", "Attempts cancelled because their lease could not be renewed in time.")
	is.late = counter("sqsonce.completions.late", "{attempt}", "Completions recorded after the lease had lapsed.")
	is.recovered = counter("sqsonce.writes.recovered", "{write}", "Writes recognised as applied after their answer was lost.")
	is.storeErrors = counter("sqsonce.store.errors", "{call}", "Calls to the store without a conclusive answer, which are repeated.")
	is.batchRefused = counter("sqsonce.batch.refused", "{operation}",
		"Batch operations of the store that were given up, because DynamoDB refuses them and accepts single calls.")
	is.awsCalls = counter("sqsonce.aws.calls", "{call}", "Requests sent to AWS, the SDK's own retries included.")
	is.sent = counter("messaging.client.sent.messages", "{message}", "Messages given to the queue, by outcome: accepted, refused, failed.")
	is.requests = seconds("http.server.request.duration", "Time of requests to the producer API.", requestSeconds)
	is.work = seconds("messaging.process.duration", "Time in the handler, duplicates included.", workSeconds)
	is.dwell = seconds("sqsonce.dwell", "Time from the sending of a message to its handling.", waitSeconds)
	is.awsTime = seconds("sqsonce.aws.duration", "Time of requests to AWS.", callSeconds)
	is.receives = sizes("sqsonce.receive.size", "Messages brought by a receive.")
	is.acks = sizes("sqsonce.ack.size", "Entries of the batches that end or extend messages.")
	return errors.Join(errs...)
}
