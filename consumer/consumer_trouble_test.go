package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

// copies is a queue whose dead-letter copies fail.
type copies struct {
	consumer.Queue
	err error
}

func (q copies) SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return nil, q.err
}

// bad is how many messages are rejected: more than may wait.
const bad = 120

// copyTrouble is an error of each send to the dead-letter queue, and a text that the log must have.
type copyTrouble struct {
	name string
	err  error
	log  string
}

// Dead letters that cannot be made do not keep anything from being received.
func TestDeadLetterTrouble(t *testing.T) {
	kms := func(code string) error { return &types.KmsAccessDenied{ErrorCodeOverride: aws.String(code)} }
	for _, tc := range []copyTrouble{
		{"key denied", kms("KMS.AccessDeniedException"), "does not take it"},
		{"key denied, by the shape's name", kms("KmsAccessDenied"), "does not take it"},
		{"key disabled", &types.KmsDisabled{ErrorCodeOverride: aws.String("KMS.DisabledException")}, "does not take it"},
		{"key gone", &types.KmsNotFound{ErrorCodeOverride: aws.String("KMS.NotFoundException")}, "does not take it"},
		{"key throttled", &types.KmsThrottled{ErrorCodeOverride: aws.String("KMS.ThrottlingException")}, "keeps failing"},
		{"unknown", errors.New("connection reset"), "keeps failing"},
	} {
		t.Run(tc.name, tc.check)
	}
}

func (tc copyTrouble) check(t *testing.T) {
	bubble(t, 4, false, func(t *testing.T, p *pool) {
		var out bytes.Buffer
		p.cfg.Concurrency = 10
		p.cfg.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
		var failed atomic.Int32
		p.cfg.Hooks.CopyFailed = func(_ consumer.Message, d consumer.Disposition, err error) {
			if failed.Add(1); d.Reason != "rejected" || !errors.Is(err, tc.err) {
				t.Errorf("hook was told %+v, %v", d, err)
			}
		}
		good := newClockwork()
		var mu sync.Mutex
		received := make(map[string][]time.Time)
		handler := func(_ context.Context, m consumer.Message) error {
			if strings.HasPrefix(m.Body, "bad") {
				mu.Lock()
				defer mu.Unlock()
				received[m.Body] = append(received[m.Body], time.Now())
				return consumer.Permanent(errBoom)
			}
			good.tick(m)
			return nil
		}
		for i := range bad {
			p.send(fmt.Sprint("bad", i))
		}
		c, err := consumer.New(copies{p.client, tc.err}, handler, p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Minute)
		p.send(numbered(100)...)
		time.Sleep(time.Minute)
		if n := good.seen(); n != 100 {
			t.Errorf("%d of 100 good messages handled: %+v", n, c.Stats())
		}
		time.Sleep(2 * time.Hour) // SQS's own redrive moves them in the end
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.wantDepths(p.queueURL, 0, 0)
		for body, at := range received {
			if len(at) != 4 || failed.Load() != 4*bad {
				t.Errorf("%s was received %d times, %d copies failed, want 4 of each message", body, len(at), failed.Load())
				break
			}
			if tc.log == "keeps failing" && at[1].Sub(at[0]) < 20*time.Minute {
				t.Errorf("%s came back after %s, want five minutes of tries and a quarter of an hour", body, at[1].Sub(at[0]))
				break
			}
		}
		if n := len(p.dead()); n != bad || failed.Load() < bad || !strings.Contains(out.String(), tc.log) {
			t.Errorf("%d of %d in the dead-letter queue, %d copies told of, log %.300s", n, bad, failed.Load(), out.String())
		}
	})
}

