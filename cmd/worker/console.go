package main

import (
	"cmp"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/ecs"
)

// instrument makes every client made of cfg count its calls, for the metrics
// and for the console.
func (q *queueWorker) instrument(cfg *aws.Config) {
	q.telemetry.InstrumentAWS(cfg)
	cfg.APIOptions = append(cfg.APIOptions, q.history.CountCalls)
}

// console is the page of a queue's worker and its API. drain starts a stop; streams
// end with closing.
func (q *queueWorker) console(drain func(), closing <-chan struct{}) (http.Handler, error) {
	queueName, err := awsenv.QueueName(q.back.queueURL)
	if err != nil {
		return nil, err
	}
	guarding := q.settings.guardConfig(cmp.Or(q.settings.Scope, queueName), q.log)
	guarding.Now = q.back.now
	records, err := dedupe.NewOperator(q.back.store, guarding)
	if err != nil {
		return nil, err
	}
	var protection func() string
	if os.Getenv(ecs.EnvAgentURI) != "" {
		protection = q.protector.Protection
	}
	return console.New(console.Config{
		Protection: protection,
		History:    q.history, Pool: console.WatchPool(q.pool), Records: records,
		Queue: q.back.queue, QueueURL: q.back.queueURL, DLQURL: q.back.dlqURL,
		Local: q.cfg.Local, Drain: drain, AdminToken: q.cfg.AdminToken, Hosts: q.cfg.AdminHosts,
		Table: cmp.Or(q.cfg.Table, "in memory"), Version: version(), TaskID: console.TaskID(os.Getenv("ECS_CONTAINER_METADATA_URI_V4")),
		Settings: console.Settings(q.settings.shown()), Closing: closing, Logger: q.log,
	})
}
