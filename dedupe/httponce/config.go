package httponce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// Defaults of [Config].
const (
	defaultMaxBody    = 1 << 20
	defaultMaxKey     = 255
	defaultTimeout    = time.Minute
	defaultPatience   = 10 * time.Second
	defaultRetryAfter = 2 * time.Second

	minResult = 128 // bytes of a dedupe.Config's MaxResult, so that status, size and hash fit
)

// DefaultHeaders returns the header fields of an answer that are kept, see [Config.Headers].
func DefaultHeaders() []string {
	return []string{
		"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location",
		"Content-Type", "Etag", "Expires", "Last-Modified", "Link", "Location", "Vary",
	}
}

// neverKept are header fields that belong to one client, one moment or one connection
// (RFC 9110, section 7.6.1).
var neverKept = []string{
	"Connection", "Content-Length", "Date", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// Config says how requests are guarded. The zero value is ready.
type Config struct {
	// Methods are guarded; all others go to the handler as they come. Default POST and
	// PATCH. PUT and DELETE may be added, safe methods may not.
	Methods []string

	// Optional lets a request without the header go to the handler unguarded. Default
	// false: it is answered 400.
	Optional bool

	// Unquoted accepts a key without quotes too, as many clients send it:
	// Idempotency-Key: 8e03978e. It is the same key as the quoted one. Default false:
	// answered 400, as the draft's syntax wants a quoted string.
	Unquoted bool

	// MaxKey bounds a key, in bytes. Default 255; at most 255.
	MaxKey int

	// CheckKey returns why a key is not of the form that you have published, or nil; its
	// text is part of the answer, 400. Default: a key has 1 to MaxKey bytes.
	CheckKey func(key string) error

	// Client returns the client that a request comes from, as your authentication knows
	// it. Keys of different clients never meet. A request of no client ("") is answered
	// 403. Default nil: all clients share their keys, so that one who knows the key and
	// the body of another gets its answer.
	Client func(*http.Request) string

	// Fingerprint returns what two requests with one key must have in common. Its error
	// is answered 400. Default: the query and the body, byte for byte.
	Fingerprint func(r *http.Request, body []byte) ([]byte, error)

	// MaxBody bounds the body of a request, in bytes. It is read before the handler runs.
	// Default 1 MiB.
	MaxBody int64

	// Headers are the fields of an answer that are kept besides [DefaultHeaders].
	Headers []string

	// Failures are statuses below 500 that are failures, not results: such as 429 of a
	// limit inside the handler. Default none.
	Failures []int

	// Timeout ends the context of the handler. A handler that returns then without an
	// answer, or with a failure, has timed out: a failure, and UNKNOWN under
	// [dedupe.Config] Hold. What it has answered below 500 is its result. Default 1m; negative: none.
	Timeout time.Duration

	// Patience is for how long a request waits before its handler runs: for a store that
	// does not answer (then 503), or, with [dedupe.Config] Wait, for the answer that is in
	// progress (then 409). A client that goes away meanwhile ends it. Default 10s.
	Patience time.Duration

	// RetryAfter is the value of Retry-After of the answers 409 and 503, in whole seconds,
	// rounded up. Default 2s.
	RetryAfter time.Duration

	// Stop, when it ends, ends the context of every handler. Their attempts are released
	// and do not count (under [dedupe.Config] Hold: UNKNOWN), if they end without an
	// answer or with a failure. End it when the time of [http.Server.Shutdown], which
	// waits for handlers, is over. Default nil: never.
	Stop context.Context //nolint:containedctx // the program's, like http.Server.BaseContext

	// Docs is the address of your documentation of the key: its form, its scope, and how
	// long it counts ([dedupe.Config] Window). Errors point there. Default none.
	Docs string

	// WriteProblem writes an error of the middleware. Retry-After and Link are set
	// already. Default: application/problem+json.
	WriteProblem func(w http.ResponseWriter, r *http.Request, p Problem)
}

// withDefaults returns a copy of c with the defaults filled in.
func (c Config) withDefaults() Config {
	if c.Methods == nil {
		c.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	c.MaxKey = cmp.Or(c.MaxKey, defaultMaxKey)
	c.MaxBody = cmp.Or(c.MaxBody, defaultMaxBody)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Patience = cmp.Or(c.Patience, defaultPatience)
	c.RetryAfter = cmp.Or(c.RetryAfter, defaultRetryAfter)
	if c.Stop == nil {
		c.Stop = context.Background()
	}
	if c.CheckKey == nil {
		c.CheckKey = func(string) error { return nil }
	}
	if c.Fingerprint == nil {
		c.Fingerprint = wholeRequest
	}
	if c.WriteProblem == nil {
		c.WriteProblem = writeProblem
	}
	return c
}

// validate reports everything that is wrong with c, defaults filled in.
func (c Config) validate(guard dedupe.Config) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Methods) == 0 {
		bad("Methods: must not be empty")
	}
	for _, m := range c.Methods {
		if !slices.Contains([]string{http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete}, m) {
			bad("Methods: %q: must be POST, PATCH, PUT or DELETE", m)
		}
	}
	if c.MaxKey < 1 || c.MaxKey > defaultMaxKey {
		bad("MaxKey %d: must be 1 to %d", c.MaxKey, defaultMaxKey)
	}
	if c.MaxBody < 1 {
		bad("MaxBody %d: must be at least 1", c.MaxBody)
	}
	for _, h := range c.Headers {
		if name := http.CanonicalHeaderKey(h); !isToken(h) {
			bad("Headers: %q is not a field name", h)
		} else if slices.Contains(neverKept, name) {
			bad("Headers: %s: belongs to one client, one moment or one connection, and is never kept", name)
		}
	}
	for _, status := range c.Failures {
		if status < 400 || status > 499 {
			bad("Failures: %d: must be 400 to 499", status)
		}
	}
	if c.Patience < 0 {
		bad("Patience %s: must not be negative", c.Patience)
	}
	if c.RetryAfter < 0 {
		bad("RetryAfter %s: must not be negative", c.RetryAfter)
	}
	if guard.MaxResult < minResult {
		bad("MaxResult %d: must be at least %d", guard.MaxResult, minResult)
	}
	return errors.Join(errs...)
}

// isToken reports whether name can be the name of a header field (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
