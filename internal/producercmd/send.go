package producercmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

// sendCmd is "producer send".
type sendCmd struct {
	Name          string        `placeholder:"NAME" help:"Name of the message."`
	Body          string        `placeholder:"JSON" help:"Body: a JSON object. Default: {\"name\": NAME}. Without --name and --body, messages are read from standard input, one per line."`
	Group         string        `placeholder:"ID" help:"Message group id of the messages. Default: none."`
	Delay         time.Duration `help:"Delay of the messages, in whole seconds. SQS itself delays by up to 15m. A schedule delays by up to a year, also on a FIFO queue, if --schedule-role is set (of the API at --url). 0: no delay."`
	DelayField    string        `placeholder:"FIELD" help:"Field of each line with the delay of its message: seconds as a number, or a text such as \"3h\". A line without the field has the delay of --delay."`
	Wait          time.Duration `help:"Wait this long for the outcome of a single message, up to 60s. 0: do not wait."`
	RetryRejected bool          `help:"Try a rejected name again, also with another body. A completed name stays completed, and an UNKNOWN name is still held."`
	Skip          int           `help:"Lines of standard input to skip, because they were sent before."`
	backendFlags
}

// many reports whether messages are read from standard input.
func (s *sendCmd) many() bool { return s.Name == "" && s.Body == "" }

func (s *sendCmd) check() error {
	var bad problems
	if s.Name != "" {
		checkName(&bad, s.Name)
	}
	if s.Skip < 0 {
		bad.add("--skip %d: must not be negative", s.Skip)
	}
	if s.Skip > 0 && !s.many() {
		bad.add("--skip %d: cannot be used with --name or --body", s.Skip)
	}
	if s.Wait != 0 && s.many() {
		bad.add("--wait %s: needs a single message (--name or --body)", s.Wait)
	}
	if s.Delay < 0 || s.Delay%time.Second != 0 {
		bad.add("--delay %s: must be whole seconds, at least 0", s.Delay)
	}
	if s.DelayField != "" && !s.many() {
		bad.add("--delay-field %q: cannot be used with --name or --body; use --delay", s.DelayField)
	}
	if s.Wait < 0 {
		bad.add("--wait %s: must not be negative", s.Wait)
	}
	s.backendFlags.check(&bad)
	return bad.err()
}

func (s *sendCmd) run(ctx context.Context, io stdio) error {
	if s.many() && awsenv.IsTerminal(io.in) {
		return (&problems{"nothing to send: set --name or --body, or pass lines of JSON on standard input"}).err()
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if s.many() {
		return s.sendLines(ctx, c, io)
	}
	r, err := s.request()
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if resp.status == http.StatusOK {
		return s.printOutcome(io, resp.body)
	}
	var queued struct {
		Name        string
		MessageID   string    `json:"message_id"`
		ScheduledAt time.Time `json:"scheduled_at"`
	}
	if err := json.Unmarshal(resp.body, &queued); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	switch {
	case s.JSON:
		err = printJSON(io.out, json.RawMessage(resp.body))
	case !queued.ScheduledAt.IsZero():
		_, _ = fmt.Fprintf(io.out, "scheduled %q for %s\n", queued.Name, queued.ScheduledAt.Format(time.RFC3339))
	default:
		_, _ = fmt.Fprintf(io.out, "queued %q as message %s\n", queued.Name, queued.MessageID)
	}
	if err == nil && s.Wait > 0 {
		err = &exitError{code: exitNotFinal, text: fmt.Sprintf("%q has no final status after %s", queued.Name, s.Wait)}
	}
	return err
}

// printOutcome prints the record in body. Its error is that of [outcome].
func (s *sendCmd) printOutcome(io stdio, body []byte) error {
	var record producerapi.Record
	if err := json.Unmarshal(body, &record); err != nil {
		return fmt.Errorf("outcome: %w", err)
	}
	if s.JSON {
		if err := printJSON(io.out, json.RawMessage(body)); err != nil {
			return err
		}
	} else {
		table(io.out, describe(record))
	}
	return outcome(record)
}

// request returns the request for a single message.
func (s *sendCmd) request() (request, error) {
	r := request{method: http.MethodPost, path: "/", header: s.header(), body: []byte(s.Body)}
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
	if s.Wait > 0 {
		r.wait = s.Wait
		r.header.Set("Prefer", "wait="+strconv.Itoa(int((s.Wait+time.Second-1)/time.Second)))
	}
	return r, nil
}

// header returns the headers that the flags set for every message.
func (s *sendCmd) header() http.Header {
	h := http.Header{}
	if s.Group != "" {
		h.Set("X-Sqsonce-Group", s.Group)
	}
	if s.Delay != 0 {
		h.Set("X-Sqsonce-Delay", s.Delay.String())
	}
	if s.DelayField != "" {
		h.Set("X-Sqsonce-Delay-Field", s.DelayField)
	}
	if s.RetryRejected {
		h.Set("X-Sqsonce-Retry-Rejected", "true")
	}
	return h
}

// nameBody returns the default body of a name.
func nameBody(name string) ([]byte, error) {
	b, err := json.Marshal(struct {
		Name string `json:"name"`
	}{name})
	if err != nil {
		return nil, fmt.Errorf("body for %q: %w", name, err)
	}
	return b, nil
}

// quoted returns name as a structured-field string (RFC 9651).
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
