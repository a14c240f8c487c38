// Package ecs keeps Amazon ECS from stopping a task that is at work, by the
// task scale-in protection endpoint of the container agent. Anywhere else it
// does nothing.
//
// Protection also holds up deployments, so it is short and ends with the work:
// it begins when the first message is taken, is renewed only for messages that
// take long, and is dropped some seconds after the last one, or at once when
// the worker drains. A message never waits for it, and never fails by it.
package ecs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// EnvAgentURI is the variable by which the agent says where it is.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
const EnvAgentURI = "ECS_AGENT_URI"

// How the calls are paced.
const (
	expiry      = 10 * time.Minute // of a protection that nobody renews
	longJob     = time.Minute      // a message at work for so long is worth a renewal
	linger      = 5 * time.Second  // without work before protection is dropped
	retryAfter  = 30 * time.Second // after a call that failed
	callTimeout = 5 * time.Second
	maxAnswer   = 16 << 10
)

// Config says where the agent is.
type Config struct {
	// AgentURI is the value of [EnvAgentURI]. Empty: nothing is ever called.
	AgentURI string
	// HTTP makes the calls. Default: one that asks no proxy, as the agent is on
	// this machine and no proxy could reach it.
	HTTP *http.Client
	// Logger is told when the task cannot be protected. Default [slog.Default].
	Logger *slog.Logger
}

// Protector follows what a worker does. Use New; safe for concurrent use.
type Protector struct {
	cfg  Config
	kick chan struct{} // holds one: something has changed

	mu   sync.Mutex
	s    situation            // guarded by mu
	jobs map[uint64]time.Time // guarded by mu; since when at work
	last uint64               // guarded by mu
}

// New returns a protector. It does nothing until Run.
func New(cfg Config) *Protector {
	cfg.HTTP = cmp.Or(cfg.HTTP, &http.Client{Transport: &http.Transport{}})
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Protector{cfg: cfg, kick: make(chan struct{}, 1), jobs: make(map[uint64]time.Time)}
}

// Begin notes that a message is at work, and returns what to call when it is
// not any more. It never waits.
func (p *Protector) Begin() (end func()) {
	if p.cfg.AgentURI == "" {
		return func() {}
	}
	p.mu.Lock()
	p.last++
	id, now := p.last, time.Now()
	p.jobs[id] = now
	edge := len(p.jobs) == 1
	if edge && now.Sub(p.s.idleSince) >= linger {
		p.s.spellDone = false // shorter gaps belong to the spell
	}
	p.mu.Unlock()
	if edge {
		p.wake()
	}
	return func() {
		p.mu.Lock()
		delete(p.jobs, id)
		idle := len(p.jobs) == 0
		if idle {
			p.s.idleSince = time.Now()
		}
		p.mu.Unlock()
		if idle {
			p.wake()
		}
	}
}

// Drain drops the protection for good: ECS has decided, and must not wait.
func (p *Protector) Drain() {
	p.mu.Lock()
	p.s.draining = true
	p.mu.Unlock()
	p.wake()
}

// Protection says in a few words how the task is protected; empty when it is not.
func (p *Protector) Protection() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.s.protected || !time.Now().Before(p.s.until) {
		return ""
	}
	return "until " + p.s.until.UTC().Format("15:04 UTC")
}

func (p *Protector) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Run makes the calls until ctx ends, and then drops a protection that is left.
func (p *Protector) Run(ctx context.Context) {
	if p.cfg.AgentURI == "" {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		todo, again := decide(p.situation(), time.Now())
		if todo != nothing {
			p.carryOut(ctx, todo)
			continue
		}
		timer.Reset(again)
		select {
		case <-p.kick:
		case <-timer.C:
		case <-ctx.Done():
			if p.situation().protected {
				p.carryOut(context.WithoutCancel(ctx), unprotect)
			}
			return
		}
	}
}

// situation returns what is known now.
func (p *Protector) situation() situation {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.s
	s.jobs = len(p.jobs)
	for _, since := range p.jobs {
		if s.oldest.IsZero() || since.Before(s.oldest) {
			s.oldest = since
		}
	}
	return s
}

// carryOut makes the call and notes what came of it.
func (p *Protector) carryOut(ctx context.Context, todo action) {
	start := time.Now()
	err := p.call(ctx, todo == protect)
	p.mu.Lock()
	if err != nil {
		p.s.failedAt = time.Now()
		if todo == unprotect {
			p.s.protected = false // it runs out by itself
		}
	} else {
		p.s.failedAt = time.Time{}
		p.s.protected = todo == protect
		p.s.until = start.Add(expiry)
		if todo == protect {
			p.s.spellDone = true // an unprotect may have been out when the next spell began
		}
	}
	told := p.s.told
	p.s.told = err != nil
	p.mu.Unlock()
	if err != nil && !told {
		p.cfg.Logger.Warn("task scale-in protection cannot be changed; messages are handled all the same", "error", err)
	}
}

// call sets the state at the agent.
func (p *Protector) call(ctx context.Context, enabled bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state := struct {
		ProtectionEnabled bool
		ExpiresInMinutes  int `json:",omitempty"`
	}{ProtectionEnabled: enabled}
	if enabled {
		state.ExpiresInMinutes = int(expiry / time.Minute)
	}
	body, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.cfg.AgentURI+"/task-protection/v1/state", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.cfg.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("task protection: %w", err)
	}
	var answer struct{ Failure, Error json.RawMessage }
	_ = json.Unmarshal(text, &answer) // what is no JSON has its status
	if resp.StatusCode != http.StatusOK || answer.Failure != nil || answer.Error != nil {
		return fmt.Errorf("task protection: agent answered %d %s", resp.StatusCode, bytes.TrimSpace(text))
	}
	return nil
}