// A receive that backs off does not go on after the pool was paused or closed.
func TestReceiveBacksOff(t *testing.T) {
	for _, how := range []string{"paused", "closed", "down"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 10, false, func(t *testing.T, p *pool) {
				var broken atomic.Bool
				broken.Store(true)
				p.faults(func(c sqstest.Call) sqstest.Fault {
					if c.Operation == "ReceiveMessage" && broken.Load() {
						return sqstest.Fault{Error: &sqstest.Error{Code: "InternalError", Status: 500}}
					}
					return sqstest.Fault{}
				})
				p.start()
				time.Sleep(30 * time.Second)
				most := 0
				switch how {
				case "paused":
					p.consumer.Pause()
				case "closed":
					p.consumer.Report("target", consumer.Closed)
				case "down":
					p.consumer.Report("target", consumer.Down)
					p.handler = func(context.Context, consumer.Message) error { return failure{unavailable: true} }
					most = 8 // probes
				}
				time.Sleep(2 * time.Minute)
				p.send(numbered(30)...)
				broken.Store(false)
				time.Sleep(30 * time.Second)
				if visible, _ := p.depths(p.queueURL); visible < 30-most {
					t.Errorf("%d messages of 30 received while %s, want at most %d", 30-visible, how, most)
				}
				p.consumer.Abort()
				p.finishClean()
			})
		})
	}
}

func TestTrouble(t *testing.T) {
	t.Run("pause holds waiting messages", testPauseHoldsWaitingMessages)
	t.Run("panic of handled is a failure", testPanicOfHandledIsAFailure)
	t.Run("many slots and a slow queue", testManySlotsAndASlowQueue)
}

// Messages from a poll that was open at the pause wait in the worker.
func testPauseHoldsWaitingMessages(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.start()
		synctest.Wait()
		p.consumer.Pause()
		p.send("late")
		time.Sleep(10 * time.Minute)
		p.wantDepths(p.queueURL, 0, 1)
		if n := len(p.bodies()); n != 0 {
			t.Errorf("%d begun while paused", n)
		}
		p.consumer.Resume()
		synctest.Wait()
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
	})
}

// An SQS that cannot be received from is told of, and nothing is held for it.
func TestQueueDown(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		var broken atomic.Bool
		broken.Store(true)
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation == "ReceiveMessage" && broken.Load() {
				return sqstest.Fault{Error: &sqstest.Error{Code: "ExpiredToken", Status: 403, SenderFault: true}}
			}
			return sqstest.Fault{}
		})
		p.start()
		time.Sleep(30 * time.Second)
		if s := p.consumer.Stats(); len(s.Down) > 0 {
			t.Errorf("down after half a minute: %v", s.Down)
		}
		time.Sleep(time.Minute)
		if s := p.consumer.Stats(); !slices.Equal(s.Down, []string{"queue"}) || s.State != consumer.Running {
			t.Errorf("%s, down %v after a minute and a half of failed receives", s.State, s.Down)
		}
		broken.Store(false)
		time.Sleep(time.Minute)
		if s := p.consumer.Stats(); len(s.Down) > 0 {
			t.Errorf("down %v after a receive", s.Down)
		}
		p.finishClean()
	})
}

// A policy that is changed while the worker runs counts a few minutes later.
func TestRedrivePolicyChanges(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.handler = func(context.Context, consumer.Message) error { return retryIn(time.Second) }
		p.start()
		time.Sleep(time.Hour)
		other := p.create("other-dlq", nil)
		_, err := p.client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &p.queueURL, Attributes: map[string]string{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:other-dlq","maxReceiveCount":3}`,
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		p.send("x")
		time.Sleep(10 * time.Minute)
		p.finishClean()
		p.dlqURL = other
		if dead := p.dead(); attribute(dead["x"], consumer.AttrReason) != "failed on its last receive" || len(p.bodies()) != 3 {
			t.Errorf("%d tries, dead letters %v", len(p.bodies()), dead)
		}
	})
}

