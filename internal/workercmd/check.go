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

// checkTimeout is shorter than the default timeout of an ECS health check, 5 s.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
const checkTimeout = 4 * time.Second

// maxAnswer bounds the answer of an admin server, in bytes.
const maxAnswer = 1 << 20

// errUnhealthy is the error of "worker check".
var errUnhealthy = errors.New("worker is not healthy")

// errUnready is the error of "worker check --ready".
var errUnready = errors.New("worker is not ready")

// errNotDrained is the error of "worker drain".
var errNotDrained = errors.New("worker could not be stopped")

// runCheck checks a file of queues, or the health or readiness of a running worker, and prints the
// state of each queue.
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
	// A worker that is not ready can be healthy, so the readiness is only printed.
	readiness, _ := ask(ctx, http.MethodGet, c.AdminAddr, "/readyz", "", 0)
	var answer struct {
		Queues map[string]struct{ Status, Reason string }
	}
	_ = json.Unmarshal(readiness, &answer) // the answer of another program has no queues
	for _, name := range slices.Sorted(maps.Keys(answer.Queues)) {
		q := answer.Queues[name]
		_, _ = fmt.Fprintln(stdout, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", name, q.Status, q.Reason), ": "))
	}
	return nil
}

// printQueues prints the queues of a file.
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

// runDrain makes a running worker stop.
func runDrain(ctx context.Context, d drain) error {
	if _, err := ask(ctx, http.MethodPost, d.AdminAddr, "/drain", d.AdminToken, http.StatusAccepted); err != nil {
		return failedAs(errNotDrained, err)
	}
	return nil
}

// failedAs wraps err in kind, unless it is a [*awsenv.SettingsError].
func failedAs(kind, err error) error {
	if _, ok := errors.AsType[*awsenv.SettingsError](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// ask sends a request to an admin server and returns the answer. It fails unless the answer has the
// status want; 0: any status.
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
	// No proxy: the admin server is on this machine or in this task.
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
