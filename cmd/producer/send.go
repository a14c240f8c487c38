package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// sendCmd is "producer send".
type sendCmd struct {
	Name  string        `placeholder:"NAME" help:"Name of the message."`
	Body  string        `placeholder:"JSON" help:"Body: a JSON object. Default: {\"name\": NAME}."`
	Group string        `placeholder:"ID" help:"Message group."`
	Delay time.Duration `help:"How long the message stays invisible at first (whole seconds, up to 15m)."`
	Wait  time.Duration `help:"Wait this long (up to 60s) for the outcome."`
	backendFlags
}

func (s *sendCmd) check() error {
	var bad problems
	if s.Name != "" {
		checkName(&bad, s.Name)
	}
	if s.Name == "" && s.Body == "" {
		bad.add("nothing to send: give --name or --body")
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *sendCmd) run(ctx context.Context, io stdio) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := s.request()
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(io.out, json.RawMessage(resp.body))
	}
	if resp.status == http.StatusOK {
		var record producerapi.Record
		if err := json.Unmarshal(resp.body, &record); err != nil {
			return fmt.Errorf("outcome: %w", err)
		}
		table(io.out, describe(record))
		return nil
	}
	var queued struct {
		Name      string
		MessageID string `json:"message_id"`
	}
	if err := json.Unmarshal(resp.body, &queued); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	_, _ = fmt.Fprintf(io.out, "queued %q as message %s\n", queued.Name, queued.MessageID)
	return nil
}

func (s *sendCmd) request() (request, error) {
	r := request{method: http.MethodPost, path: "/", header: http.Header{}, body: []byte(s.Body)}
	if s.Body == "" {
		b, err := nameBody(s.Name)
		if err != nil {
			return r, err
		}
		r.body = b
	}
	if s.Name != "" {
		r.header.Set("Idempotency-Key", quoted(s.Name))
	}
	if s.Group != "" {
		r.header.Set("X-Sqsonce-Group", s.Group)
	}
	if s.Delay != 0 {
		r.header.Set("X-Sqsonce-Delay", s.Delay.String())
	}
	if s.Wait > 0 {
		r.header.Set("Prefer", "wait="+strconv.Itoa(int((s.Wait+time.Second-1)/time.Second)))
	}
	return r, nil
}

// nameBody is the smallest body of a name.
func nameBody(name string) ([]byte, error) {
	b, err := json.Marshal(struct {
		Name string `json:"name"`
	}{name})
	if err != nil {
		return nil, fmt.Errorf("body for %q: %w", name, err)
	}
	return b, nil
}

// quoted is a name as a structured-field string.
func quoted(name string) string {
	b := make([]byte, 0, len(name)+2)
	b = append(b, '"')
	for i := range len(name) {
		if name[i] == '"' || name[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, name[i])
	}
	return string(append(b, '"'))
}
