package workercmd

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

const (
	localQueue     = "sqsonce"
	localQueueAddr = "127.0.0.1:4566" // the address of LocalStack
)

// localParts holds the parts of --local: queue, store, and the producer API.
type localParts struct {
	backend
	server           *sqstest.Server
	queueListener    net.Listener
	producer         *producerapi.API
	producerListener net.Listener
	schedules        *schedule.Local
}

func (l *localParts) close() {
	if l.producer != nil {
		l.producer.Close()
	}
	if l.schedules != nil {
		l.schedules.Close()
	}
	for _, ln := range []net.Listener{l.queueListener, l.producerListener} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// newLocal opens the listeners and creates queue and store.
func newLocal(ctx context.Context, c queueSettings, instrument func(*aws.Config), log *slog.Logger) (*localParts, error) {
	l := &localParts{}
	if err := l.open(ctx, c, instrument, log); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *localParts) open(ctx context.Context, c queueSettings, instrument func(*aws.Config), log *slog.Logger) (err error) {
	if l.producerListener, err = awsenv.Listen("--addr", c.Addr); err != nil {
		return err
	}
	if l.queueListener, err = listenQueue(c.QueueAddr, log); err != nil {
		return err
	}
	l.server = sqstest.New(sqstest.Config{BaseURL: "http://" + l.queueListener.Addr().String()})
	store := memstore.New()
	l.store = store
	cfg := l.server.AWSConfig()
	producing := sqs.NewFromConfig(cfg) // the producer's calls do not count as the worker's
	instrument(&cfg)
	l.queue = sqs.NewFromConfig(cfg)
	if l.queueURL, l.dlqURL, err = awsenv.CreateQueue(ctx, l.queue, localQueue); err != nil {
		return err
	}
	keys, err := names.New(c.keyConfig())
	if err != nil {
		return &awsenv.SettingsError{Problems: []string{err.Error()}}
	}
	scope, err := c.scope(l.queueURL)
	if err != nil {
		return err
	}
	l.schedules = schedule.NewLocal(func(ctx context.Context, m schedule.Message) {
		if err := m.Send(ctx, producing); err != nil {
			log.Error("a scheduled message is lost", "error", err)
		}
	})
	l.producer, err = producerapi.New(producerapi.Config{
		SQS: producing, QueueURL: l.queueURL, Records: store, Scope: scope, Keys: keys,
		Skew: c.Skew, Window: c.Window, AuthTokens: c.AuthToken, LocalOperators: true, DLQURL: l.dlqURL, PathPrefixes: c.PathPrefix, Scheduler: l.schedules, Logger: log,
	})
	return err
}

// listenQueue listens at addr for the SQS endpoint. If addr is empty, it uses localQueueAddr, or a
// free port if that is taken.
func listenQueue(addr string, log *slog.Logger) (net.Listener, error) {
	if addr != "" {
		return awsenv.Listen("--queue-addr", addr)
	}
	ln, err := awsenv.Listen("--queue-addr", localQueueAddr)
	if err == nil {
		return ln, nil
	}
	log.Info("the usual SQS port is taken; using a free one", "addr", localQueueAddr)
	return awsenv.Listen("--queue-addr", "127.0.0.1:0")
}

// printWhere prints the addresses of the servers.
func (q *queueWorker) printWhere() {
	if q.metrics != nil {
		q.where.Do(func() {
			_, _ = fmt.Fprintf(q.out, "metrics at http://%s/metrics (and /healthz, /readyz)\n", q.metrics.Addr())
		})
	}
	if q.local == nil {
		_, _ = fmt.Fprintf(q.out, "worker on %s, admin at http://%s/ (console, /healthz)\n", q.back.queueURL, q.admin.Addr())
		return
	}
	_, _ = fmt.Fprintf(q.out, `sqsonce runs in this process alone; all data is lost when it stops.
  producer API  http://%[1]s/
  admin         http://%[2]s/ (console, /healthz, /metrics, /config)
  SQS endpoint  http://%[3]s/ (queue %[4]s)
Try:
  curl -H 'Content-Type: application/json' -d '{"name":"order-17"}' http://%[1]s/
  curl http://%[1]s/messages/order-17
`, q.local.producerListener.Addr(), q.admin.Addr(), q.local.queueListener.Addr(), q.back.queueURL)
}
