package producerapi

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sqsonce/sqsonce/internal/admin"
)

// budget bounds the bytes in memory for requests under way. A client may hold as much as is free: a
// single client half of the budget, each of n greedy clients the (n+1)th part. So the next client
// always finds as much.
type budget struct {
	max int64

	mu   sync.Mutex
	used int64            // guarded by mu
	held map[string]int64 // guarded by mu; by client, never 0
}

func newBudget(bytes int64) *budget { return &budget{max: bytes, held: make(map[string]int64)} }

// take charges n bytes to a client. It returns false if there is no room.
func (b *budget) take(client string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[client]+n > b.max-b.used-n {
		return false
	}
	b.used += n
	b.held[client] += n
	return true
}

// give returns n bytes of a client.
func (b *budget) give(client string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.held[client] -= n; b.held[client] == 0 {
		delete(b.held, client)
	}
}

// pending returns the number of charged bytes.
func (b *budget) pending() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// rates limits the request rate of each client. A nil *rates sets no limit.
type rates struct{ clients *admin.Rates }

func newRates(perSecond float64) *rates {
	if perSecond <= 0 {
		return nil
	}
	return &rates{admin.NewRates(perSecond, int(math.Ceil(2*perSecond)))}
}

// admit returns a [*problem] if a client exceeds its rate.
func (r *rates) admit(client string, now time.Time) error {
	if r == nil {
		return nil
	}
	asked := r.clients.Limiter(client, now).ReserveN(now, 1)
	wait := asked.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	asked.CancelAt(now)
	p := newProblem(http.StatusTooManyRequests, "", "too many requests of this client; see Retry-After")
	p.retryAfter = wait
	return p
}

// charge counts n more requests of a client. It never refuses, because an admitted batch is sent
// whole; the client's next requests are limited instead.
func (r *rates) charge(client string, now time.Time, n int) {
	if r == nil {
		return
	}
	l := r.clients.Limiter(client, now)
	for ; n > 0; n -= l.Burst() {
		l.ReserveN(now, min(n, l.Burst()))
	}
}

// samples limits the log lines about requests, for each kind: done, refused and failed.
type samples [3]*sample

// sample limits the log lines of one kind.
type sample struct {
	lines *rate.Limiter // nil: no limit
	left  atomic.Int64  // requests without a line since the last line
}

func newSamples(perSecond float64) samples {
	var all samples
	for i := range all {
		all[i] = &sample{}
		if perSecond > 0 {
			all[i].lines = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
		}
	}
	return all
}

// take reports whether a request with this status is logged, and how many requests of its kind were
// left out before it.
func (s samples) take(status int) (left int64, logged bool) {
	kind := s[0]
	switch {
	case status >= http.StatusInternalServerError:
		kind = s[2]
	case status >= http.StatusBadRequest:
		kind = s[1]
	}
	if kind.lines != nil && !kind.lines.Allow() {
		kind.left.Add(1)
		return 0, false
	}
	return kind.left.Swap(0), true
}
