package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets requests through that may change something: those from this machine, and
// those that carry "Authorization: Bearer" and the token. Without a token there are
// only the former. What a proxy on this machine has passed on is not from it.
//
// A browser on this machine is no leave for the sites it shows: a request that
// another site has caused is refused (403), and so is one without the token
// that came by a name, which any site can make point at this machine.
func (cfg Config) guard(h http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case HasToken(r, cfg.Token):
			h.ServeHTTP(w, r)
		case !IsLocal(r) && cfg.guesses.Refuses(r, cfg.Token):
			cfg.tooManyGuesses(w)
		case !IsLocal(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="sqsonce"`)
			write(w, http.StatusUnauthorized, answer{Status: "refused", Reason: "from elsewhere the admin token is needed"})
		case !NamesThisMachine(r.Host):
			write(w, http.StatusForbidden, answer{Status: "refused", Reason: "ask for localhost or an address, or send the admin token"})
		default:
			h.ServeHTTP(w, r)
		}
	})
	var crossSite http.CrossOriginProtection
	crossSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusForbidden, answer{Status: "refused", Reason: "caused by another site"})
	}))
	return crossSite.Handler(guarded)
}

// HasToken reports whether r carries the token as its bearer, in constant time.
// No token is never the token.
func HasToken(r *http.Request, token string) bool {
	scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	got, want := sha256.Sum256([]byte(strings.TrimSpace(sent))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// IsLoopback reports whether r came over the loopback interface.
func IsLoopback(r *http.Request) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

// IsLocal reports whether r came from this machine, and not through a proxy on
// it that says so.
func IsLocal(r *http.Request) bool {
	return IsLoopback(r) && !slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"},
		func(name string) bool { return r.Header.Get(name) != "" })
}

// whoIs names in the log who was let through.
func whoIs(r *http.Request, token string) string {
	if HasToken(r, token) {
		return "token from " + r.RemoteAddr
	}
	return "loopback, " + r.RemoteAddr
}

// NamesThisMachine reports whether a Host header cannot be a name that
// somebody else owns.
func NamesThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// AllowsHost reports whether a request that came over the loopback interface was
// meant for this server: it names this machine, or one of hosts. A browser on this
// machine sends one under a foreign name when the name's owner has let it point
// here (DNS rebinding).
func AllowsHost(r *http.Request, hosts []string) bool {
	if !IsLoopback(r) || NamesThisMachine(r.Host) {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return slices.ContainsFunc(hosts, func(own string) bool { return strings.EqualFold(own, host) })
}
