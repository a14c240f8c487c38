// Package mirror carries an HTTP request in the attributes of a message: its method, path and
// query, and some of its headers. The producer sets the attributes. The worker then sends its
// target the request that the client sent to the producer.
//
// Any sender of a message can set these attributes. So both programs check them, and the worker
// only requests paths below the prefixes in its own configuration.
package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Attributes of a message.
const (
	AttrMethod  = "sqsonce.method"
	AttrPath    = "sqsonce.path"    // path and query in the form of a request line
	AttrHeaders = "sqsonce.headers" // a JSON object of texts
)

// Methods are the methods of requests that can be carried. The other methods need an answer, which
// a queue does not give.
var Methods = []string{http.MethodDelete, http.MethodPatch, http.MethodPost, http.MethodPut}

// maxPath bounds path and query together, in bytes. RFC 9112 recommends that servers accept request
// lines of at least 8,000 bytes: https://www.rfc-editor.org/rfc/rfc9112.html#section-3
const maxPath = 8000

// NoBody is the body of a message whose request had none, because SQS accepts no empty message. The
// headers of such a request have a Content-Length of 0.
const NoBody = "{}"

const contentLength = "Content-Length"

// Request is a carried request.
type Request struct {
	Method  string
	Path    string            // percent-encoded, with the query; begins with a slash
	Headers map[string]string // by canonical name
	Empty   bool              // the request has no body
}

// New returns a request, or an error that names the part that cannot be carried. escaped is the
// path as it was sent, query the text after the question mark. Of header it takes the fields in
// carried, except hop-by-hop fields.
func New(method, escaped, query string, header http.Header, carried []string, empty bool) (Request, error) {
	r := Request{Method: method, Path: encode(escaped, pathBytes), Headers: make(map[string]string), Empty: empty}
	if query != "" {
		r.Path += "?" + encode(query, queryBytes)
	}
	hop := hopByHop(header)
	for _, name := range carried {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if values := header.Values(name); len(values) > 0 && !slices.Contains(hop, name) {
			r.Headers[name] = strings.Join(values, ", ") // RFC 9110, section 5.3
		}
	}
	return r, r.check()
}

