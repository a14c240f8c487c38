package producerapi

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sqsonce/sqsonce/internal/admin"
)

// routes finds the operation of a request. It replaces [http.ServeMux] as huma's adapter, because
// that redirects names such as ".." and uses [url.URL.EscapedPath], not the path that was sent.
type routes struct {
	fixed map[string]methods // by path
	named []namedRoute       // paths that contain a name
	serve http.HandlerFunc
}

// methods are the operations at one path, by method.
type methods map[string]*operation

// namedRoute holds the operations at a path that contains a name.
type namedRoute struct {
	path, before, after string // before and after the name
	methods             methods
}

// operation is an operation of the API.
type operation struct {
	*huma.Operation
	handle func(huma.Context)
}

// Keys of an operation's metadata. A present key is true.
const (
	isOpen   = "open"    // needs no token, and accepts every query
	isQuiet  = "quiet"   // called often: logged at debug level
	anyQuery = "queries" // accepts every query
)

// is reports whether the operation has the metadata key.
func (o *operation) is(key string) bool {
	if o == nil {
		return false
	}
	_, ok := o.Metadata[key]
	return ok
}

// route returns the operation's path in the document, or "".
func (o *operation) route() string {
	if o == nil {
		return ""
	}
	return o.Path
}

// isOperators reports whether the operation is for operators only.
func (o *operation) isOperators() bool { return slices.Contains(o.Tags, tagOperators) }

// checkQuery returns a [*problem] if the query has another parameter than those of the operation,
// or one of them twice. huma reads the first value, and ignores other parameters.
func (o *operation) checkQuery(r *http.Request) error {
	if o.is(anyQuery) {
		return nil
	}
	var known []string
	for _, p := range o.Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	if bad, ok := errors.AsType[*admin.QueryError](admin.CheckQuery(r, known...)); ok {
		return badRequest(bad.Field, bad.Problem)
	}
	return nil
}

// Handle implements [huma.Adapter].
func (t *routes) Handle(op *huma.Operation, handle func(huma.Context)) {
	t.at(op.Path)[op.Method] = &operation{op, handle}
}

// ServeHTTP implements [huma.Adapter].
func (t *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.serve(w, r) }

const nameInPath = "{name}"

// at returns the operations at a path of the document.
func (t *routes) at(path string) methods {
	before, after, ok := strings.Cut(path, nameInPath)
	if !ok {
		if t.fixed[path] == nil {
			t.fixed[path] = make(methods)
		}
		return t.fixed[path]
	}
	for _, n := range t.named {
		if n.path == path {
			return n.methods
		}
	}
	t.named = append(t.named, namedRoute{path, before, after, make(methods)})
	return t.named[len(t.named)-1].methods
}

// find returns the operations at a request's path, and the name in it. It uses the path that was
// sent, so that a name may hold any character: a slash is %2F.
func (t *routes) find(r *http.Request) (at methods, name string, found bool, err error) {
	path := sentPath(r.URL)
	if at, ok := t.fixed[path]; ok {
		return at, "", true, nil
	}
	for _, n := range t.named {
		rest, ok := strings.CutPrefix(path, n.before)
		segment, fits := strings.CutSuffix(rest, n.after)
		if ok && fits && segment != "" && !strings.Contains(segment, "/") {
			name, err = url.PathUnescape(segment)
			return n.methods, name, true, err
		}
	}
	return nil, "", false, nil
}

// sentPath returns the path that was sent. EscapedPath differs if a character was sent unescaped
// that should be escaped: it then escapes the whole path anew, and loses the %2F of a slash in a
// name.
func sentPath(u *url.URL) string {
	if path, err := url.PathUnescape(u.RawPath); err == nil && path == u.Path {
		return u.RawPath
	}
	return u.EscapedPath()
}

// operation returns the operation of a method, or nil. HEAD is GET without a body.
func (m methods) operation(method string) *operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return m[method]
}

// allow returns the value of the Allow header.
func (m methods) allow() string {
	all := slices.Collect(maps.Keys(m))
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

const messagesPrefix = "/messages/"

// location returns the address of a name's record. The names "." and ".." are in the query, because
// clients and proxies would remove them from a path.
func location(name string) string {
	if name == "." || name == ".." {
		return "/messages?name=" + name
	}
	return messagesPrefix + url.PathEscape(name)
}
