package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	healthTimeout = 5 * time.Second
	maxAnswer     = 64 << 10 // of an unused response body, read so that its connection can be reused
)

// CheckHealthPath returns an error if path is not valid for [Target.Healthy]. It must begin with
// one slash and may have a query.
func CheckHealthPath(path string) error {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return fmt.Errorf("health path %q: must begin with one slash", path)
	}
	if _, err := url.ParseRequestURI(path); err != nil {
		return fmt.Errorf("health path %q: %w", path, errors.Unwrap(err))
	}
	return nil
}

// Healthy requests a path on the target's host with the target's token, within 5 s. It returns nil
// for a 2xx.
func (t *Target) Healthy(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	shown, _, _ := strings.Cut(path, "?") // a query may contain a secret
	base, err := url.Parse(t.url)
	if err != nil {
		return fmt.Errorf("target health: %w", err)
	}
	ref, err := url.Parse(path)
	if err != nil {
		return fmt.Errorf("target health: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.ResolveReference(ref).String(), nil)
	if err != nil {
		return fmt.Errorf("target health: %w", err)
	}
	req.Header.Set("User-Agent", userAgent)
	if t.authorization != "" {
		req.Header.Set("Authorization", t.authorization)
	}
	resp, err := t.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("target health at %s: %w", shown, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if !bare(resp) {
		_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("target health at %s: answered %d", shown, resp.StatusCode)
	}
	return nil
}
