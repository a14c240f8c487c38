package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// resolveCmd is "producer resolve".
type resolveCmd struct {
	Name      string `arg:"" help:"The name."`
	Completed bool   `xor:"outcome" env:"-" help:"The work of a name recorded as UNKNOWN was done: record it as COMPLETED."`
	Retry     bool   `xor:"outcome" env:"-" help:"Let a name recorded as UNKNOWN or REJECTED run again. Its message has to come back too: producer dlq redrive --name NAME."`
	Result    string `env:"-" placeholder:"JSON" help:"Result of the work (with --completed)."`
	backendFlags
}

func (s *resolveCmd) check() error {
	var bad problems
	checkName(&bad, s.Name)
	if !s.Completed && !s.Retry {
		bad.add("one of --completed and --retry is needed: was the work done, or may it run again?")
	}
	if s.Result != "" && !s.Completed {
		bad.add("--result: only with --completed")
	}
	if s.Result != "" && !json.Valid([]byte(s.Result)) {
		bad.add("--result %q: not JSON", s.Result)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *resolveCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	order := struct {
		Outcome string          `json:"outcome"`
		Result  json.RawMessage `json:"result,omitempty"`
	}{Outcome: "retry"}
	if s.Completed {
		order.Outcome = "completed"
	}
	if s.Result != "" {
		order.Result = json.RawMessage(s.Result)
	}
	var record producerapi.Record
	if err := c.call(ctx, http.MethodPost, messagePath(s.Name)+"/resolve", order, &record); err != nil {
		return err
	}
	if s.JSON {
		return printJSON(io.out, record)
	}
	table(io.out, describe(record))
	if s.Retry {
		_, _ = fmt.Fprintf(io.err, "It runs again when its message comes back: producer dlq redrive --name %s\n", shellQuote(s.Name))
	}
	return nil
}

// forgetCmd is "producer forget".
type forgetCmd struct {
	Name   string `arg:"" help:"The name."`
	Force  bool   `env:"-" help:"Forget it although it is being handled: its attempt is cancelled, and what it did is not recorded."`
	NoWait bool   `help:"Do not wait until workers have forgotten it too: until then a message of this name may be taken for a duplicate."`
	backendFlags
}

func (s *forgetCmd) check() error {
	var bad problems
	checkName(&bad, s.Name)
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *forgetCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if _, found, err := c.record(ctx, s.Name); err != nil {
		return err
	} else if !found {
		return &exitError{code: 1, text: fmt.Sprintf("nothing is known of %q: there is nothing to forget", s.Name)}
	}
	path := messagePath(s.Name)
	if s.Force {
		path += "?force=true"
	}
	var forgotten struct {
		Name        string    `json:"name"`
		Status      string    `json:"status"`
		EffectiveAt time.Time `json:"effective_at"`
	}
	if err := c.call(ctx, http.MethodDelete, path, nil, &forgotten); err != nil {
		return err
	}
	if wait := time.Until(forgotten.EffectiveAt); wait > 0 && !s.NoWait {
		if !s.JSON {
			_, _ = fmt.Fprintf(io.err, "forgotten; waiting %s until no worker answers for it from memory (--no-wait does not)\n", wait.Round(time.Second))
		}
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if s.JSON {
		return printJSON(io.out, forgotten)
	}
	_, _ = fmt.Fprintf(io.out, "%q counts as never seen from %s\n", s.Name, moment(forgotten.EffectiveAt))
	return nil
}
