package workercmd

import (
	"cmp"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/names"
)

// instrument makes every client of cfg count its calls, for the metrics and the console.
func (q *queueWorker) instrument(cfg *aws.Config) {
	q.telemetry.InstrumentAWS(cfg)
	cfg.APIOptions = append(cfg.APIOptions, q.history.CountCalls)
}

// console returns the console's handler; nil while no queue works. drain starts a shutdown. Streams
// end when closing is closed.
func (w *worker) console(drain func(), closing <-chan struct{}) (http.Handler, error) {
	var protection func() string
	if os.Getenv(ecs.EnvAgentURI) != "" {
		protection = w.protector.Protection
	}
	showing := console.Config{
		Protection: protection, Drain: drain, AdminToken: w.cfg.AdminToken, Hosts: w.cfg.AdminHosts,
		Version: version(), TaskID: console.TaskID(os.Getenv("ECS_CONTAINER_METADATA_URI_V4")), Closing: closing, Logger: w.log,
	}
	for _, q := range w.queues {
		if q.started.Load() == nil {
			showing.Starting = append(showing.Starting, console.StartingQueue{
				Name: q.settings.queueName(), Why: func() string { return q.notStarted().Error() },
			})
			continue
		}
		shown, err := q.consoleQueue()
		if err != nil {
			return nil, err
		}
		showing.Queues = append(showing.Queues, shown)
	}
	if len(showing.Queues) == 0 {
		return nil, nil
	}
	return console.New(showing)
}

// consoleQueue returns the console's configuration of a queue.
func (q *queueWorker) consoleQueue() (console.QueueConfig, error) {
	name, err := awsenv.QueueName(q.back.queueURL)
	if err != nil {
		return console.QueueConfig{}, err
	}
	guarding := q.settings.guardConfig(cmp.Or(q.settings.Scope, name), q.log)
	guarding.Now = q.back.now
	records, err := dedupe.NewOperator(q.back.store, guarding)
	if err != nil {
		return console.QueueConfig{}, err
	}
	keys, err := names.New(q.settings.keyConfig())
	if err != nil {
		return console.QueueConfig{}, err
	}
	var suspicion func() string
	if q.judge != nil {
		suspicion = func() string { return q.judge.Suspicion().Why }
	}
	return console.QueueConfig{
		Suspicion: suspicion, Payloads: q.back.payloads.ofLetters(),
		Name: name, History: q.history, Pool: console.WatchPool(q.pool), Records: records, Operator: records, Lister: lister(q.back.store), Scope: cmp.Or(q.settings.Scope, name),
		Queue: q.back.queue, QueueURL: q.back.queueURL, DLQURL: q.back.dlqURL, Keys: keys, Skew: q.settings.Skew, Local: q.cfg.Local, MayPurge: q.cfg.Local,
		Table: cmp.Or(q.settings.Table, "in memory"), Settings: console.Settings(q.settings.shown()),
	}, nil
}

// lister returns the store if it lists names, and nil otherwise.
func lister(s dedupe.Store) listing.Lister {
	l, _ := s.(listing.Lister)
	return l
}
