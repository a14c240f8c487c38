package emulators

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// Line is one connection to a server, for use inside a testing/synctest bubble. An exchange takes
// no virtual time: Line has no goroutines and timers, and a bubble's clock stands still while a
// goroutine waits for the network. Open it with [Dial] outside of the bubble. It is safe for
// concurrent use; exchanges follow one another.
type Line struct {
	to *url.URL

	mu   sync.Mutex
	conn net.Conn      // guarded by mu
	in   *bufio.Reader // guarded by mu; of conn
}

// Dial opens a line to the server at endpoint, a URL of plain HTTP.
func Dial(ctx context.Context, endpoint string) (*Line, error) {
	to, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("emulators: endpoint: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.Host)
	if err != nil {
		return nil, fmt.Errorf("emulators: connect: %w", err)
	}
	return &Line{to: to, conn: conn, in: bufio.NewReader(conn)}, nil
}

// Close closes the connection.
func (l *Line) Close() { _ = l.conn.Close() }

// Post sends a request and returns its answer with the whole body in memory. After an error the
// Line is unusable.
func (l *Line) Post(header http.Header, body []byte) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	req := &http.Request{
		Method: http.MethodPost, URL: l.to, Header: header.Clone(), ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	if err := req.Write(l.conn); err != nil {
		return nil, fmt.Errorf("emulators: send: %w", err)
	}
	resp, err := http.ReadResponse(l.in, req)
	if err != nil {
		return nil, fmt.Errorf("emulators: receive: %w", err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("emulators: receive: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, nil
}
