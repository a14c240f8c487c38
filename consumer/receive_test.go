package consumer_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/sqstest"
)

// On a slow line messages come through, and none is received in vain.
func TestSlowLine(t *testing.T) {
	bubble(t, 3, false, func(t *testing.T, p *pool) {
		// 1.25 MB a second shared by the receives that are out; messages of 1 MiB. No part of
		// an answer is seen before all of it is there, so that the line seems silent.
		var out atomic.Int32
		p.faults(func(c sqstest.Call) sqstest.Fault {
			if c.Operation != "ReceiveMessage" {
				return sqstest.Fault{}
			}
			n := out.Add(1)
			took := time.Duration(c.Entries) * time.Second * time.Duration(n) * 5
			time.AfterFunc(took, func() { out.Add(-1) })
			return sqstest.Fault{DelayAfter: took}
		})
		p.send(numbered(100)...)
		p.start()
		time.Sleep(20 * time.Minute)
		p.faults(nil)
		synctest.Wait()
		if dead := p.dead(); len(dead) > 0 {
			t.Errorf("%d messages dead-lettered by SQS without a try", len(dead))
		}
		if n := len(p.bodies()); n != 100 {
			t.Errorf("%d of 100 handled", n)
		}
		p.finishClean()
	})
}

// slowBody comes in a few bytes at a time, or not at all after the first.
type slowBody struct {
	io.ReadCloser
	ctx    context.Context // of the request
	pause  time.Duration
	silent bool
	begun  bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.silent && b.begun {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	b.begun = true
	if err := lasts(b.ctx, b.pause); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p[:min(len(p), 100)])
}

// slowLine is an HTTP client whose first answers with a message are slow.
type slowLine struct {
	next   aws.HTTPClient
	silent bool
	slow   atomic.Int32 // answers
}

func (l *slowLine) Do(r *http.Request) (*http.Response, error) {
	resp, err := l.next.Do(r)
	if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ReceiveMessage") && l.slow.Add(-1) >= 0 {
		resp.Body = &slowBody{ReadCloser: resp.Body, ctx: r.Context(), pause: 5 * time.Second, silent: l.silent}
	}
	return resp, err
}

func TestReceive(t *testing.T) {
	t.Run("receive is given up for silence", testReceiveIsGivenUpForSilence)
}

// An answer that takes long is waited for as long as something of it comes in.
func testReceiveIsGivenUpForSilence(t *testing.T) {
	for _, tc := range []struct {
		name         string
		silent       bool
		wantReceives int
	}{{"slow", false, 1}, {"silent", true, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 5, false, func(t *testing.T, p *pool) {
				p.cfg.Visibility = 5 * time.Minute
				cfg := p.server.AWSConfig()
				cfg.Credentials = aws.AnonymousCredentials{}
				line := &slowLine{next: cfg.HTTPClient, silent: tc.silent}
				line.slow.Store(1)
				cfg.HTTPClient = line
				p.client = sqs.NewFromConfig(cfg)
				p.send(strings.Repeat("x", 1000))
				var receives []int
				p.handler = func(_ context.Context, m consumer.Message) error {
					receives = append(receives, m.ReceiveCount)
					return nil
				}
				start := time.Now()
				p.start()
				for len(p.bodies()) == 0 && time.Since(start) < time.Hour {
					time.Sleep(time.Second)
				}
				if took := time.Since(start); !tc.silent && took < 40*time.Second {
					t.Errorf("the answer took %s, want more than a poll's time", took)
				}
				p.finishClean()
				if len(receives) != 1 || receives[0] != tc.wantReceives {
					t.Errorf("receive counts %v, want %d", receives, tc.wantReceives)
				}
			})
		})
	}
}
