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
func (w *worker) instrument(cfg *aws.Config) {
	w.telemetry.InstrumentAWS(cfg)
	cfg.APIOptions = append(cfg.APIOptions, w.history.CountCalls)
}

// console is the page of this worker and its API. drain starts a stop; streams
// end with closing.
func (w *worker) console(drain func(), closing <-chan struct{}) (http.Handler, error) {
	queueName, err := awsenv.QueueName(w.back.queueURL)
	if err != nil {
		return nil, err
	}
	guarding := w.cfg.guardConfig(cmp.Or(w.cfg.Scope, queueName), w.log)
	guarding.Now = w.back.now
	records, err := dedupe.NewOperator(w.back.store, guarding)
	if err != nil {
		return nil, err
	}
	var protection func() string
	if os.Getenv(ecs.EnvAgentURI) != "" {
		protection = w.protector.Protection
	}
	return console.New(console.Config{
		Protection: protection,
		History:    w.history, Pool: console.WatchPool(w.pool), Records: records,
		Queue: w.back.queue, QueueURL: w.back.queueURL, DLQURL: w.back.dlqURL,
		Local: w.cfg.Local, Drain: drain, AdminToken: w.cfg.AdminToken, Hosts: w.cfg.AdminHosts,
		Table: cmp.Or(w.cfg.Table, "in memory"), Version: version(), TaskID: console.TaskID(os.Getenv("ECS_CONTAINER_METADATA_URI_V4")),
		Settings: console.Settings(w.cfg.shown()), Closing: closing, Logger: w.log,
	})
}