// hopByHop returns the header fields that the field Connection names.
// https://www.rfc-editor.org/rfc/rfc9110.html#section-7.6.1
func hopByHop(header http.Header) (names []string) {
	for _, value := range header.Values("Connection") {
		for name := range strings.SplitSeq(value, ",") {
			names = append(names, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	return names
}

// Attributes returns the message attributes that carry r.
func (r Request) Attributes() (map[string]string, error) {
	attributes := map[string]string{AttrMethod: r.Method, AttrPath: r.Path}
	headers := make(map[string]string, len(r.Headers)+1)
	for name, value := range r.Headers {
		headers[name] = value
	}
	if r.Empty {
		headers[contentLength] = "0"
	}
	if len(headers) > 0 {
		text, err := json.Marshal(headers)
		if err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
		attributes[AttrHeaders] = string(text)
	}
	return attributes, nil
}

// Read returns the request in a message's attributes; found is false if they have none. An error
// names the invalid attribute, or the path that is not below one of the prefixes.
func Read(attributes map[string]string, prefixes []string) (r Request, found bool, err error) {
	path, found := attributes[AttrPath]
	if !found {
		return r, false, nil
	}
	r = Request{Method: attributes[AttrMethod], Path: path}
	if text, ok := attributes[AttrHeaders]; ok {
		if err := json.Unmarshal([]byte(text), &r.Headers); err != nil {
			return r, true, fmt.Errorf("attribute %s: not a JSON object of texts", AttrHeaders)
		}
	}
	r.Empty = r.Headers[contentLength] == "0"
	delete(r.Headers, contentLength)
	if err := r.check(); err != nil {
		return r, true, err
	}
	if decoded, _ := r.decoded(); !Below(decoded, prefixes) {
		return r, true, fmt.Errorf("attribute %s %q: not below an allowed path (--path-prefix)", AttrPath, path)
	}
	return r, true, nil
}

// Below reports whether a decoded path equals one of the prefixes or is below one.
func Below(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		prefix = strings.TrimSuffix(prefix, "/")
		rest, ok := strings.CutPrefix(path, prefix)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// CheckPrefix returns an error for an invalid prefix.
func CheckPrefix(prefix string) error {
	if !strings.HasPrefix(prefix, "/") || strings.ContainsAny(prefix, "?#%") || strings.Contains(prefix, "//") {
		return fmt.Errorf("%q: must be a path that begins with one slash, without ?, # and %%", prefix)
	}
	return checkSegments(prefix)
}

// CheckHeader returns the reason why a header field is never carried, nil if it may be.
func CheckHeader(name string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !isToken(name):
		return fmt.Errorf("%q: not the name of a header", name)
	case slices.Contains(secret, canonical):
		return fmt.Errorf("%s: would store a secret in the queue; use the worker's --target-token", canonical)
	case slices.Contains(own, canonical) || strings.HasPrefix(canonical, "X-Sqsonce-") ||
		strings.HasPrefix(canonical, "X-Aws-Sqsd-") || strings.HasPrefix(canonical, "Proxy-") || strings.HasPrefix(canonical, "Webhook-"):
		return fmt.Errorf("%s: belongs to one connection, or to the worker's own request", canonical)
	}
	return nil
}

var (
	secret = []string{"Authorization", "Cookie"}
	own    = []string{
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Host", contentLength,
		"Idempotency-Key", "Traceparent", "Prefer",
	}
)

// check returns an error for the first part of r that cannot be carried.
func (r Request) check() error {
	if !slices.Contains(Methods, r.Method) {
		return fmt.Errorf("method %q: must be one of %s", r.Method, strings.Join(Methods, ", "))
	}
	if len(r.Path) > maxPath {
		return fmt.Errorf("path: %d bytes with its query, more than %d", len(r.Path), maxPath)
	}
	if at := strings.IndexFunc(r.Path, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' }); at >= 0 {
		return fmt.Errorf("path: has a character at byte %d that is not percent-encoded", at)
	}
	decoded, err := r.decoded()
	if err != nil {
		return errors.New("path: is not percent-encoded")
	}
	if !strings.HasPrefix(decoded, "/") || strings.HasPrefix(decoded, "//") {
		return errors.New("path: must begin with one slash")
	}
	if err := checkSegments(decoded); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	for name, value := range r.Headers {
		if err := CheckHeader(name); err != nil {
			return fmt.Errorf("header %w", err)
		}
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f || c == '\uFFFD' }) {
			return fmt.Errorf("header %s: has a character that cannot be carried", name)
		}
	}
	return nil
}

// decoded returns the decoded path without the query.
func (r Request) decoded() (string, error) {
	path, _, _ := strings.Cut(r.Path, "?")
	return url.PathUnescape(path)
}

// maxEncodings bounds how often a path may be percent-encoded.
const maxEncodings = 5

// checkSegments refuses paths that a server might resolve to a parent folder. The path is decoded
// once, as most servers do: https://nginx.org/en/docs/http/ngx_http_core_module.html#location and
// Go's [url.URL.Path]. An application or a second server behind them may decode it again, so that
// ".." may be encoded several times.
func checkSegments(decoded string) error {
	for range maxEncodings {
		if err := checkDecoded(decoded); err != nil {
			return err
		}
		again := unescape(decoded)
		if again == decoded {
			return nil
		}
		decoded = again
	}
	return fmt.Errorf("is percent-encoded more than %d times", maxEncodings)
}

// checkDecoded refuses dot segments, also between backslashes or encoded slashes and before path
// parameters, and control characters.
func checkDecoded(path string) error {
	if strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return errors.New("has a control character")
	}
	for _, segment := range strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == '\\' }) {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			return fmt.Errorf("has the segment %q", segment)
		}
	}
	return nil
}

// escape matches an escape of a byte.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// unescape decodes the escapes in s, and keeps a % that begins none, as lenient servers do.
func unescape(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		c, _ := strconv.ParseUint(e[1:], 16, 8) // the pattern has matched
		return string([]byte{byte(c)})
	})
}

const (
	pathBytes  = "-._~!$&'()*+,;=:@[]/"
	queryBytes = pathBytes + "?\\^`{|}\""
)

// encode escapes all bytes except letters, digits, the given bytes, and existing escapes.
func encode(s, bytes string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		escaped := c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])
		if escaped || isAlphanumeric(c) || strings.IndexByte(bytes, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isAlphanumeric(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// isToken reports whether s can be the name of a header field.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// DefaultHeaders are the header fields that are carried by default.
var DefaultHeaders = []string{
	"Accept", "Accept-Language", "Content-Language", "Content-Type", "If-Match", "If-None-Match", "If-Unmodified-Since",
}
