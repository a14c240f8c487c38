package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/partiql"
)

// Rates are the probabilities of a proxy's faults.
type Rates struct {
	Cut      float64       // the connection breaks before the request reaches the server
	Drop     float64       // the connection breaks after the server has carried out the request
	Throttle float64       // the proxy answers with a throttling error
	Delay    float64       // the answer is delayed
	MaxDelay time.Duration // the longest delay
}

// Proxy is an HTTP proxy in front of one server, on its own loopback port.
type Proxy struct {
	URL string

	rates    Rates
	upstream string
	refusal  string
	client   *http.Client
	server   *http.Server
	served   chan struct{}
	calm     atomic.Bool
	batches  atomic.Int64 // requests with several writes

	mu     sync.Mutex
	random *rand.Rand     // guarded by mu
	met    map[string]int // guarded by mu; faults by kind
}

// NewProxy starts a proxy in front of the server at upstream. refusal is the type of the service's
// throttling error. [Proxy.UseGrammar] adds the grammar of AWS to a DynamoDB server.
func NewProxy(ctx context.Context, upstream, refusal string, seed uint64, rates Rates) (*Proxy, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Proxy{
		URL: "http://" + listener.Addr().String(), rates: rates, upstream: upstream, refusal: refusal,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
		served: make(chan struct{}), random: rand.New(rand.NewPCG(seed, 1)), met: make(map[string]int),
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	go func() { // joined by Close
		defer close(p.served)
		_ = p.server.Serve(listener) // ends with Close
	}()
	return p, nil
}

// UseGrammar makes the proxy refuse statements outside the grammar in AWS's reference. Call it
// before the first request.
func (p *Proxy) UseGrammar() {
	p.client.Transport = &partiql.Server{Base: &http.Client{Transport: p.client.Transport}}
}

// Calm ends all faults.
func (p *Proxy) Calm() { p.calm.Store(true) }

// Close ends the proxy.
func (p *Proxy) Close() {
	_ = p.server.Close()
	<-p.served
	p.client.CloseIdleConnections()
}

// Faults returns the number of faults by kind.
func (p *Proxy) Faults() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.met)
}

// draw returns the fault and the delay of one request.
func (p *Proxy) draw() (fault string, delay time.Duration) {
	if p.calm.Load() {
		return "", 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.random.Float64()
	for _, k := range []struct {
		p float64
		f string
	}{{p.rates.Cut, "cut"}, {p.rates.Drop, "drop"}, {p.rates.Throttle, "throttle"}, {p.rates.Delay, "delay"}} {
		if x < k.p {
			p.met[k.f]++
			return k.f, time.Duration(p.random.Float64() * float64(p.rates.MaxDelay))
		}
		x -= k.p
	}
	return "", 0
}

// ServeHTTP forwards a request with its fault.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.BatchExecuteStatement" {
		p.batches.Add(1)
	}
	fault, delay := p.draw()
	body, err := io.ReadAll(r.Body)
	if err != nil || fault == "cut" {
		panic(http.ErrAbortHandler)
	}
	if fault == "throttle" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"slow down"}`, p.refusal)
		return
	}
	// Like AWS, the server carries out a request even if the caller stops waiting.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	if r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage" {
		ctx = r.Context() // but it delivers no messages to a closed connection
	}
	out, err := http.NewRequestWithContext(ctx, r.Method, p.upstream+r.URL.RequestURI(), bytes.NewReader(body)) //nolint:gosec // the server is the caller's
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = r.Header.Clone()
	resp, err := p.client.Do(out) //nolint:gosec // see above
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || fault == "drop" {
		panic(http.ErrAbortHandler)
	}
	if fault == "delay" {
		wait(r.Context(), delay)
	}
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}

// wait sleeps for d or until ctx ends. Its callers check ctx.
func wait(ctx context.Context, d time.Duration) { _ = backoff.Sleep(ctx, d) }
