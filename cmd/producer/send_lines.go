package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	linesAtATime = 500
	maxChunk     = 4 << 20 // bytes of lines in one request; the API takes 8 MiB
	maxLine      = 2 << 20 // more than SQS takes, so that it is refused by line and not as a whole
	shownRefused = 20
	batchTime    = time.Minute // for which the API tries to send a batch
)

// summary is what came of the lines of standard input.
type summary struct {
	Accepted int           `json:"accepted"`
	Refused  []refusedLine `json:"refused"` // no repetition will help
	Next     int           `json:"next"`    // lines that are done with: the --skip to go on with
	Done     bool          `json:"done"`    // all of them
}

// refusedLine is one that was not accepted.
type refusedLine struct {
	Line   int    `json:"line"` // from 1
	Detail string `json:"detail"`
}

// line is one message of standard input.
type line struct {
	number int // from 1
	text   []byte
}

// sendLines sends the lines of standard input. It stops at the first one that
// was not accepted but might be later, or whose group is held up by a line that
// was refused, and says how to go on.
func (s *sendCmd) sendLines(ctx context.Context, c *client, io stdio) error {
	in := &lineReader{in: bufio.NewReaderSize(io.in, 1<<16)}
	for in.read < s.Skip {
		if _, err := in.next(); err != nil {
			return fmt.Errorf("skip %d lines: standard input has %d: %w", s.Skip, in.read, err)
		}
	}
	bar := progress(io.err, -1, "sending")
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
		_ = bar.Set(sum.Accepted)
	}
	_ = bar.Finish()
	if err := s.printSummary(io, sum); err != nil {
		return err
	}
	switch {
	case failure != nil:
		return fmt.Errorf("stopped before line %d; go on with --skip %d: %w", sum.Next+1, sum.Next, failure)
	case len(sum.Refused) > 0:
		return fmt.Errorf("%d of %d messages were refused", len(sum.Refused), len(sum.Refused)+sum.Accepted)
	default:
		return nil
	}
}

// sendChunk sends some lines and adds what came of them to the summary.
func (s *sendCmd) sendChunk(ctx context.Context, c *client, chunk []line, sum *summary) error {
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
		case item.Status == http.StatusAccepted:
			sum.Accepted++
		case item.Status >= http.StatusInternalServerError, item.Status == http.StatusFailedDependency:
			// What follows may have been accepted: to send it again is harmless.
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
	_, _ = fmt.Fprintf(io.out, "%s accepted, %d refused\n", plural(sum.Accepted, "message"), len(sum.Refused))
	for i, r := range sum.Refused {
		if i == shownRefused {
			_, _ = fmt.Fprintf(io.out, "  and %d more\n", len(sum.Refused)-i)
			break
		}
		_, _ = fmt.Fprintf(io.out, "  line %d: %s\n", r.Line, r.Detail)
	}
	return nil
}

// lineReader reads lines and counts them.
type lineReader struct {
	in   *bufio.Reader
	read int   // lines
	held *line // read, and left for the next chunk
}

// next returns the next line, or [io.EOF].
func (r *lineReader) next() (line, error) {
	if r.held != nil {
		l := *r.held
		r.held = nil
		return l, nil
	}
	var text []byte
	for {
		part, err := r.in.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case len(text) > maxLine:
			return line{}, fmt.Errorf("line %d: longer than %d bytes", r.read+1, maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(text) == 0):
			return line{}, err
		}
		r.read++
		return line{r.read, bytes.TrimRight(text, "\r\n")}, nil
	}
}

// chunk returns the next lines that hold something; none at the end.
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
		if len(bytes.Trim(l.text, " \t")) == 0 {
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
