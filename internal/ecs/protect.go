// Package ecs protects an Amazon ECS task from scale-in while the task handles messages. It calls
// the task scale-in protection endpoint of the container agent. Outside ECS it does nothing.
//
// Protection also delays deployments, so it is short. It begins with the first message and lasts 10
// minutes. It is renewed only while a message runs longer than a minute, and is removed 5 seconds
// after the last message, or at once if the worker drains. Messages neither wait for it nor fail
// because of it.
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

// EnvAgentURI is the environment variable with the agent's address.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
const EnvAgentURI = "ECS_AGENT_URI"

// Times between calls.
const (
	expiry      = 10 * time.Minute // lifetime of a protection
	longJob     = time.Minute      // a message that has run for so long renews the protection
	linger      = 5 * time.Second  // idle time before the protection is removed
	retryAfter  = 30 * time.Second // wait after a failed call
	callTimeout = 5 * time.Second
	maxAnswer   = 16 << 10
)

// Config configures a [Protector].
type Config struct {
	// AgentURI is the value of [EnvAgentURI]. Empty: the Protector makes no calls.
	AgentURI string
	// HTTP makes the calls. Default: a client without a proxy, because the agent is on this
	// machine.
	HTTP *http.Client
	// Logger gets a warning if the task cannot be protected. Default [slog.Default].
	Logger *slog.Logger
}

// Protector protects the task while messages are handled. It is safe for concurrent use. Use [New].
type Protector struct {
	cfg     Config
	changed chan struct{} // capacity 1; the situation has changed

	mu   sync.Mutex
	s    situation            // guarded by mu
	jobs map[uint64]time.Time // guarded by mu; start of each message
	last uint64               // guarded by mu
}

// New returns a Protector. It makes no calls before [Protector.Run].
func New(cfg Config) *Protector {
	cfg.HTTP = cmp.Or(cfg.HTTP, &http.Client{Transport: &http.Transport{}})
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Protector{cfg: cfg, changed: make(chan struct{}, 1), jobs: make(map[uint64]time.Time)}
}

// Begin marks the start of a message and returns the function that marks its end. It never blocks.
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
		p.s.spellDone = false // a shorter pause does not count as idle
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

// Drain removes the protection and makes no further ones. Call it when ECS has asked the task to
// stop.
func (p *Protector) Drain() {
	p.mu.Lock()
	p.s.draining = true
	p.mu.Unlock()
	p.wake()
}

// Protection returns a short text about the protection, such as "until 15:04 UTC". It is empty if
// the task is not protected.
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
	case p.changed <- struct{}{}:
	default:
	}
}

// Run makes the calls until ctx ends, and then removes the protection.
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
		case <-p.changed:
		case <-timer.C:
		case <-ctx.Done():
			if p.situation().protected {
				p.carryOut(context.WithoutCancel(ctx), unprotect)
			}
			return
		}
	}
}

// situation returns the present input of decide.
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

// carryOut makes the call and records its result.
func (p *Protector) carryOut(ctx context.Context, todo action) {
	start := time.Now()
	err := p.call(ctx, todo == protect)
	p.mu.Lock()
	if err != nil {
		p.s.failedAt = time.Now()
		if todo == unprotect {
			p.s.protected = false // not retried: the protection expires
		}
	} else {
		p.s.failedAt = time.Time{}
		p.s.protected = todo == protect
		p.s.until = start.Add(expiry)
		if todo == protect {
			p.s.spellDone = true // Begin may have reset it during the call
		}
	}
	logged := p.s.logged
	p.s.logged = err != nil
	p.mu.Unlock()
	if err != nil && !logged {
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
	_ = json.Unmarshal(text, &answer) // for an answer that is not JSON the status is enough
	if resp.StatusCode != http.StatusOK || answer.Failure != nil || answer.Error != nil {
		return fmt.Errorf("task protection: agent answered %d %s", resp.StatusCode, bytes.TrimSpace(text))
	}
	return nil
}
