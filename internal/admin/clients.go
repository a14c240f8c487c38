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

// ClientAddress is the part of a request's remote address (HOST:PORT) that one client
// cannot change at will: of IPv4 the address, of IPv6 the /64, which is what a
// subscriber gets (RFC 6177). Forwarded headers say nothing here: any client can send them.
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

// maxClients bounds the clients whose rate is remembered.
const maxClients = 10_000

// Rates limits how often each client may do something. It is safe for concurrent use.
type Rates struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	clients map[string]*rate.Limiter // guarded by mu
}

// NewRates returns rates of perSecond for each client, and bursts of at least one.
func NewRates(perSecond float64, burst int) *Rates {
	return &Rates{perSecond: rate.Limit(perSecond), burst: max(1, burst), clients: make(map[string]*rate.Limiter)}
}

// Limiter returns the limiter of a client. The clients that have their whole burst
// again are forgotten first when there are too many, and then any: a table that grows
// without bound would be worse.
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

// Wrong tokens that one address may send: five, then one a second.
const (
	guessesPerSecond = 1
	guessBurst       = 5
)

// Guesses limits the wrong tokens of each client address. It does not lock a token
// out: look at the token first, and ask for leave only for a wrong one.
type Guesses struct{ rates *Rates }

// NewGuesses returns the limits, with nothing guessed yet.
func NewGuesses() Guesses { return Guesses{NewRates(guessesPerSecond, guessBurst)} }

// Allow counts a wrong token of a request's remote address. It returns false when
// that address has sent too many.
func (g Guesses) Allow(remote string, now time.Time) bool {
	return g.rates.Limiter(ClientAddress(remote), now).AllowN(now, 1)
}

// Refuses reports whether r carries a wrong bearer token, and its address has sent too
// many of them. With an empty token there is nothing to guess.
func (g Guesses) Refuses(r *http.Request, token string) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token != "" && strings.EqualFold(scheme, "Bearer") && !HasToken(r, token) && !g.Allow(r.RemoteAddr, time.Now())
}

// TooManyGuesses is why a request is answered with 429.
const TooManyGuesses = "too many wrong tokens from this address; the right one is not refused"
