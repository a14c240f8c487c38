package producerapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/admin"
)

// authorize checks the bearer token and returns the client: the hash of the token, or the address
// if no tokens are set. It limits the rate of wrong tokens by address.
func (a *API) authorize(r *http.Request) (client string, err error) {
	if len(a.tokens) == 0 {
		return admin.ClientAddress(r.RemoteAddr), nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", unauthorized("Bearer", "must be a bearer token")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	// It compares all hashes, which have equal lengths, in constant time.
	match := 0
	for _, known := range a.tokens {
		match |= subtle.ConstantTimeCompare(known[:], sum[:])
	}
	switch {
	case match == 1:
		return hex.EncodeToString(sum[:8]), nil
	case !a.guesses.Allow(r.RemoteAddr, time.Now()):
		p := newProblem(http.StatusTooManyRequests, "Authorization", admin.TooManyGuesses)
		p.retryAfter = time.Second
		return "", p
	default:
		return "", unauthorized(`Bearer error="invalid_token"`, "the token is wrong")
	}
}

// meant refuses a request from this machine under a foreign host name if no tokens are set. A web
// page in a browser on this machine can cause one by DNS rebinding: its owner lets the host name
// resolve to a loopback address. The error is a [*problem].
func (a *API) meant(r *http.Request) error {
	if len(a.tokens) > 0 || a.cfg.AnyHost || !admin.IsLoopback(r) || admin.NamesThisMachine(r.Host) {
		return nil
	}
	return newProblem(http.StatusMisdirectedRequest, "Host", "must be localhost or an address, because the server has no token set")
}

// notForged returns a *[problem] for a request that a page of another site may have caused, where
// no token is asked for. A browser sends such a request without asking first if its content type is
// one of a form (https://fetch.spec.whatwg.org/#cors-safelisted-request-header). Any other content
// type makes it ask, and this API never agrees.
func (a *API) notForged(r *http.Request) error {
	if len(a.tokens) > 0 || new(http.CrossOriginProtection).Check(r) == nil {
		return nil
	}
	switch kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case err != nil, kind == "text/plain", kind == "application/x-www-form-urlencoded", kind == "multipart/form-data":
		return newProblem(http.StatusForbidden, "Origin", "must not be another site, because the server has no token set; send application/json or a token")
	default:
		return nil
	}
}

// operator refuses clients that are not operators. Without tokens, only LocalOperators allows them:
// on this machine, unless another site's page caused the request.
func (a *API) operator(r *http.Request) error {
	switch {
	case len(a.tokens) > 0:
		return nil // admit has checked the token
	case !a.cfg.LocalOperators:
		return unauthorized("Bearer", "operators need a token, and the server has none set (SQSONCE_AUTH_TOKEN)")
	case !admin.IsLocal(r) || !admin.NamesThisMachine(r.Host):
		return unauthorized("Bearer", "operators need a token, except on the server's own machine")
	case new(http.CrossOriginProtection).Check(r) != nil:
		return unauthorized("Bearer", "operators need a token, because another site caused the request")
	default:
		return nil
	}
}

func unauthorized(challenge, detail string) error {
	p := newProblem(http.StatusUnauthorized, "Authorization", detail)
	p.header = http.Header{"Www-Authenticate": {challenge}}
	return p
}
