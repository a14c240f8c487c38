package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Call is one call of the target.
type Call struct {
	Name       string
	Fence      int64
	Attempt    int
	Process    int // the caller, see [Harm]
	Start, End time.Time
	Status     int // of the answer; 0 if the connection broke first
}

// Ledger is an HTTP target that records every call.
type Ledger struct {
	URL string

	server *http.Server
	served chan struct{}
	slow   time.Duration // the longest call
	calm   bool          // guarded by mu; no more failures

	mu     sync.Mutex
	random *rand.Rand // guarded by mu
	calls  []*Call    // guarded by mu; in the order of their starts
}

// NewLedger starts a target. Its calls take up to slow, usually much less, and some of them fail.
func NewLedger(ctx context.Context, seed uint64, slow time.Duration) (*Ledger, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the target: %w", err)
	}
	l := &Ledger{
		URL: "http://" + listener.Addr().String(), served: make(chan struct{}), slow: slow,
		random: rand.New(rand.NewPCG(seed, 2)),
	}
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	go func() { // joined by Close
		defer close(l.served)
		_ = l.server.Serve(listener) // ends with Close
	}()
	return l, nil
}

// Calm ends the failures.
func (l *Ledger) Calm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calm = true
}

// Close ends the target.
func (l *Ledger) Close() {
	_ = l.server.Close()
	<-l.served
}

// ServeHTTP is the target. The path names the process: /p3 for the third.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then the server notices a broken connection
	call, took, status := l.begin(r)
	wait(r.Context(), took)
	l.mu.Lock()
	call.End = time.Now()
	if r.Context().Err() == nil {
		call.Status = status
	}
	l.mu.Unlock()
	if r.Context().Err() != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"fence":%d}`, call.Fence)
}

func (l *Ledger) begin(r *http.Request) (call *Call, took time.Duration, status int) {
	number := func(s string) int64 {
		n, _ := strconv.ParseInt(s, 10, 64)
		return n
	}
	call = &Call{
		Name: r.Header.Get("X-Sqsonce-Name"), Start: time.Now(), Fence: number(r.Header.Get("X-Sqsonce-Fence")),
		Attempt: int(number(r.Header.Get("X-Sqsonce-Attempt"))), Process: int(number(strings.TrimPrefix(r.URL.Path, "/p"))),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
	took, status = time.Duration(l.random.Float64()*float64(20*time.Millisecond)), http.StatusOK
	if l.random.Float64() < 0.02 {
		took = time.Duration(l.random.Float64() * float64(l.slow))
	}
	if !l.calm && l.random.Float64() < 0.01 {
		status = http.StatusInternalServerError
	}
	return call, took, status
}

// after returns copies of the calls from the n-th on.
func (l *Ledger) after(n int) []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	var calls []Call
	for _, c := range l.calls[n:] {
		calls = append(calls, *c)
	}
	return calls
}

// Calls returns all calls by name, in the order of their starts.
func (l *Ledger) Calls() map[string][]Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string][]Call)
	for _, c := range l.calls {
		all[c.Name] = append(all[c.Name], *c)
	}
	for _, calls := range all {
		slices.SortStableFunc(calls, func(a, b Call) int { return a.Start.Compare(b.Start) })
	}
	return all
}
