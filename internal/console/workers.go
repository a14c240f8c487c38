package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	workerTime   = 3 * time.Second // timeout of one worker's answer
	maxOfAWorker = 4 << 20         // bytes of an answer
)

// WorkerRow holds the live figures of a worker.
type WorkerRow struct {
	URL     string `json:"url"`
	Error   string `json:"error,omitempty"` // error if the worker could not be read
	Version string `json:"version,omitempty"`
	TaskID  string `json:"task_id,omitempty"`
	Started int64  `json:"started,omitempty"` // epoch ms
	Snapshot
	Messages int     `json:"messages"`
	Oldest   float64 `json:"oldest"`
	Figures  Figures `json:"figures"`
}

// getWorkers reads the figures of every worker in Config.Workers, and answers in that order.
func (c *panel) getWorkers(w http.ResponseWriter, r *http.Request) {
	rows := make([]WorkerRow, len(c.cfg.Workers))
	var asking sync.WaitGroup
	for i, worker := range c.cfg.Workers {
		asking.Go(func() {
			row, err := askWorker(r.Context(), worker, c.queue.Name)
			if err != nil {
				row.Error = clip(err.Error(), maxErrorKept)
			}
			row.URL = worker
			rows[i] = row
		})
	}
	asking.Wait()
	answer(w, map[string]any{"now": time.Now().UnixMilli(), "workers": rows})
}

// askWorker reads the figures of a queue from a worker's admin server.
func askWorker(ctx context.Context, worker, queue string) (row WorkerRow, err error) {
	ctx, cancel := context.WithTimeout(ctx, workerTime)
	defer cancel()
	var session Session
	if err := fetch(ctx, worker+"/api/session", &session); err != nil {
		return row, err
	}
	row.Version, row.TaskID, row.Started = session.Version, session.TaskID, session.Started
	var known []string
	for _, q := range session.Queues {
		known = append(known, q.Name)
	}
	var all struct {
		Status Status `json:"status"`
	}
	if err := fetch(ctx, worker+"/api/queues/"+url.PathEscape(queue)+"/status", &all); err != nil {
		return row, fmt.Errorf("%w; it works on %s", err, strings.Join(known, ", "))
	}
	row.Snapshot, row.Messages, row.Oldest, row.Figures = all.Status.Snapshot, all.Status.Messages, all.Status.Oldest, all.Status.Figures
	return row, nil
}

// fetch reads a JSON document.
func fetch(ctx context.Context, from string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", from, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the worker: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOfAWorker))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", from, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", from, resp.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s is not a worker: %w", from, err)
	}
	return nil
}
