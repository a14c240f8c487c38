package producercmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"time"
)

const (
	linesAtATime = 500
	maxChunk     = 4 << 20 // bytes of lines in one request; the API takes 8 MiB
	maxLine      = 2 << 20 // bytes; more than SQS takes, so that the API refuses the line, not the request
	shownRefused = 20
	batchTime    = time.Minute // for which the API tries to send a batch
)

// summary is the result for the lines of standard input.
type summary struct {
	Accepted int           `json:"accepted"`
	Later    int           `json:"scheduled,omitempty"` // of the accepted messages
	Refused  []refusedLine `json:"refused"`             // for good
	Next     int           `json:"next"`                // lines that are done: the --skip to continue with
	Done     bool          `json:"done"`                // all lines are done
}

// refusedLine is a line that was refused, with the reason.
type refusedLine struct {
	Line   int    `json:"line"` // from 1
	Detail string `json:"detail"`
}

// line is one message of standard input.
type line struct {
	number int // from 1
	text   []byte
	wrong  string // why it cannot be sent; empty: it can
}

// sendLines sends the lines of standard input. It stops at the first line that may succeed later,
// or that follows a refused line of its group. Its error gives the --skip to continue with.
func (s *sendCmd) sendLines(ctx context.Context, c *client, io stdio) error {
	in := newLineReader(io.in)
	for in.read < s.Skip {
		if _, err := in.next(); err != nil {
			return fmt.Errorf("skip %d lines: standard input has %d: %w", s.Skip, in.read, err)
		}
	}
	bar := progress(io.err, sizeOf(io.in), "sending")
	sum := summary{Refused: []refusedLine{}, Next: s.Skip}
	var failure error
	for !sum.Done && failure == nil {
		chunk, err := in.chunk()
		if err != nil {
			failure = err
			break
		}
		if len(chunk) == 0 {
			sum.Done, sum.Next = true, in.read
			break
		}
		failure = s.sendChunk(ctx, c, chunk, &sum)
		bar.set(in.bytes)
	}
	bar.finish()
	if err := s.printSummary(io, sum); err != nil {
		return err
	}
	switch {
	case failure != nil:
		return fmt.Errorf("stopped before line %d; continue with --skip %d: %w", sum.Next+1, sum.Next, failure)
	case len(sum.Refused) > 0:
		return fmt.Errorf("%d of %d messages were refused", len(sum.Refused), len(sum.Refused)+sum.Accepted)
	default:
		return nil
	}
}

// sendChunk sends lines and adds the results to the summary. It sends the lines before a bad line
// in a request of their own, so that on a FIFO queue no later line of a group overtakes the bad
// one.
func (s *sendCmd) sendChunk(ctx context.Context, c *client, chunk []line, sum *summary) error {
	for len(chunk) > 0 {
		n := slices.IndexFunc(chunk, func(l line) bool { return l.wrong != "" })
		if n == 0 {
			sum.Refused = append(sum.Refused, refusedLine{chunk[0].number, chunk[0].wrong})
			sum.Next, chunk = chunk[0].number, chunk[1:]
			continue
		}
		if n < 0 {
			n = len(chunk)
		}
		if err := s.sendBatch(ctx, c, chunk[:n], sum); err != nil {
			return err
		}
		chunk = chunk[n:]
	}
	return nil
}

