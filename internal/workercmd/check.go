package workercmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/target"
)

// checkTimeout is below what platforms give a health check.
const checkTimeout = 4 * time.Second

// maxAnswer bounds an answer of an admin server, in bytes.
const maxAnswer = 1 << 20

// errUnhealthy is what "worker check" fails with.
var errUnhealthy = errors.New("worker is not healthy")

// errUnready is what "worker check --ready" fails with.
var errUnready = errors.New("worker is not ready")

// errNotDrained is what "worker drain" fails with.
var errNotDrained = errors.New("worker was not told to stop")

// runCheck checks a file of queues, or asks a running worker for its health, or whether it is
// ready, and prints what it finds of each queue.
func runCheck(ctx context.Context, c check, stdout io.Writer) error {
	if c.Config != "" {
		return printQueues(stdout, c.parsed)
	}
	path, no := "/healthz", errUnhealthy
	if c.Ready {
		path, no = "/readyz", errUnready
	}
	if _, err := ask(ctx, http.MethodGet, c.AdminAddr, path, "", http.StatusOK); err != nil {
		return failedAs(no, err)
	}
	// A worker that is not ready is not unhealthy: its answer is only shown.
	readiness, _ := ask(ctx, http.MethodGet, c.AdminAddr, "/readyz", "", 0)
	var answer struct {
		Queues map[string]struct{ Status, Reason string }
	}
	_ = json.Unmarshal(readiness, &answer) // of another program: it has no queues to show
	for _, name := range slices.Sorted(maps.Keys(answer.Queues)) {
		q := answer.Queues[name]
		_, _ = fmt.Fprintln(stdout, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", name, q.Status, q.Reason), ": "))
	}
	return nil
}

// printQueues prints what a file of queues says.
func printQueues(out io.Writer, c config) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "QUEUE\tTARGET\tKEY\tSLOTS\tTABLE\tSCOPE")
	for _, q := range c.queues() {
		handler, slots := "log", strconv.Itoa(q.Concurrency)
		if u, err := url.Parse(q.TargetURL); err == nil && q.TargetURL != "" {
			handler = target.Redacted(u)
		}
		if q.Weight > 0 {
			slots += fmt.Sprintf(" of %d, weight %d", q.Slots, q.Weight)
		}
		scope, _ := q.scope(q.QueueURL) // checked before
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", q.queueName(), handler, q.Key, slots, q.Table, scope)
	}
	return table.Flush()
}

// runDrain tells a running worker to stop.
func runDrain(ctx context.Context, d drain) error {
	if _, err := ask(ctx, http.MethodPost, d.AdminAddr, "/drain", d.AdminToken, http.StatusAccepted); err != nil {
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

// ask makes a request to an admin server and returns its answer, which must have the given
// status; 0: any.
func ask(ctx context.Context, method, addr, path, token string, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return nil, &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--admin-addr %q: %v", addr, err)}}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	// Not by a proxy: it is this machine, or this task, that is asked.
	direct := &http.Transport{}
	defer direct.CloseIdleConnections()
	resp, err := direct.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if want != 0 && resp.StatusCode != want {
		return nil, fmt.Errorf("%s: %.1024s", resp.Status, body)
	}
	return body, err
}
