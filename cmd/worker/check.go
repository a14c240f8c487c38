package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// checkTimeout is below what platforms give a health check.
const checkTimeout = 4 * time.Second

// errUnhealthy is what "worker check" fails with.
var errUnhealthy = errors.New("worker is not healthy")

// errNotDrained is what "worker drain" fails with.
var errNotDrained = errors.New("worker was not told to stop")

// runCheck asks a running worker for its health.
func runCheck(ctx context.Context, c check) error {
	if err := ask(ctx, http.MethodGet, c.AdminAddr, "/healthz", "", http.StatusOK); err != nil {
		return failedAs(errUnhealthy, err)
	}
	return nil
}

// runDrain tells a running worker to stop.
func runDrain(ctx context.Context, d drain) error {
	if err := ask(ctx, http.MethodPost, d.AdminAddr, "/drain", d.AdminToken, http.StatusAccepted); err != nil {
		return failedAs(errNotDrained, err)
	}
	return nil
}

// failedAs wraps err in kind, unless it is about the settings.
func failedAs(kind, err error) error {
	if _, ok := errors.AsType[*awsenv.SettingsError](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// ask makes a request to an admin server and wants the given status as its answer.
func ask(ctx context.Context, method, addr, path, token string, want int) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--admin-addr %q: %v", addr, err)}}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	// Not by a proxy: it is this machine, or this task, that is asked.
	direct := &http.Transport{}
	defer direct.CloseIdleConnections()
	resp, err := direct.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != want {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}
