package producercmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// cancelCmd is "producer cancel".
type cancelCmd struct {
	Name string `arg:"" help:"Name of the message."`
	backendFlags
}

func (c *cancelCmd) check() error {
	var bad problems
	checkName(&bad, c.Name)
	c.backendFlags.check(&bad)
	return bad.err()
}

func (c *cancelCmd) run(ctx context.Context, io stdio) error {
	api, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	resp, err := api.do(ctx, request{method: http.MethodDelete, path: schedulePath(c.Name)})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, json.RawMessage(resp.body))
	}
	var done struct {
		ScheduledAt time.Time `json:"scheduled_at"`
	}
	if err := json.Unmarshal(resp.body, &done); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	_, _ = fmt.Fprintf(io.out, "cancelled %q, which was scheduled for %s\n", c.Name, done.ScheduledAt.Format(time.RFC3339))
	return nil
}

// schedulePath is the path of a name's schedule.
func schedulePath(name string) string {
	return "/schedules/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}
