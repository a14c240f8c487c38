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

// DefaultHeaders returns the header fields of an answer that are recorded by default, see
// [Config.Headers].
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

// Config configures the middleware. The zero value is ready to use.
type Config struct {
	// Methods are the guarded methods. Requests with other methods go to the handler unguarded.
	// Default POST and PATCH. PUT and DELETE may be added, safe methods may not.
	Methods []string

	// Optional lets requests without the header go to the handler unguarded. Default false: they
	// are answered 400.
	Optional bool

	// Unquoted also accepts a key without quotes, as many clients send it: Idempotency-Key:
	// 8e03978e. It equals the quoted key. Default false: it is answered 400, because the draft
	// requires a quoted string.
	Unquoted bool

	// MaxKey bounds a key, in bytes. Default 255; at most 255.
	MaxKey int

	// CheckKey returns an error for a key outside of your published format. The request is answered
	// 400 with the text of the error. Default: a key has 1 to MaxKey bytes.
	CheckKey func(key string) error

	// Client returns the authenticated client of a request. Each client has its own keys. A request
	// without a client ("") is answered 403. Default nil: all clients share their keys, so a client
	// that knows the key and the body of another's request gets its answer.
	Client func(*http.Request) string

	// Fingerprint returns the bytes that must be equal in requests with one key. After an error the
	// request is answered 400. Default: the query and the body.
	Fingerprint func(r *http.Request, body []byte) ([]byte, error)

	// MaxBody bounds the body of a request, in bytes. The body is read before the handler runs.
	// Default 1 MiB.
	MaxBody int64

	// Headers are recorded fields of an answer besides [DefaultHeaders]. Default: none.
	Headers []string

	// Failures are statuses below 500 that count as failures, such as 429 from a rate limit inside
	// the handler. Default: none.
	Failures []int

	// Timeout ends the context of the handler. If the handler then returns without an answer, or
	// with a failure, the attempt fails; with [dedupe.Config] Hold the name becomes UNKNOWN. An
	// answer below 500 is its result even then. Default 1m; negative: none.
	Timeout time.Duration

	// Patience bounds the wait of a request before its handler runs: for a store that does not
	// answer (then 503), or, with [dedupe.Config] Wait, for the answer of a running attempt (then
	// 409). The wait also ends if the client goes away. Default 10s.
	Patience time.Duration

	// RetryAfter is the field Retry-After of the answers 409 and 503, in seconds, rounded up.
	// Default 2s.
	RetryAfter time.Duration

	// Stop ends the context of every handler when it ends. The attempts of handlers that then
	// return without an answer, or with a failure, are released and do not count (with
	// [dedupe.Config] Hold the name becomes UNKNOWN). End it when the time of
	// [http.Server.Shutdown], which waits for handlers, is over. Default nil: never.
	Stop context.Context //nolint:containedctx // the program's, like http.Server.BaseContext

	// Docs is the address of your documentation of the key: its format, its scope, and its lifetime
	// ([dedupe.Config] Window). Errors link to it. Default: none.
	Docs string

	// WriteProblem writes an error of the middleware. The fields Retry-After and Link are already
	// set. Default: application/problem+json.
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

// validate returns the faults of c and guard. The defaults are filled in.
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
