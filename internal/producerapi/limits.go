package producerapi

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// budget bounds the bytes that are in memory for requests under way.
type budget struct {
	max  int64
	used atomic.Int64
}

// take reserves n bytes, or reports that there is no room.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// maxClients bounds the clients whose rate is remembered.
const maxClients = 10_000

// rates limits each client.
type rates struct {
	perSecond float64 // 0: no limit

	mu      sync.Mutex
	clients map[string]*rate.Limiter // guarded by mu
}

// admit returns a *[problem] when a client has asked too often.
func (r *rates) admit(client string, now time.Time) error {
	if r.perSecond <= 0 {
		return nil
	}
	asked := r.limiter(client, now).ReserveN(now, 1)
	wait := asked.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	asked.CancelAt(now)
	p := newProblem(http.StatusTooManyRequests, "", "more requests than one client may make; see Retry-After")
	p.retryAfter = wait
	return p
}

// charge takes n more from what a client may ask. It never refuses: a batch that has
// been admitted is sent whole, and the client's next requests wait for that.
func (r *rates) charge(client string, now time.Time, n int) {
	if r.perSecond <= 0 {
		return
	}
	l := r.limiter(client, now)
	for ; n > 0; n -= l.Burst() {
		l.ReserveN(now, min(n, l.Burst()))
	}
}

func (r *rates) limiter(client string, now time.Time) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l, ok := r.clients[client]; ok {
		return l
	}
	burst := max(1, int(math.Ceil(2*r.perSecond)))
	if r.clients == nil {
		r.clients = make(map[string]*rate.Limiter)
	}
	if len(r.clients) >= maxClients {
		r.forget(now, burst)
	}
	l := rate.NewLimiter(rate.Limit(r.perSecond), burst)
	r.clients[client] = l
	return l
}

// forget drops the clients who have their whole burst again, and when that is
// not enough, anybody: a table that grows without bound would be worse. r.mu
// is held.
func (r *rates) forget(now time.Time, burst int) {
	for client, l := range r.clients {
		if l.TokensAt(now) >= float64(burst) {
			delete(r.clients, client)
		}
	}
	for client := range r.clients {
		if len(r.clients) < maxClients/2 {
			return
		}
		delete(r.clients, client)
	}
}
