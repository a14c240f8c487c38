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

// guard passes on requests that may change the process: requests from this machine, and requests
// with "Authorization: Bearer" and the token. Without a configured token only the former pass. A
// request that a proxy on this machine has forwarded is not from this machine.
//
// A browser on this machine must not lend its access to web sites. A request caused by another site
// gets 403. So does a request without the token under a host name, because any site can make a name
// resolve to this machine.
func (cfg Config) guard(h http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case HasToken(r, cfg.Token):
			h.ServeHTTP(w, r)
		case !IsLocal(r) && cfg.guesses.Refuses(r, cfg.Token):
			cfg.tooManyGuesses(w)
		case !IsLocal(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="sqsonce"`)
			write(w, http.StatusUnauthorized, answer{Status: "refused", Reason: "a request from another machine needs the admin token"})
		case !NamesThisMachine(r.Host):
			write(w, http.StatusForbidden, answer{Status: "refused", Reason: "the Host header has a foreign name; use localhost or an address, or send the admin token"})
		default:
			h.ServeHTTP(w, r)
		}
	})
	var crossSite http.CrossOriginProtection
	crossSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusForbidden, answer{Status: "refused", Reason: "the request was caused by another site"})
	}))
	return crossSite.Handler(guarded)
}

// HasToken reports whether r has the token as its bearer token. It compares in constant time. An
// empty token never matches.
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

// IsLocal reports whether r came from this machine, without the headers of a proxy.
func IsLocal(r *http.Request) bool {
	return IsLoopback(r) && !slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"},
		func(name string) bool { return r.Header.Get(name) != "" })
}

// whoIs returns the origin of a request for the log.
func whoIs(r *http.Request, token string) string {
	if HasToken(r, token) {
		return "token from " + r.RemoteAddr
	}
	return "loopback, " + r.RemoteAddr
}

// NamesThisMachine reports whether a Host header is localhost or an address. A foreign domain
// cannot have such a name.
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

// AllowsHost reports whether a request over the loopback interface was meant for this server: its
// Host header names this machine or is one of hosts. A browser on this machine sends requests with
// a foreign name if the owner of that name has made it resolve to this machine (DNS rebinding).
// Requests over other interfaces are always allowed.
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