// A panic of the user's functions hits their message at most.
func TestPanics(t *testing.T) {
	for name, set := range map[string]func(*consumer.Config){
		"name":     func(c *consumer.Config) { c.Name = func(consumer.Message) (string, bool) { panic("bad body") } },
		"received": func(c *consumer.Config) { c.Hooks.Received = func(int, time.Duration) { panic("hook") } },
		"handled": func(c *consumer.Config) {
			c.Hooks.Handled = func(m consumer.Message, _ consumer.Disposition, _ time.Duration) {
				if m.Body == "x" {
					panic("hook")
				}
			}
		},
		"dead-lettered": func(c *consumer.Config) {
			c.Hooks.DeadLettered = func(consumer.Message, consumer.Disposition) { panic("hook") }
		},
		"ended": func(c *consumer.Config) {
			c.Hooks.Ended = func(consumer.Message, consumer.Disposition) { panic("hook") }
		},
		"answered": func(c *consumer.Config) { c.Hooks.Answered = func(string, int, int, time.Duration) { panic("hook") } },
		"state":    func(c *consumer.Config) { c.Hooks.State = func(consumer.State) { panic("hook") } },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, false, func(t *testing.T, p *pool) {
				set(&p.cfg)
				p.send("x", "good")
				p.handler = func(_ context.Context, m consumer.Message) error {
					if m.Body == "x" {
						return errBoom
					}
					return nil
				}
				p.start()
				time.Sleep(5 * time.Minute)
				p.consumer.Flights(0)
				p.finishClean()
				p.wantDepths(p.queueURL, 0, 0)
				if dead := p.dead(); len(dead) != 1 || dead["x"].Body == nil {
					t.Errorf("dead letters %v, want the message that fails", dead)
				}
			})
		})
	}
}

// A handler whose success a hook did not survive is not done.
func testPanicOfHandledIsAFailure(t *testing.T) {
	bubble(t, 2, false, func(t *testing.T, p *pool) {
		p.cfg.Hooks.Handled = func(m consumer.Message, d consumer.Disposition, _ time.Duration) {
			if m.ReceiveCount == 1 {
				panic("hook")
			}
		}
		p.send("x")
		p.start()
		time.Sleep(5 * time.Minute)
		p.finishClean()
		p.wantDepths(p.queueURL, 0, 0)
		if n := len(p.bodies()); n != 2 {
			t.Errorf("handled %d times, want once more after the hook's panic", n)
		}
	})
}

// Heartbeats of thousands of messages keep up with an SQS that takes a second for a call.
func testManySlotsAndASlowQueue(t *testing.T) {
	bubble(t, 10, false, func(t *testing.T, p *pool) {
		p.cfg.Concurrency = 5000
		for range 50 {
			p.send(numbered(100)...)
		}
		p.faults(func(sqstest.Call) sqstest.Fault { return sqstest.Fault{DelayAfter: time.Second} })
		var mu sync.Mutex
		again, runs := 0, 0
		p.handler = func(ctx context.Context, m consumer.Message) error {
			mu.Lock()
			runs++
			if m.ReceiveCount > 1 {
				again++
			}
			mu.Unlock()
			return lasts(ctx, 75*time.Second)
		}
		p.start()
		time.Sleep(4 * time.Minute)
		mu.Lock()
		if again > 0 || runs != 5000 {
			t.Errorf("%d runs of 5,000 messages, %d of them again", runs, again)
		}
		mu.Unlock()
		p.server.Control(nil)
		p.finishClean()
	})
}

// A queue that is seldom used costs about one receive a message.
func TestTrickle(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Second, 15 * time.Second, time.Minute} {
		t.Run(every.String(), func(t *testing.T) {
			bubble(t, 10, false, func(t *testing.T, p *pool) {
				p.faults(short)
				p.start()
				time.Sleep(time.Minute)
				before, sent := p.count("ReceiveMessage"), 0
				for range int(time.Hour / every) {
					p.send(fmt.Sprint(sent))
					sent++
					time.Sleep(every)
				}
				least := max(180, sent) // a poll lasts 20 s at most
				if n := p.count("ReceiveMessage") - before; n > least*3/2 {
					t.Errorf("%d receives for %d messages in an hour, want about %d", n, sent, least)
				}
				p.finishClean()
			})
		})
	}
}
