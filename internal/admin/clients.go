package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// ClientAddress returns the part of a request's remote address (HOST:PORT) that a client cannot
// change at will: the IPv4 address, or the /64 of an IPv6 address, which is the network of a
// subscriber (RFC 6177). Forwarded headers are ignored, because any client can send them.
func ClientAddress(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// maxClients bounds the clients with a limiter.
const maxClients = 10_000

// Rates limits the events of each client. It is safe for concurrent use.
type Rates struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	clients map[string]*rate.Limiter // guarded by mu
}

// NewRates returns limits of perSecond for each client, with bursts of at least one.
func NewRates(perSecond float64, burst int) *Rates {
	return &Rates{perSecond: rate.Limit(perSecond), burst: max(1, burst), clients: make(map[string]*rate.Limiter)}
}

// Limiter returns the limiter of a client. If there are too many, those with a full burst are
// removed first, and then any others, because the table must not grow without bound.
func (r *Rates) Limiter(client string, now time.Time) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l, ok := r.clients[client]; ok {
		return l
	}
	if len(r.clients) >= maxClients {
		r.forget(now)
	}
	l := rate.NewLimiter(r.perSecond, r.burst)
	r.clients[client] = l
	return l
}

func (r *Rates) forget(now time.Time) {
	for client, l := range r.clients {
		if l.TokensAt(now) >= float64(r.burst) {
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

// Wrong tokens allowed per address: five at once, then one per second.
const (
	guessesPerSecond = 1
	guessBurst       = 5
)

// Guesses limits the wrong tokens of each client address. It never locks out the right token: check
// the token first, and call Allow only for a wrong one.
type Guesses struct{ rates *Rates }

// NewGuesses returns limits without recorded guesses.
func NewGuesses() Guesses { return Guesses{NewRates(guessesPerSecond, guessBurst)} }

// Allow records a wrong token of a request's remote address. It returns false if that address has
// sent too many.
func (g Guesses) Allow(remote string, now time.Time) bool {
	return g.rates.Limiter(ClientAddress(remote), now).AllowN(now, 1)
}

// Refuses reports whether r has a wrong bearer token and its address has sent too many. An empty
// token disables the limit.
func (g Guesses) Refuses(r *http.Request, token string) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token != "" && strings.EqualFold(scheme, "Bearer") && !HasToken(r, token) && !g.Allow(r.RemoteAddr, time.Now())
}

// TooManyGuesses is the reason in a 429.
const TooManyGuesses = "too many wrong tokens from this address; the right one is not refused"