// sendBatch sends lines with one request.
func (s *sendCmd) sendBatch(ctx context.Context, c *client, chunk []line, sum *summary) error {
	var body bytes.Buffer
	for _, l := range chunk {
		body.Write(l.text)
		body.WriteByte('\n')
	}
	header := s.header()
	header.Set("Content-Type", "application/x-ndjson")
	resp, err := c.do(ctx, request{method: http.MethodPost, path: "/messages:batch", header: header, body: body.Bytes(), wait: batchTime})
	if err != nil {
		return err
	}
	var answer struct {
		Items []struct {
			Index, Status int
			ScheduledAt   time.Time `json:"scheduled_at"`
			Problem       struct{ Detail string }
		}
	}
	if err := json.Unmarshal(resp.body, &answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if len(answer.Items) != len(chunk) {
		return fmt.Errorf("answer: %d results for %d messages", len(answer.Items), len(chunk))
	}
	for i, item := range answer.Items {
		switch {
		case item.Status == http.StatusAccepted, item.Status == http.StatusOK:
			sum.Accepted++
			if !item.ScheduledAt.IsZero() {
				sum.Later++
			}
		case item.Status >= http.StatusInternalServerError, item.Status == http.StatusFailedDependency:
			// Later lines may have been accepted. Sending them again is harmless.
			sum.Next = chunk[i].number - 1
			return &apiError{status: item.Status, detail: item.Problem.Detail}
		default:
			sum.Refused = append(sum.Refused, refusedLine{chunk[i].number, item.Problem.Detail})
		}
		sum.Next = chunk[i].number
	}
	return nil
}

func (s *sendCmd) printSummary(io stdio, sum summary) error {
	if s.JSON {
		return printJSON(io.out, sum)
	}
	scheduled := ""
	if sum.Later > 0 {
		scheduled = fmt.Sprintf(" (%d scheduled)", sum.Later)
	}
	_, _ = fmt.Fprintf(io.out, "%s accepted%s, %d refused\n", plural(sum.Accepted, "message"), scheduled, len(sum.Refused))
	for i, r := range sum.Refused {
		if i == shownRefused {
			_, _ = fmt.Fprintf(io.out, "  and %d more\n", len(sum.Refused)-i)
			break
		}
		_, _ = fmt.Fprintf(io.out, "  line %d: %s\n", r.Line, r.Detail)
	}
	return nil
}

// sizeOf returns the size of a regular file in bytes; -1 for other readers.
func sizeOf(in io.Reader) int64 {
	f, ok := in.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return -1
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}

// lineReader reads and counts messages: one per line, or the elements of a JSON array.
type lineReader struct {
	in    *bufio.Reader
	array *json.Decoder // nil: lines
	begun bool
	ended bool  // the array has ended
	read  int   // messages
	bytes int64 // bytes of these messages
	held  *line // read already, for the next chunk
}

func newLineReader(in io.Reader) *lineReader { return &lineReader{in: withoutMark(in)} }

// begin detects a JSON array. A message is an object, so it cannot begin like one.
func (r *lineReader) begin() error {
	r.begun = true
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return err
		}
		if c == ' ' || c == '\t' {
			continue
		}
		if err := r.in.UnreadByte(); err != nil {
			return err
		}
		if c == '[' {
			r.array = json.NewDecoder(r.in)
			_, err = r.array.Token()
		}
		return err
	}
}

// next returns the next line, or [io.EOF].
func (r *lineReader) next() (line, error) {
	if r.held != nil {
		l := *r.held
		r.held = nil
		return l, nil
	}
	if !r.begun {
		if err := r.begin(); err != nil {
			return line{}, err
		}
	}
	if r.array != nil {
		return r.nextElement()
	}
	var text []byte
	long := false
	for {
		part, err := r.in.ReadSlice('\n')
		r.bytes += int64(len(part))
		if long = long || len(text)+len(part) > maxLine; !long {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(text) == 0 && !long):
			return line{}, err
		}
		r.read++
		l := line{number: r.read, text: bytes.TrimRight(text, "\r\n")}
		if long {
			l = line{number: r.read, wrong: fmt.Sprintf("longer than %d bytes", maxLine)}
		}
		return l, nil
	}
}

// nextElement returns the next element of the array, on one line.
func (r *lineReader) nextElement() (line, error) {
	if r.ended {
		return line{}, io.EOF
	}
	if !r.array.More() {
		r.ended = true
		if _, err := r.array.Token(); err != nil {
			return line{}, fmt.Errorf("the JSON array does not end after message %d", r.read)
		}
		if _, err := r.array.Token(); !errors.Is(err, io.EOF) {
			return line{}, fmt.Errorf("text follows the JSON array of %d messages; pass a single array, or an object a line", r.read)
		}
		return line{}, io.EOF
	}
	var element json.RawMessage
	if err := r.array.Decode(&element); err != nil {
		return line{}, fmt.Errorf("message %d of the JSON array: %v", r.read+1, err) //nolint:errorlint // io.EOF would mean the end of the input
	}
	r.read++
	r.bytes = r.array.InputOffset()
	if len(element) > maxLine {
		return line{number: r.read, wrong: fmt.Sprintf("longer than %d bytes", maxLine)}, nil
	}
	var text bytes.Buffer
	if err := json.Compact(&text, element); err != nil {
		return line{}, fmt.Errorf("message %d of the JSON array: %w", r.read, err)
	}
	return line{number: r.read, text: text.Bytes()}, nil
}

// chunk returns the next lines that are not blank; none at the end of the input.
func (r *lineReader) chunk() ([]line, error) {
	var lines []line
	size := 0
	for len(lines) < linesAtATime {
		l, err := r.next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, fmt.Errorf("standard input: %w", err)
		}
		if len(bytes.Trim(l.text, " \t")) == 0 && l.wrong == "" {
			continue
		}
		if len(lines) > 0 && size+len(l.text) > maxChunk {
			r.held = &l
			return lines, nil
		}
		size += len(l.text) + 1
		lines = append(lines, l)
	}
	return lines, nil
}
