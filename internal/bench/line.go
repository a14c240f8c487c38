package bench

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
	"time"
)

// line is an HTTP client of a real DynamoDB server for a synctest bubble. Every
// request takes the latency in virtual time, half before the server sees it
// and half after. The exchange itself takes none: a goroutine that waits for
// the network is not idle, so the bubble's clock stands still. There is no
// goroutine in it that would.
type line struct {
	to      *url.URL
	latency time.Duration
	count   func(operation string, body []byte)

	mu   sync.Mutex
	conn net.Conn      // guarded by mu
	in   *bufio.Reader // guarded by mu; of conn
}

func newLine(ctx context.Context, endpoint string, latency time.Duration, count func(string, []byte)) (*line, error) {
	to, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("bench: endpoint: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.Host)
	if err != nil {
		return nil, fmt.Errorf("bench: connect: %w", err)
	}
	return &line{to: to, latency: latency, count: count, conn: conn, in: bufio.NewReader(conn)}, nil
}

func (l *line) close() { _ = l.conn.Close() }

// Do implements the SDK's HTTPClient.
func (l *line) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	l.count(operation(req.Header), body)
	time.Sleep(l.latency / 2)
	resp, err := l.exchange(req.Header, body)
	time.Sleep(l.latency - l.latency/2)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // the bubble's
	return resp, nil
}

func (l *line) exchange(header http.Header, body []byte) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	req := &http.Request{
		Method: http.MethodPost, URL: l.to, Header: header.Clone(), ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	if err := req.Write(l.conn); err != nil {
		return nil, fmt.Errorf("bench: send: %w", err)
	}
	resp, err := http.ReadResponse(l.in, req)
	if err != nil {
		return nil, fmt.Errorf("bench: receive: %w", err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("bench: receive: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, nil
}
