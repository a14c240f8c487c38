package producerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/danielgtaylor/huma/v2"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// sightings holds some responses of each kind from all tests. They are checked against the document
// after the tests.
type sightings struct {
	mu    sync.Mutex
	kinds map[string]int
	all   []sighting
}

type sighting struct {
	method, target string
	status         int
	header         http.Header
	body           []byte
}

var seen sightings

// enough is the number of checked responses of one operation and status.
const enough = 50

func (s *sightings) note(r *http.Request, w *httptest.ResponseRecorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := operationOf(sentPath(r.URL)) + " " + r.Method + strconv.Itoa(w.Code)
	if s.kinds == nil {
		s.kinds = make(map[string]int)
	}
	if s.kinds[kind]++; s.kinds[kind] <= enough {
		s.all = append(s.all, sighting{r.Method, sentPath(r.URL), w.Code, w.Header().Clone(), bytes.Clone(w.Body.Bytes())})
	}
}

// operationOf returns the path of the document that matches a request's path; empty if there is
// none.
func operationOf(path string) string {
	if name, ok := strings.CutPrefix(path, "/schedules/"); ok && name != "" && !strings.Contains(name, "/") {
		return "/schedules/{name}"
	}
	rest, ok := strings.CutPrefix(path, messagesPrefix)
	_, verb, below := strings.Cut(rest, "/")
	switch {
	case !ok:
		return path
	case rest == "":
		return ""
	case !below:
		return "/messages/{name}"
	case verb == "resolve":
		return "/messages/{name}/resolve"
	default:
		return ""
	}
}

