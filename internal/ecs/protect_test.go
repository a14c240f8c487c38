package ecs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// agent is a fake of the container agent.
type agent struct {
	t      *testing.T
	answer func(ctx context.Context) (int, string, error)

	mu    sync.Mutex
	calls []string // guarded by mu; bodies
	at    []time.Duration
	start time.Time
}

func (a *agent) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodPut || r.URL.String() != "http://agent/api/1/task-protection/v1/state" {
		a.t.Errorf("called %s %s", r.Method, r.URL)
	}
	a.mu.Lock()
	a.calls = append(a.calls, string(body))
	a.at = append(a.at, time.Since(a.start))
	a.mu.Unlock()
	status, text, err := http.StatusOK, `{"protection":{"ProtectionEnabled":true}}`, error(nil)
	if a.answer != nil {
		status, text, err = a.answer(r.Context())
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(text)), Header: http.Header{}}, nil
}

func (a *agent) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

const on, off = `{"ProtectionEnabled":true,"ExpiresInMinutes":10}`, `{"ProtectionEnabled":false}`

// run calls f with a protector that calls the agent.
func run(t *testing.T, a *agent, f func(p *Protector)) {
	t.Helper()
	runLogged(t, a, slog.New(slog.DiscardHandler), f)
}

func runLogged(t *testing.T, a *agent, log *slog.Logger, f func(p *Protector)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a.t, a.start = t, time.Now()
		p := New(Config{AgentURI: "http://agent/api/1", HTTP: &http.Client{Transport: a}, Logger: log})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		f(p)
		stop()
		running.Wait()
	})
}

func expect(t *testing.T, a *agent, want ...string) {
	t.Helper()
	if got := a.seen(); !slices.Equal(got, want) {
		t.Errorf("calls are %q at %v, want %q", got, a.at, want)
	}
}

func TestOnlyEdgesAreTold(t *testing.T) {
	a := &agent{}
	run(t, a, func(p *Protector) {
		// A hundred messages that overlap, and a hundred with short gaps.
		for range 100 {
			end := p.Begin()
			time.AfterFunc(300*time.Millisecond, end)
			time.Sleep(100 * time.Millisecond)
		}
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			end := p.Begin()
			time.Sleep(100 * time.Millisecond)
			end()
		}
		synctest.Wait()
		expect(t, a, on)
		time.Sleep(linger)
		synctest.Wait()
		expect(t, a, on, off)
		time.Sleep(time.Hour)
		end := p.Begin()
		synctest.Wait()
		expect(t, a, on, off, on)
		end()
	})
	expect(t, a, on, off, on, off) // the end of Run removes the protection
}

func TestLongWorkStaysProtected(t *testing.T) {
	a := &agent{}
	run(t, a, func(p *Protector) {
		end := p.Begin()
		time.Sleep(time.Hour - time.Second)
		end()
		time.Sleep(linger)
		synctest.Wait()
		if got := len(a.seen()); got != 13 || a.seen()[12] != off {
			t.Errorf("%d calls at %v, want one every 5 minutes", got, a.at)
		}
		for i, at := range a.at[:12] {
			if want := time.Duration(i) * expiry / 2; at != want {
				t.Errorf("call %d at %s, want %s", i, at, want)
			}
		}
	})
}

func TestProtect(t *testing.T) {
	t.Run("message that begins while the protection is dropped is protected at once", testAMessageThatBeginsWhileTheProtectionIsDroppedIsProtectedAtOnce)
	t.Run("many short messages do not hold up deployments", testManyShortMessagesDoNotHoldUpDeployments)
	t.Run("drain drops the protection at once", testDrainDropsTheProtectionAtOnce)
	t.Run("agent that hangs or fails changes nothing", testAgentThatHangsOrFailsChangesNothing)
	t.Run("service with too many protected tasks is asked again", testAServiceWithTooManyProtectedTasksIsAskedAgain)
	t.Run("nothing is called outside of ECS", testNothingIsCalledOutsideOfECS)
}

func testAMessageThatBeginsWhileTheProtectionIsDroppedIsProtectedAtOnce(t *testing.T) {
	a := &agent{}
	run(t, a, func(p *Protector) {
		dropping, answer := make(chan struct{}), make(chan struct{})
		a.answer = func(context.Context) (int, string, error) {
			if len(a.seen()) == 2 { // the unprotect
				close(dropping)
				<-answer
			}
			return http.StatusOK, `{}`, nil
		}
		end := p.Begin()
		synctest.Wait()
		end()
		<-dropping
		end = p.Begin()
		close(answer)
		synctest.Wait()
		expect(t, a, on, off, on)
		if p.Protection() == "" {
			t.Error("not protected")
		}
		end()
	})
}

