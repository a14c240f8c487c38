// Package target sends messages to an HTTP target, one POST each. The answer tells whether the work
// is done, must be tried again, or cannot be done.
package target

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	defaultTimeout   = 30 * time.Second
	defaultMaxResult = 64 << 10
)

// defaultPermanent are the statuses that blame the message.
var defaultPermanent = []int{
	http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge,
	http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
}

// Config configures a [Target]. Only URL is required.
type Config struct {
	URL               string        // http, https, h2c (HTTP/2 without TLS), or unix:///path/of/socket (requests the path /)
	Timeout           time.Duration // of one attempt, from the connection to the last byte; 0 means 30 s
	PermanentStatuses []int         // 400 to 599; nil means 400, 410, 413, 415 and 422
	Queue             string        // name of the queue, for X-Aws-Sqsd-Queue
	Token             string        // bearer token; may be empty
	Secret            string        // signs requests by Standard Webhooks: whsec_ and base64, or any text; may be empty
	Sqsd              bool          // imitate Elastic Beanstalk's daemon; only 200 is success, and no status blames the message
	Version           string        // of sqsonce, for the User-Agent with Sqsd
	MaxResult         int           // bytes of a response body that are kept; 0 means 64 KiB
	HTTP              *http.Client  // only its Transport is used; nil means a transport made for a worker

	// Dial connects to the target if HTTP is nil. Default: TCP, or the Unix socket.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Target posts messages. It is safe for concurrent use.
type Target struct {
	url           string
	timeout       time.Duration
	permanent     []int
	queue         string
	authorization string
	key           []byte // nil if requests are not signed
	maxResult     int
	sqsd          bool
	userAgent     string
	transport     http.RoundTripper
	ours          bool // the transport reports sent bytes
}

// New returns a target. Its error lists every invalid field of cfg.
func New(cfg Config) (*Target, error) {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	t := &Target{timeout: cfg.Timeout, permanent: cfg.PermanentStatuses, queue: cfg.Queue, maxResult: cfg.MaxResult}
	if t.timeout == 0 {
		t.timeout = defaultTimeout
	}
	if t.timeout < 0 {
		bad("target timeout %s: must be positive", t.timeout)
	}
	t.sqsd, t.userAgent = cfg.Sqsd, userAgent
	switch {
	case cfg.Sqsd:
		t.permanent, t.userAgent = []int{}, "aws-sqsd/3.0 (sqsonce/"+cmp.Or(cfg.Version, "unknown")+")"
	case t.permanent == nil:
		t.permanent = defaultPermanent
	}
	for _, status := range t.permanent {
		if status < 400 || status > 599 {
			bad("permanent status %d: must be from 400 to 599", status)
		}
	}
	if t.maxResult == 0 {
		t.maxResult = defaultMaxResult
	}
	if t.maxResult < 0 {
		bad("max result %d: must be positive", t.maxResult)
	}
	if cfg.Secret != "" {
		key, err := signingKey(cfg.Secret)
		if err != nil {
			problems = append(problems, err)
		}
		t.key = key
	}

	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad("target token: contains a space, a line break or another character that a header cannot carry")
	}

	address, way, err := parseURL(cfg.URL)
	if err != nil {
		problems = append(problems, err)
	} else {
		t.authorization = authorization(cfg.Token, address.User)
		address.User = nil
		t.url = address.String()
	}
	switch {
	case cfg.HTTP == nil:
		t.transport, t.ours = newTransport(way, cfg.Dial), true
	case way != (route{}):
		bad("target URL: a Unix socket and h2c need the built-in HTTP client")
	case cfg.HTTP.Transport == nil:
		t.transport = http.DefaultTransport
	default:
		t.transport = cfg.HTTP.Transport
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	t.permanent = slices.Clone(t.permanent)
	return t, nil
}

// route describes a connection other than HTTP/1.1 over TCP.
type route struct {
	socket string // path of the Unix socket; empty for TCP
	http2  bool   // HTTP/2 from the first byte
}

// parseURL returns the URL for requests and the route to the target.
func parseURL(raw string) (*url.URL, route, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// Without err, because its text contains the URL with its password.
		return nil, route{}, errors.New("target URL: not a URL")
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, route{}, fmt.Errorf("target URL %q: want unix:///absolute/path", Redacted(u))
		}
		return &url.URL{Scheme: "http", Host: "localhost", Path: "/"}, route{socket: u.Path}, nil
	case "http", "https", "h2c":
	default:
		return nil, route{}, fmt.Errorf("target URL %q: want http, https, h2c or unix", Redacted(u))
	}
	if u.Hostname() == "" {
		return nil, route{}, fmt.Errorf("target URL %q: has no host", Redacted(u))
	}
	way := route{http2: u.Scheme == "h2c"}
	if way.http2 {
		u.Scheme = "http"
	}
	return u, way, nil
}

// hidden replaces text that may be a secret in a URL.
const hidden = "xxxxx"

// Redacted returns u for logs and pages, without its user, query values and fragment, because any
// of these may be a secret.
func Redacted(u *url.URL) string {
	shown := *u
	if u.User != nil {
		shown.User = url.User(hidden)
	}
	if u.Opaque != "" {
		shown.Opaque = hidden
	}
	if u.Fragment != "" {
		shown.Fragment, shown.RawFragment = hidden, ""
	}
	if u.RawQuery != "" {
		fields := strings.Split(u.RawQuery, "&")
		for i, field := range fields {
			key, _, valued := strings.Cut(field, "=")
			if fields[i] = hidden; valued {
				fields[i] = key + "=" + hidden
			}
		}
		shown.RawQuery = strings.Join(fields, "&")
	}
	return shown.String()
}

// authorization returns the value of the Authorization header: the token, or else the user and
// password of the URL, or nothing.
func authorization(token string, user *url.Userinfo) string {
	switch {
	case token != "":
		return "Bearer " + token
	case user != nil:
		password, _ := user.Password()
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	default:
		return ""
	}
}
