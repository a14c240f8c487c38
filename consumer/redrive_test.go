package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

// The policy and the URL of its dead-letter queue are read by two calls. Each has the deadline of a
// call to itself.
func TestRedrivePolicy(t *testing.T) {
	t.Run("two slow calls", func(t *testing.T) {
		bubble(t, 1, false, func(t *testing.T, p *pool) {
			p.cfg.DLQURL = ""
			p.faults(func(c sqstest.Call) sqstest.Fault {
				if c.Operation == "GetQueueAttributes" || c.Operation == "GetQueueUrl" {
					return sqstest.Fault{Delay: 4 * time.Second}
				}
				return sqstest.Fault{}
			})
			p.handler = func(context.Context, consumer.Message) error { return errBoom }
			p.send("x")
			p.start()
			time.Sleep(time.Minute)
			p.faults(nil)
			p.consumer.Abort()
			p.finishClean()
			if reason := attribute(p.dead()["x"], consumer.AttrReason); reason != "failed on its last receive" {
				t.Errorf("dead-lettered because %q", reason)
			}
		})
	})
}