func testManyShortMessagesDoNotHoldUpDeployments(t *testing.T) {
	a := &agent{}
	run(t, a, func(p *Protector) {
		for i := range 3600 {
			end := p.Begin()
			time.AfterFunc(time.Duration(500+i%2*1000)*time.Millisecond, end) // with gaps and without
			time.Sleep(time.Second)
		}
		synctest.Wait()
		expect(t, a, on) // one call, whose protection has expired long ago
		end := p.Begin()
		time.Sleep(longJob + 1)
		synctest.Wait()
		expect(t, a, on, on) // this message runs long
		end()
	})
}

func testDrainDropsTheProtectionAtOnce(t *testing.T) {
	a := &agent{}
	run(t, a, func(p *Protector) {
		end := p.Begin()
		synctest.Wait()
		if got := p.Protection(); got != "until 00:10 UTC" { // time begins at midnight in a bubble
			t.Errorf("protection is %q", got)
		}
		p.Drain()
		synctest.Wait()
		if got := p.Protection(); got != "" {
			t.Errorf("protection is %q", got)
		}
		expect(t, a, on, off)
		p.Begin()()
		time.Sleep(time.Hour)
		end()
	})
	expect(t, a, on, off)
}

func testAgentThatHangsOrFailsChangesNothing(t *testing.T) {
	for name, answer := range map[string]func(context.Context) (int, string, error){
		"hangs":       func(ctx context.Context) (int, string, error) { <-ctx.Done(); return 0, "", ctx.Err() },
		"is not here": func(context.Context) (int, string, error) { return 0, "", errors.New("connection refused") },
		"answers 500": func(context.Context) (int, string, error) { return 500, "no", nil },
		"fails":       func(context.Context) (int, string, error) { return 200, `{"failure":{"Reason":"TASK_NOT_VALID"}}`, nil },
		"errs":        func(context.Context) (int, string, error) { return 200, `{"error":{"Code":"AccessDenied"}}`, nil },
	} {
		t.Run(name, func(t *testing.T) {
			a := &agent{answer: answer}
			run(t, a, func(p *Protector) {
				start := time.Now()
				for range 1000 {
					p.Begin()()
				}
				end := p.Begin()
				if took := time.Since(start); took != 0 {
					t.Errorf("messages waited %s", took)
				}
				time.Sleep(retryAfter + callTimeout + time.Second)
				synctest.Wait()
				if got := len(a.seen()); got != 2 {
					t.Errorf("%d calls at %v, want one and another try", got, a.at)
				}
				end()
			})
		})
	}
}

// DEPLOYMENT_BLOCKED says that more tasks are protected than the service wants, and is temporary.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
// The agent forwards a failure with 200 (https://github.com/aws/amazon-ecs-agent,
// UpdateTaskProtectionHandler), and an exception of the service with 400.
func testAServiceWithTooManyProtectedTasksIsAskedAgain(t *testing.T) {
	for _, status := range []int{200, 400} {
		var blocked atomic.Bool
		blocked.Store(true)
		a := &agent{answer: func(context.Context) (int, string, error) {
			if blocked.Load() {
				return status, `{"requestID":"1","failure":{"Arn":"arn:aws:ecs:us-east-1:111122223333:task/t","Reason":"DEPLOYMENT_BLOCKED"}}`, nil
			}
			return 200, `{"protection":{"ProtectionEnabled":true}}`, nil
		}}
		var log strings.Builder
		runLogged(t, a, slog.New(slog.NewTextHandler(&log, nil)), func(p *Protector) {
			start := time.Now()
			end := p.Begin()
			if took := time.Since(start); took != 0 {
				t.Errorf("%d: the message waited %s", status, took)
			}
			time.Sleep(2*retryAfter + time.Second)
			synctest.Wait()
			expect(t, a, on, on, on)
			if got := p.Protection(); got != "" {
				t.Errorf("%d: protection is %q while it is refused", status, got)
			}
			blocked.Store(false)
			time.Sleep(retryAfter)
			synctest.Wait()
			expect(t, a, on, on, on, on)
			if p.Protection() == "" {
				t.Errorf("%d: not protected after the refusals", status)
			}
			end()
		})
		if n := strings.Count(log.String(), "DEPLOYMENT_BLOCKED"); n != 1 {
			t.Errorf("%d: told of %d times, want once:\n%s", status, n, log.String())
		}
	}
}

func testNothingIsCalledOutsideOfECS(t *testing.T) {
	a := &agent{t: t}
	p := New(Config{HTTP: &http.Client{Transport: a}})
	end := p.Begin()
	p.Run(t.Context()) // returns at once
	end()
	p.Drain()
	expect(t, a)
}
