package producerapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/internal/admin"
)

// authorize checks the bearer token and returns the client: a token's hash, or where
// none is set the client's address. Wrong tokens are limited by address.
func (a *API) authorize(r *http.Request) (client string, err error) {
	if len(a.tokens) == 0 {
		return admin.ClientAddress(r.RemoteAddr), nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", unauthorized("Bearer", "wants a bearer token")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	// All of them are compared, and hashes of equal length: the time it takes
	// tells nothing.
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
		return "", unauthorized(`Bearer error="invalid_token"`, "is not one of the tokens set here")
	}
}

// meant returns a *[problem] for a request that came over the loopback
// interface under a foreign name, where no token is asked for. A browser on this
// machine sends one when the name's owner has let it point here, for a page of
// that owner.
func (a *API) meant(r *http.Request) error {
	if len(a.tokens) > 0 || a.cfg.AnyHost || !admin.IsLoopback(r) || admin.NamesThisMachine(r.Host) {
		return nil
	}
	return newProblem(http.StatusMisdirectedRequest, "Host", "is a foreign name, and no token is set here; ask for localhost or an address")
}

// operator lets only those in who have a token: where none is set, nobody, or with
// LocalOperators a client on this machine that is no other site's page.
func (a *API) operator(r *http.Request) error {
	switch {
	case len(a.tokens) > 0:
		return nil // admit has looked at it
	case !a.cfg.LocalOperators:
		return unauthorized("Bearer", "this is for operators only, and the server has no token set (SQSONCE_AUTH_TOKEN)")
	case !admin.IsLocal(r) || !admin.NamesThisMachine(r.Host):
		return unauthorized("Bearer", "this is for operators only: without a token, those on the server's own machine")
	case new(http.CrossOriginProtection).Check(r) != nil:
		return unauthorized("Bearer", "this is for operators only, and the request was caused by another site")
	default:
		return nil
	}
}

func unauthorized(challenge, detail string) error {
	p := newProblem(http.StatusUnauthorized, "Authorization", detail)
	p.header = http.Header{"Www-Authenticate": {challenge}}
	return p
}
