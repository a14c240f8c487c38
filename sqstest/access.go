package sqstest

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// refusal returns the error for a request that a page of another site may have caused, else nil.
// The server asks for no credentials, so it has to protect itself against browsers on the same
// machine: against cross-origin requests, and against foreign host names that resolve to this
// machine (DNS rebinding).
func (s *Server) refusal(r *http.Request) *Error {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return &Error{Code: "AccessDenied", Message: "The request was caused by a page of another site.", Status: http.StatusForbidden, SenderFault: true}
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return &Error{Code: "AccessDenied", Message: "The request was caused by a page of another origin.", Status: http.StatusForbidden, SenderFault: true}
		}
	}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && from.Addr().Unmap().IsLoopback() && !s.isOurs(r.Host) {
		return &Error{Code: "AccessDenied", Message: "The Host header has a foreign name: ask for localhost, an address, or the host of the queue URLs.",
			Status: http.StatusMisdirectedRequest, SenderFault: true}
	}
	return nil
}

// isOurs reports whether a Host header is an IP address, localhost or the host of the queue URLs.
// Other sites cannot own these names.
func (s *Server) isOurs(host string) bool {
	s.mu.Lock()
	base, err := url.Parse(s.cfg.BaseURL)
	s.mu.Unlock()
	name := hostname(host)
	if strings.EqualFold(name, "localhost") || err == nil && strings.EqualFold(name, base.Hostname()) {
		return true
	}
	_, err = netip.ParseAddr(name)
	return err == nil
}

// hostname returns a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