// document returns the API's document.
func document() (*huma.OpenAPI, error) {
	keys, err := names.New(names.Config{})
	if err != nil {
		return nil, err
	}
	api, err := New(Config{
		SQS: &sqs.Client{}, QueueURL: "q", Records: memstore.New(), Scope: scope, Keys: keys, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	return api.huma.OpenAPI(), nil
}

// methodsOf returns the operations at a path, by method.
func methodsOf(item *huma.PathItem) map[string]*huma.Operation {
	all := make(map[string]*huma.Operation)
	if item == nil {
		return all
	}
	for method, op := range map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete,
		http.MethodPatch: item.Patch, http.MethodHead: item.Head, http.MethodOptions: item.Options, http.MethodTrace: item.Trace,
	} {
		if op != nil {
			all[method] = op
		}
	}
	return all
}

// check compares a response with the document.
func (s sighting) check(doc *huma.OpenAPI) error {
	item := doc.Paths[operationOf(s.target)]
	method := s.method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op := methodsOf(item)[method]
	switch {
	case item == nil && s.status == http.StatusNotFound, item != nil && op == nil && s.status == http.StatusMethodNotAllowed:
		return nil // the document mentions it in its description
	case op == nil:
		return errors.New("the document knows no such operation")
	}
	response := op.Responses[strconv.Itoa(s.status)]
	if response == nil {
		return errors.New("the document does not know this status")
	}
	if name, ok := strings.CutPrefix(response.Ref, "#/components/responses/"); ok {
		response = doc.Components.Responses[name]
	}
	if s.header.Get("X-Content-Type-Options") != "nosniff" {
		return errors.New("a browser may take the answer for another type")
	}
	for name := range s.header {
		if _, ok := response.Headers[name]; !ok && !slices.Contains(silent, name) {
			return fmt.Errorf("the document does not know the header %s", name)
		}
	}
	for name, h := range response.Headers {
		if h.Required && s.header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	if s.method == http.MethodHead || s.status == http.StatusNotModified {
		return nil
	}
	return s.checkBody(doc, response)
}

// checkBody compares the body of a response with its schema.
func (s sighting) checkBody(doc *huma.OpenAPI, response *huma.Response) error {
	media := response.Content[s.header.Get("Content-Type")]
	if media == nil {
		return errors.New("the document does not know this media type")
	}
	var body any
	if err := json.Unmarshal(s.body, &body); err != nil {
		return err
	}
	var found huma.ValidateResult
	huma.Validate(doc.Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, &found)
	return errors.Join(found.Errors...)
}

// silent are headers that the document need not mention.
var silent = []string{"Content-Type", "X-Content-Type-Options", "Connection", "X-Request-Id", "Cache-Control", "Etag", "Www-Authenticate"}

func TestMain(m *testing.M) {
	code := m.Run()
	doc, err := document()
	if err != nil {
		fmt.Fprintln(os.Stderr, "document:", err)
		os.Exit(1)
	}
	for _, s := range seen.all {
		if err := s.check(doc); err != nil {
			fmt.Fprintf(os.Stderr, "%s %s answered %d, which the document does not cover: %v\n  %v\n  %.300s\n", s.method, s.target, s.status, err, s.header, s.body)
			code = 1
		}
	}
	os.Exit(code)
}

// brokenStore is a store that panics.
type brokenStore struct{ dedupe.Store }

func (brokenStore) Get(context.Context, string) (protocol.Record, error) { panic("broken") }
func (brokenStore) List(context.Context, listing.Query) (listing.Page, error) {
	panic("broken")
}

// downLister is a lister that is down.
type downLister struct{}

func (downLister) List(context.Context, listing.Query) (listing.Page, error) {
	return listing.Page{}, errors.New("down")
}

// slowBody is a body that does not arrive in time.
type slowBody struct{}

func (slowBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (slowBody) Close() error             { return nil }

// operations returns a valid request for each operation of the document.
var operations = map[string]struct{ method, target, body string }{
	"POST /":                        {http.MethodPost, "/", body("new")},
	"POST /messages":                {http.MethodPost, "/messages", body("new")},
	"GET /messages":                 {http.MethodGet, "/messages?name=done", ""},
	"DELETE /messages":              {http.MethodDelete, "/messages?name=done", ""},
	"POST /messages:batch":          {http.MethodPost, "/messages:batch", "[" + body("new") + "]"},
	"GET /messages/{name}":          {http.MethodGet, "/messages/done", ""},
	"DELETE /messages/{name}":       {http.MethodDelete, "/messages/done", ""},
	"DELETE /schedules/{name}":      {http.MethodDelete, "/schedules/new", ""},
	"POST /messages/{name}/resolve": {http.MethodPost, "/messages/done/resolve", `{"outcome":"completed"}`},
	"GET /queue":                    {http.MethodGet, "/queue", ""},
	"GET /names":                    {http.MethodGet, "/names", ""},
	"POST /names":                   {http.MethodPost, "/names", `{"verb":"retry","names":["done"]}`},
	"GET /dlq":                      {http.MethodGet, "/dlq", ""},
	"DELETE /dlq":                   {http.MethodDelete, "/dlq", ""},
	"POST /dlq/redrive":             {http.MethodPost, "/dlq/redrive", `{}`},
	"GET /healthz":                  {http.MethodGet, "/healthz", ""},
	"GET /readyz":                   {http.MethodGet, "/readyz", ""},
	"GET /openapi.json":             {http.MethodGet, "/openapi.json", ""},
}

// produced records the responses of a bench.
type produced map[string]bool

func (p produced) do(b *bench, r *http.Request) {
	b.t.Helper()
	w := b.serve(r)
	p[r.Method+" "+operationOf(sentPath(r.URL))+" "+strconv.Itoa(w.Code)] = true
}

// everywhere sends a request to every operation of a bench.
func (p produced) everywhere(b *bench, change func(*http.Request)) {
	b.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		op := operations[name]
		r := request(op.method, op.target, op.body, bearer...)
		if change != nil {
			change(r)
		}
		p.do(b, r)
	}
}

// later sends requests about scheduled messages to a bench.
func (p produced) later(t *testing.T) {
	local := schedule.NewLocal(nil) // its schedules never become due
	t.Cleanup(local.Close)
	b := newBench(t, "orders", func(c *Config) { c.Scheduler, c.AuthTokens = local, []string{token} })
	for _, r := range []*http.Request{
		request(http.MethodPost, "/", body("a"), "X-Sqsonce-Delay", "3h"),
		request(http.MethodPost, "/messages:batch", `[{"name":"b","in":"3h"},{"name":"c","in":"soon"}]`, "X-Sqsonce-Delay-Field", "in"),
		request(http.MethodPost, "/", `{"name":"a","total":2}`, "X-Sqsonce-Delay", "3h"),
		request(http.MethodPost, "/messages", `{"name":"a","total":2}`, "X-Sqsonce-Delay", "3h"),
		request(http.MethodGet, "/messages/a", ""),
		request(http.MethodDelete, "/schedules/a", ""),
		request(http.MethodDelete, "/schedules/a", ""),
		request(http.MethodDelete, "/schedules/%00", ""),
	} {
		r.Header.Set("Authorization", bearer[1])
		p.do(b, r)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Run("every documented response is produced", testEveryDocumentedResponseIsProduced)
}

func testEveryDocumentedResponseIsProduced(t *testing.T) {
	got := make(produced)
	got.malformed(usualBench(t))
	got.broken(t)
	got.later(t)
	b := usualBench(t)
	got.one(b)
	got.documented(t, b)
}

// usualBench returns a bench with names of several statuses.
func usualBench(t *testing.T) *bench {
	t.Helper()
	b := operatorBench(t, "orders")
	b.record("done", b.claim("done", body("done")), complete("1"))
	b.record("busy", b.claim("busy", body("busy")))
	b.record("unknown", b.claim("unknown", body("unknown")), fail(protocol.FailUnknown, "?"))
	return b
}

// posts returns a change of POSTs alone.
func posts(change func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) {
		if r.Method == http.MethodPost {
			change(r)
		}
	}
}

// malformed sends requests that are refused for their form, and then each operation twice.
func (p produced) malformed(b *bench) {
	b.t.Helper()
	b.deadLetter("bad", "m-1", "rejected")
	p.everywhere(b, func(r *http.Request) { r.Header.Del("Authorization") })
	p.everywhere(b, func(r *http.Request) { r.Header.Set("X-Anything", strings.Repeat("x", maxHeader)) })
	p.everywhere(b, func(r *http.Request) { r.URL.RawQuery = "other=1" })
	p.everywhere(b, posts(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }))
	p.everywhere(b, posts(func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{")), 1 }))
	p.everywhere(b, posts(func(r *http.Request) { r.ContentLength = maxBatchBody + 1 }))
	p.everywhere(b, posts(func(r *http.Request) { r.Body, r.ContentLength = slowBody{}, -1 }))
	p.everywhere(b, nil)
	p.everywhere(b, nil) // forgetting and a second purge fail now
}

// broken sends requests to servers that refuse the client, lack something, or are in an outage.
func (p produced) broken(t *testing.T) {
	t.Helper()
	p.everywhere(newBench(t, "orders", nil), func(r *http.Request) { r.RemoteAddr, r.Host = "127.0.0.1:1234", "rebound.example" })
	limited := newBench(t, "orders", func(c *Config) { c.AuthTokens, c.ClientRate = []string{token}, 0.01 })
	limited.do(http.MethodGet, "/queue", "", bearer...)
	p.everywhere(limited, nil)
	broken := newBench(t, "orders", func(c *Config) {
		c.AuthTokens, c.Records, c.Scheduler = []string{token}, brokenStore{}, schedule.NewLocal(nil)
	})
	broken.api.cfg.SQS, broken.api.cfg.Keys, broken.api.dead = nil, nil, new(deadletter.Queue)
	p.everywhere(broken, nil)
	synctest.Test(t, func(t *testing.T) {
		b := usualBench(t)
		reader := &slowReader{Reader: b.store}
		reader.down.Store(true)
		down := newBench(t, "orders", func(c *Config) {
			c.Scheduler = schedule.NewLocal(nil)
			c.AuthTokens, c.Records = []string{token}, struct {
				dedupe.Reader
				dedupe.Store
				listing.Lister
			}{reader, b.store, downLister{}}
		})
		down.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
			return sqstest.Fault{Delay: time.Millisecond, Error: &sqstest.Error{Code: "ServiceUnavailable"}}
		})
		p.everywhere(down, nil)
	})
}

// one sends requests about single names, and then to a store that cannot list names.
func (p produced) one(b *bench) {
	b.t.Helper()
	for _, r := range []*http.Request{
		request(http.MethodPost, "/", body("done"), "Prefer", "wait=1"),
		request(http.MethodPost, "/", `{"name":"done","x":1}`, "Prefer", "wait=1"),
		request(http.MethodPost, "/messages", body("done"), "Prefer", "wait=1"),
		request(http.MethodPost, "/messages", `{"name":"done","x":1}`, "Prefer", "wait=1"),
		request(http.MethodPost, "/messages:batch", `[{"name":"a"},{}]`),
		request(http.MethodGet, "/messages/done", ""),
		request(http.MethodGet, "/messages?name=done", ""),
		request(http.MethodGet, "/messages", ""),
		request(http.MethodGet, "/messages?name=never", ""),
		request(http.MethodGet, "/messages?name=done", "", "If-None-Match", "*"),
		request(http.MethodGet, "/messages/done", "", "If-None-Match", "*"),
		request(http.MethodGet, "/messages/never", ""),
		request(http.MethodGet, "/messages/%00", ""),
		request(http.MethodDelete, "/messages", ""),
		request(http.MethodDelete, "/messages?name=busy", ""),
		request(http.MethodDelete, "/messages/busy", ""),
		request(http.MethodDelete, "/messages/%00", ""),
		request(http.MethodPost, "/messages/unknown/resolve", `{"outcome":"completed"}`),
		request(http.MethodPost, "/messages/done/resolve", `{"outcome":"retry"}`),
		request(http.MethodPost, "/messages/never/resolve", `{"outcome":"retry"}`),
		request(http.MethodGet, "/dlq?limit=0", ""),
		request(http.MethodGet, "/dlq?after=x", ""),
		request(http.MethodGet, "/names?older=x", ""),
	} {
		r.Header.Set("Authorization", bearer[1])
		p.do(b, r)
	}
	b.withoutDeadLetters()
	b.api.cfg.Records = struct{ dedupe.Reader }{b.store} // it cannot list names
	p.everywhere(b, nil)
	b.api.names = nil // as with a read-only store
	p.do(b, request(http.MethodPost, "/names", operations["POST /names"].body, bearer...))
}

// documented checks that the document has the routes of b and the responses of p.
func (p produced) documented(t *testing.T, b *bench) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths {
		for method, op := range methodsOf(item) {
			if _, ok := operations[method+" "+path]; !ok {
				t.Errorf("%s %s is documented, and not in this test's table", method, path)
			}
			for status := range op.Responses {
				if !p[method+" "+path+" "+status] {
					t.Errorf("%s %s never answered the documented %s", method, path, status)
				}
			}
		}
	}
	routes := 0
	for path, at := range b.api.routes.fixed {
		for method := range at {
			routes++
			if methodsOf(doc.Paths[path])[method] == nil {
				t.Errorf("%s %s is not documented", method, path)
			}
		}
	}
	for _, n := range b.api.routes.named {
		for method := range n.methods {
			routes++
			if methodsOf(doc.Paths[n.path])[method] == nil {
				t.Errorf("%s %s is not documented", method, n.path)
			}
		}
	}
	if routes != len(operations) {
		t.Errorf("%d routes, %d documented operations", routes, len(operations))
	}
}

func TestDocumentIsServed(t *testing.T) {
	b := newBench(t, "orders", nil)
	got := b.do(http.MethodGet, "/openapi.json", "").want(http.StatusOK)
	want, err := json.Marshal(b.api.huma.OpenAPI())
	if err != nil || !bytes.Equal(got.Body.Bytes(), want) {
		t.Errorf("another document is served: %v", err)
	}
	if decode[map[string]any](got)["openapi"] != "3.1.0" {
		t.Errorf("served %.100s", got.Body)
	}
}
