package producerapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// action answers one request, or returns a *[problem] (any other error is a
// fault of ours).
type action func(a *API, c *exchange) error

// endpoint is what can be done at one path.
type endpoint struct {
	methods actions
	open    bool // needs no token even where tokens are set
	quiet   bool // asked all the time; its requests are logged at debug level
}

// actions are what can be done at one path, by method.
type actions = map[string]action

// fixed are the paths without a name in them.
var fixed = map[string]endpoint{
	"/":               {methods: actions{http.MethodPost: (*API).postMessage}},
	"/messages":       {methods: actions{http.MethodPost: (*API).postMessage, http.MethodGet: (*API).getMessage, http.MethodDelete: (*API).deleteMessage}},
	"/messages:batch": {methods: actions{http.MethodPost: (*API).postBatch}},
	"/queue":          {methods: actions{http.MethodGet: (*API).getQueue}},
	"/dlq":            {methods: actions{http.MethodGet: (*API).getDeadLetters, http.MethodDelete: (*API).purgeDeadLetters}},
	"/dlq/redrive":    {methods: actions{http.MethodGet: (*API).getRedrive, http.MethodPost: (*API).postRedrive}},
	"/openapi.json":   {methods: actions{http.MethodGet: (*API).getOpenAPI}, open: true},
	"/healthz":        {methods: actions{http.MethodGet: (*API).getHealth}, open: true, quiet: true},
	"/readyz":         {methods: actions{http.MethodGet: (*API).getReady}, open: true, quiet: true},
}

// named are the paths below a name, by what follows it.
var named = map[string]endpoint{
	"":        {methods: actions{http.MethodGet: (*API).getMessage, http.MethodDelete: (*API).deleteMessage}},
	"resolve": {methods: actions{http.MethodPost: (*API).postResolve}},
}

const messagesPrefix = "/messages/"

// route finds the endpoint of a request and the name in its path. The path is
// looked at as it was sent, so that a name may hold any character: a slash in
// it is %2F.
func route(r *http.Request) (e endpoint, name string, found bool, err error) {
	path := sentPath(r.URL)
	if e, ok := fixed[path]; ok {
		return e, "", true, nil
	}
	rest, ok := strings.CutPrefix(path, messagesPrefix)
	if !ok || rest == "" {
		return endpoint{}, "", false, nil
	}
	segment, verb, below := strings.Cut(rest, "/")
	e, ok = named[verb]
	if !ok || below && verb == "" {
		return endpoint{}, "", false, nil
	}
	name, err = url.PathUnescape(segment)
	return e, name, true, err
}

// sentPath is the path as it was sent. EscapedPath is not that where a character
// was sent as it is that should be escaped: it escapes the whole path anew, and
// a slash in a name no more.
func sentPath(u *url.URL) string {
	if path, err := url.PathUnescape(u.RawPath); err == nil && path == u.Path {
		return u.RawPath
	}
	return u.EscapedPath()
}

// action returns what a method does here. HEAD is GET without a body.
func (e endpoint) action(method string) (action, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	do, ok := e.methods[method]
	return do, ok
}

// allow is the value of the Allow header.
func (e endpoint) allow() string {
	methods := slices.Collect(maps.Keys(e.methods))
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// location is the path of a name's record. A lone dot or two in a path would be
// taken for a directory by everybody in between.
func location(name string) string {
	if name == "." || name == ".." {
		return "/messages?name=" + name
	}
	return messagesPrefix + url.PathEscape(name)
}
