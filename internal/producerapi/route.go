package producerapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// routes finds the operation of a request. It is huma's adapter, because
// [http.ServeMux] redirects names such as ".." and reads a path only as
// [url.URL.EscapedPath] has it.
type routes struct {
	fixed map[string]methods // by path
	named []namedRoute       // paths with a name in them
	serve http.HandlerFunc
}

// methods are the operations at one path, by method.
type methods map[string]*operation

// namedRoute are the operations at a path with a name in it.
type namedRoute struct {
	path, before, after string // before and after the name
	methods             methods
}

// operation is one of the API's operations.
type operation struct {
	*huma.Operation
	handle func(huma.Context)
}

// Keys of an operation's metadata. A key that is there is true.
const (
	isOpen  = "open"  // needs no token even where tokens are set
	isQuiet = "quiet" // asked all the time: logged at debug level
)

// is reports whether the operation has the metadata key.
func (o *operation) is(key string) bool {
	if o == nil {
		return false
	}
	_, ok := o.Metadata[key]
	return ok
}

// route is the operation's path in the document, or "".
func (o *operation) route() string {
	if o == nil {
		return ""
	}
	return o.Path
}

// isOperators reports whether the operation is for operators only.
func (o *operation) isOperators() bool { return slices.Contains(o.Tags, tagOperators) }

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

// find returns the operations at a request's path and the name in it. The path
// is looked at as it was sent, so that a name may hold any character: a slash in
// it is %2F.
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

// sentPath is the path as it was sent. EscapedPath is not that where a character
// was sent as it is that should be escaped: it escapes the whole path again, and
// a slash in a name no more.
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

// allow is the value of the Allow header.
func (m methods) allow() string {
	all := slices.Collect(maps.Keys(m))
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

const messagesPrefix = "/messages/"

// location is the path of a name's record. A lone dot or two in a path would be
// taken for a directory by every client and proxy on the way.
func location(name string) string {
	if name == "." || name == ".." {
		return "/messages?name=" + name
	}
	return messagesPrefix + url.PathEscape(name)
}
