package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestSlowReceive(t *testing.T) {
	t.Run("receive that uses up the visibility timeout", testReceiveThatUsesUpTheVisibilityTimeout)
}

// SQS counts the visibility timeout from when it hands a message out, not from when its
// answer has come in: of 10 seconds an answer that takes 8 leaves 2.
func testReceiveThatUsesUpTheVisibilityTimeout(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprint("fifo ", fifo), func(t *testing.T) {
			bubble(t, 5, fifo, func(t *testing.T, p *pool) {
				const n = 20
				p.cfg.Visibility = 10 * time.Second
				p.cfg.Concurrency = 4 // most of them wait for a slot, or behind their group
				p.faults(func(c sqstest.Call) sqstest.Fault {
					if c.Operation == "ReceiveMessage" {
						return sqstest.Fault{DelayAfter: 8 * time.Second}
					}
					return sqstest.Fault{Delay: 100 * time.Millisecond, DelayAfter: 100 * time.Millisecond}
				})
				p.handler = func(ctx context.Context, m consumer.Message) error {
					if m.ReceiveCount != 1 {
						t.Errorf("%s is received for the %d. time", m.Body, m.ReceiveCount)
					}
					return lasts(ctx, 3*time.Second)
				}
				if fifo {
					for i, body := range numbered(n) {
						p.sendGroup(fmt.Sprint("g", i%5), body)
					}
				} else {
					p.send(numbered(n)...)
				}
				p.start()
				p.finishWithin(10 * time.Minute)
				if got := len(p.bodies()); got != n {
					t.Errorf("%d handlers were begun for %d messages", got, n)
				}
			})
		})
	}
}
