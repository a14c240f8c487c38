package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// proxy forwards requests to a server and counts them. It records the time that each message is
// held: from the answer of its receive to the request that deletes it. It measures all subjects in
// the same way.
type proxy struct {
	server *httptest.Server
	to     *url.URL
	client *http.Client
	calls  *counter
	canned atomic.Pointer[pacedAnswers] // answers instead of the server; nil: the server answers

	mu       sync.Mutex
	received map[string]time.Time // guarded by mu; by receipt
	held     []time.Duration      // guarded by mu
	first    time.Time            // guarded by mu: first receive with messages
	last     time.Time            // guarded by mu: last delete
	trouble  []error              // guarded by mu: lost answers
}

func newProxy(endpoint string, calls *counter) (*proxy, error) {
	to, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	p := &proxy{
		to: to, calls: calls, received: make(map[string]time.Time),
		client: &http.Client{Transport: &http.Transport{MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, DialContext: (&net.Dialer{}).DialContext}},
	}
	p.server = httptest.NewServer(p)
	return p, nil
}

func (p *proxy) close() {
	p.server.CloseClientConnections()
	p.server.Close()
	p.client.CloseIdleConnections()
}

// ServeHTTP implements [http.Handler].
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	op := operation(r.Header)
	p.calls.count(r.Header, body)
	if op == "DeleteMessage" || op == "DeleteMessageBatch" {
		p.deleted(body)
	}
	if c := p.canned.Load(); c != nil {
		if answer := c.answer(op, body); answer != nil {
			time.Sleep(c.latency)
			if op == "ReceiveMessage" {
				p.handedOut(answer)
			}
			write(w, answer)
			return
		}
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.to.String()+r.URL.Path, bytes.NewReader(body)) //nolint:gosec // the server of the benchmark
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	out.Header = r.Header.Clone()
	resp, err := p.client.Do(out) //nolint:gosec // the server of the benchmark
	if err != nil {
		p.lost(w, r, op, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.lost(w, r, op, err)
		return
	}
	if op == "ReceiveMessage" {
		p.handedOut(answer)
	}
	for key, values := range resp.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := w.Write(answer); err != nil {
		p.lost(w, r, op, err)
	}
}

// lost records a call whose answer did not arrive. If its client is still connected, the
// measurement is invalid.
func (p *proxy) lost(w http.ResponseWriter, r *http.Request, op string, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
	if r.Context().Err() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.trouble = append(p.trouble, fmt.Errorf("%s: %w", op, err))
	}
}

func (p *proxy) handedOut(answer []byte) {
	var out struct {
		Messages []struct{ ReceiptHandle string }
	}
	if json.Unmarshal(answer, &out) != nil || len(out.Messages) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.first.IsZero() {
		p.first = now
	}
	for _, m := range out.Messages {
		p.received[m.ReceiptHandle] = now
	}
}

func (p *proxy) deleted(request []byte) {
	var in struct {
		ReceiptHandle string
		Entries       []struct{ ReceiptHandle string }
	}
	if json.Unmarshal(request, &in) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	for _, entry := range append(in.Entries, struct{ ReceiptHandle string }{in.ReceiptHandle}) {
		if at, ok := p.received[entry.ReceiptHandle]; ok {
			p.held = append(p.held, p.last.Sub(at))
			delete(p.received, entry.ReceiptHandle)
		}
	}
}

// gone returns the number of deleted messages.
func (p *proxy) gone() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

// take returns the sorted times for which messages were held, the total time, and the lost answers.
// It resets the proxy.
func (p *proxy) take() (held []time.Duration, took time.Duration, trouble error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, took, trouble = p.held, p.last.Sub(p.first), errors.Join(p.trouble...)
	slices.Sort(held)
	p.held, p.first, p.last, p.trouble = nil, time.Time{}, time.Time{}, nil
	clear(p.received)
	return held, took, trouble
}
