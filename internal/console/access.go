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

// visitor is the sender of a request.
type visitor struct {
	addr     string
	loopback bool      // from this machine, without a proxy
	bearer   bool      // has sent the admin token
	session  string    // value of a valid session cookie; empty: none
	ends     time.Time // end of the session
}

// mayAct reports whether the visitor may act, not only read.
func (v visitor) mayAct() bool { return v.loopback || v.bearer || v.session != "" }

// who returns the visitor for the log.
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

// access decides which visitors may act. Sessions end with the process.
type access struct {
	token   string
	cross   http.CrossOriginProtection
	csrf    string        // proves that a request comes from the console's page
	guesses admin.Guesses // limits wrong tokens of logins and bearers

	mu       sync.Mutex
	sessions map[string]time.Time // guarded by mu; ends of sessions by id
}

func newAccess(token string) *access {
	return &access{
		token: token, csrf: rand.Text(), guesses: admin.NewGuesses(),
		sessions: make(map[string]time.Time),
	}
}

// visitorOf returns the sender of r.
func (a *access) visitorOf(r *http.Request) visitor {
	// A request under one of Config.Hosts comes through a proxy, and never counts as local. None of
	// these names means this machine; see [CheckHost].
	local := admin.IsLocal(r) && admin.NamesThisMachine(r.Host)
	v := visitor{addr: r.RemoteAddr, loopback: local, bearer: admin.HasToken(r, a.token)}
	if cookie, err := r.Cookie(cookieName); err == nil {
		if ends := a.endOf(cookie.Value); time.Now().Before(ends) {
			v.session, v.ends = cookie.Value, ends
		}
	}
	return v
}

// isToken compares in constant time. Without an admin token it returns false.
func (a *access) isToken(sent string) bool {
	return a.token != "" && same(sent, a.token)
}

// isPage reports whether r carries the secret that only the console's page can read.
func (a *access) isPage(r *http.Request) bool { return same(r.Header.Get(csrfHeader), a.csrf) }

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// endOf returns the end of a session; the zero time for an unknown one.
func (a *access) endOf(id string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[id]
}

// login opens a session and returns its id; empty if the token is wrong. limited reports that the
// address has sent too many wrong tokens. The right token is always accepted, so that wrong tokens
// from the same address, such as a proxy's, lock no visitor out.
func (a *access) login(sent, remote string, now time.Time) (id string, limited bool) {
	if !a.isToken(sent) {
		return "", !a.guesses.Allow(remote, now)
	}
	id = rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.sessions) >= maxSessions { // the session that ends first makes room
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

// sessionCookie returns the cookie of a session, for the answer to r. A negative maxAge removes it.
func sessionCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // without TLS a browser drops a Secure cookie
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: byTLS(r),
	}
}

// byTLS reports whether the visitor's browser uses TLS, to this server or to a proxy. The headers
// of r can be forged, but that only affects the forger's own cookie. Origin, which the browser
// sets, takes precedence over the proxy's header, because a browser without TLS drops a Secure
// cookie.
func byTLS(r *http.Request) bool {
	if scheme, _, ok := strings.Cut(r.Header.Get("Origin"), "://"); ok {
		return r.TLS != nil || strings.EqualFold(scheme, "https")
	}
	// With several proxies, the first value belongs to the browser's connection.
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https")
}
