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

// bodyTimeout is the longest time for receiving a body.
const bodyTimeout = 30 * time.Second

// requestOverhead is the memory of a request without its body, in bytes.
const requestOverhead = 4 << 10

// bodyLimitKey is the metadata key of an operation's body limit in bytes.
const bodyLimitKey = "limit"

func bodyLimit(op *huma.Operation) int64 {
	n, _ := op.Metadata[bodyLimitKey].(int64)
	return n
}

// bodyReader reads the body of a request up to a limit, and charges the bytes to the budget as they
// arrive. Its errors are a [*problem] or [io.EOF].
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
		return 0, closing(newProblem(http.StatusRequestTimeout, "body", fmt.Sprintf("must arrive within %s", bodyTimeout)))
	default:
		p := badRequest("body", "ended early")
		p.cause = err
		return 0, closing(p)
	}
}

func tooLarge(detail string) *problem {
	return closing(newProblem(http.StatusRequestEntityTooLarge, "body", detail))
}

// closing adds "Connection: close" to a problem, so that the rest of the request need not be read.
func closing(p *problem) *problem {
	p.header = http.Header{"Connection": {"close"}}
	return p
}

// charge charges n bytes of the budget to a request.
func (a *API) charge(c *exchange, n int64) error {
	if !a.pending.take(c.client, n) {
		return closing(unavailable("too many bytes are waiting to be sent", nil))
	}
	c.reserved += n
	return nil
}

// Bounds of drain.
const (
	maxDrain     = 4 << 20
	drainTimeout = 5 * time.Second
)

// drain reads and drops the rest of a refused body, if that is at most maxDrain bytes. Otherwise a
// client that writes its whole request before it reads would lose the answer: closing a connection
// with unread bytes resets it (RFC 9112, section 9.6), and net/http reads at most 256 KiB.
func (c *exchange) drain() {
	waits := c.read == 0 && strings.EqualFold(c.Request.Header.Get("Expect"), "100-continue")
	if c.broken || waits || c.ContentLength-c.read > maxDrain || c.Context().Err() != nil {
		return
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(drainTimeout)) // fails for a writer in memory
	n, err := io.Copy(io.Discard, io.LimitReader(c.Body, maxDrain))
	c.read, c.broken = c.read+n, err != nil
}

// release returns the bytes of a request to the budget.
func (a *API) release(c *exchange) {
	a.pending.give(c.client, c.reserved)
	c.reserved = 0
}
