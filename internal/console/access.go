package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/internal/admin"
)

const (
	cookieName  = "sqsonce_console"
	csrfHeader  = "X-Csrf-Token"
	sessionTime = 12 * time.Hour
	maxSessions = 64
)

// visitor is who has sent a request, as far as it matters.
type visitor struct {
	addr     string
	loopback bool      // on this machine, and no proxy
	bearer   bool      // sent the admin token itself
	session  string    // the cookie's, when it is valid
	ends     time.Time // when the session does
}

// mayAct reports whether the visitor may do more than look.
func (v visitor) mayAct() bool { return v.loopback || v.bearer || v.session != "" }

// who names the visitor in the log.
func (v visitor) who() string {
	switch {
	case v.bearer:
		return "token from " + v.addr
	case v.session != "":
		return "session from " + v.addr
	default:
		return v.addr
	}
}

// access knows who may do what. Sessions end with the process.
type access struct {
	token   string
	cross   http.CrossOriginProtection
	csrf    string        // proves that a request comes from a page of ours
	guesses admin.Guesses // of logins and bearers

	mu       sync.Mutex
	sessions map[string]time.Time // guarded by mu: when they end
}

func newAccess(token string) *access {
	return &access{
		token: token, csrf: rand.Text(), guesses: admin.NewGuesses(),
		sessions: make(map[string]time.Time),
	}
}

// visitorOf says who has sent r.
func (a *access) visitorOf(r *http.Request) visitor {
	// Under one of the extra names it is a proxy's visitor, whatever its headers:
	// none of them names this machine, see [CheckHost].
	local := admin.IsLocal(r) && admin.NamesThisMachine(r.Host)
	v := visitor{addr: r.RemoteAddr, loopback: local, bearer: admin.HasToken(r, a.token)}
	if cookie, err := r.Cookie(cookieName); err == nil {
		if ends := a.endOf(cookie.Value); time.Now().Before(ends) {
			v.session, v.ends = cookie.Value, ends
		}
	}
	return v
}

// isToken compares in constant time. No token is never the token.
func (a *access) isToken(sent string) bool {
	return a.token != "" && same(sent, a.token)
}

// isPage reports whether r carries what only a page of ours can know.
func (a *access) isPage(r *http.Request) bool { return same(r.Header.Get(csrfHeader), a.csrf) }

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// endOf returns when a session ends; one that is not known has ended long ago.
func (a *access) endOf(id string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[id]
}

// login opens a session for a visitor with the token, and returns its id, or nothing
// for a wrong one. limited reports that the address has sent too many wrong ones. The
// token itself is never refused for that: what others send from the same address,
// such as a proxy's, locks nobody out.
func (a *access) login(sent, remote string, now time.Time) (id string, limited bool) {
	if !a.isToken(sent) {
		return "", !a.guesses.Allow(remote, now)
	}
	id = rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.sessions) >= maxSessions { // the one that ends first makes room
		first := ""
		for other, end := range a.sessions {
			if first == "" || end.Before(a.sessions[first]) {
				first = other
			}
		}
		delete(a.sessions, first)
	}
	a.sessions[id] = now.Add(sessionTime)
	return id, false
}

// logout ends a session.
func (a *access) logout(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, id)
}

// sessionCookie returns the cookie of a session, for the answer to r; a negative
// age removes it.
func sessionCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // a cookie that is always Secure would be thrown away where there is no TLS
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: byTLS(r),
	}
}

// byTLS reports whether the visitor's browser speaks TLS, be it to a proxy. What
// r says of that need not be true, but who lies makes a cookie stricter than
// need be, and that is the liar's own. The browser's word (Origin) goes before
// the proxy's: a cookie that is Secure in vain is thrown away by the browser.
func byTLS(r *http.Request) bool {
	if scheme, _, ok := strings.Cut(r.Header.Get("Origin"), "://"); ok {
		return r.TLS != nil || strings.EqualFold(scheme, "https")
	}
	// Of several proxies, the first is the one that the browser speaks to.
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https")
}
