package producerapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// bodyTimeout is how long a client may take to send a body.
const bodyTimeout = 30 * time.Second

// requestOverhead is what a request takes in memory beside its body.
const requestOverhead = 4 << 10

// bodyLimitKey is where an operation's metadata keep the most bytes of a body.
const bodyLimitKey = "limit"

func bodyLimit(op *huma.Operation) int64 {
	n, _ := op.Metadata[bodyLimitKey].(int64)
	return n
}

// bodyReader reads the body of a request: up to its limit, and charged to the
// budget of all bodies as it arrives. Its errors are problems.
type bodyReader struct {
	api   *API
	c     *exchange
	limit int64
}

// Read implements [io.Reader].
func (b *bodyReader) Read(into []byte) (int, error) {
	if b.c.reserved == 0 {
		if b.c.ContentLength > b.limit {
			return 0, tooLarge(fmt.Sprintf("%d bytes, more than %d", b.c.ContentLength, b.limit))
		}
		if err := b.api.charge(b.c, requestOverhead); err != nil {
			return 0, err
		}
	}
	n, err := b.c.Body.Read(into)
	b.c.read += int64(n)
	if b.c.read > b.limit {
		return 0, tooLarge(fmt.Sprintf("more than %d bytes", b.limit))
	}
	if full := b.api.charge(b.c, int64(n)); full != nil {
		return 0, full
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	b.c.broken = true
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, closing(newProblem(http.StatusRequestTimeout, "body", fmt.Sprintf("did not come within %s", bodyTimeout)))
	default:
		p := badRequest("body", "could not be read to its end")
		p.cause = err
		return 0, closing(p)
	}
}

func tooLarge(detail string) *problem {
	return closing(newProblem(http.StatusRequestEntityTooLarge, "body", detail))
}

// closing marks a problem after which the connection is closed: the rest of the
// request is not worth reading.
func closing(p *problem) *problem {
	p.header = http.Header{"Connection": {"close"}}
	return p
}

// charge takes n bytes for a request from what all may have together.
func (a *API) charge(c *exchange, n int64) error {
	if !a.pending.take(c.client, n) {
		return closing(unavailable("too much is waiting to be sent", nil))
	}
	c.reserved += n
	return nil
}

// Bounds of what is read of a body only to be thrown away.
const (
	maxDrain     = 4 << 20
	drainTimeout = 5 * time.Second
)

// drain reads the rest of a body that is refused, where that is at most maxDrain. A
// client that writes its whole request before it reads would lose the answer: closing
// a connection with unread bytes resets it, and net/http reads 256 KiB at most
// (RFC 9112, section 9.6).
func (c *exchange) drain() {
	waits := c.read == 0 && strings.EqualFold(c.Request.Header.Get("Expect"), "100-continue")
	if c.broken || waits || c.ContentLength-c.read > maxDrain || c.Context().Err() != nil {
		return
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(drainTimeout)) // in memory there is none
	n, err := io.Copy(io.Discard, io.LimitReader(c.Body, maxDrain))
	c.read, c.broken = c.read+n, err != nil
}

// release gives back what a request was charged.
func (a *API) release(c *exchange) {
	a.pending.give(c.client, c.reserved)
	c.reserved = 0
}
