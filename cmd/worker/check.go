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

// runCheck asks a running worker for its health.
func runCheck(ctx context.Context, c check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.AdminAddr+"/healthz", nil)
	if err != nil {
		return &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--admin-addr %q: %v", c.AdminAddr, err)}}
	}
	// Not by a proxy: it is this machine, or this task, that is asked.
	direct := &http.Transport{}
	defer direct.CloseIdleConnections()
	resp, err := direct.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnhealthy, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("%w: %s: %s", errUnhealthy, resp.Status, body)
	}
	return nil
}
