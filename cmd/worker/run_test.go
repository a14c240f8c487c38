package main

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
)

func TestRunPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newInBubble(t, 3, func(http.ResponseWriter, *http.Request) {})
		b := newInBubble(t, 3, func(http.ResponseWriter, *http.Request) {})
		defer a.target.close()
		defer b.target.close()
		w := &worker{queues: []*queueWorker{a.queueWorker, b.queueWorker}, lines: awsenv.NewLogPipe(io.Discard)}
		a.send(`{"name":"a"}`)
		b.send(`{"name":"b"}`)
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, stop)
		if err := w.runPools(ctx, stop); err != nil {
			t.Fatal(err)
		}
		if s := a.record("a").Status; s != protocol.Completed {
			t.Errorf("the message of the first queue is %s", s)
		}
		if s := b.record("b").Status; s != protocol.Completed {
			t.Errorf("the message of the second queue is %s", s)
		}
		w.each(func(c *consumer.Consumer) {
			if s := c.Stats().State; s != consumer.Stopped {
				t.Errorf("a pool is %s", s)
			}
		})
	})
}
