package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// stuck handles messages: lost-… end UNKNOWN, bad-… REJECTED, others complete.
func stuck(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
	switch a, _ := dedupe.AttemptFrom(ctx); {
	case strings.HasPrefix(a.Name, "lost-"):
		return dedupe.Payload{}, &outcomeUnknown{}
	case strings.HasPrefix(a.Name, "bad-"):
		return dedupe.Payload{}, &permanent{}
	}
	return dedupe.Payload{}, nil
}

func TestNames(t *testing.T) {
	t.Run("list", testNamesList)
	t.Run("settle fifty", testNamesSettle)
	t.Run("bad order", testNamesBadOrder)
	t.Run("no list", testNamesNone)
}

func testNamesList(t *testing.T) {
	inVirtualTime(t, consoletest.Options{Hold: true, Handle: stuck}, func(t *testing.T, w *consoletest.Worker, c *client) {
		for i := range 120 {
			w.Send(t, w.QueueURL, fmt.Sprintf("lost-%d", i), nil)
		}
		w.Send(t, w.QueueURL, "bad-1", nil)
		w.Send(t, w.QueueURL, "fine", nil)
		time.Sleep(time.Minute)
		first := get[console.NameList](c, "/api/queues/sqsonce/names/list")
		if len(first.Names) != 100 || first.Next == "" || first.Names[0].Status != "UNKNOWN" || first.Names[0].Since == 0 {
			t.Fatalf("the first page is %+v", first)
		}
		second := get[console.NameList](c, "/api/queues/sqsonce/names/list?after="+strings.ReplaceAll(strings.ReplaceAll(first.Next, " ", "%20"), "#", "%23"))
		if len(second.Names) != 21 || second.Names[20].Name != "bad-1" || second.Names[20].Error != "card declined" {
			t.Errorf("the second page is %+v", second)
		}
		if got := get[console.NameList](c, "/api/queues/sqsonce/names/list?status=rejected&prefix=bad&older=10s"); len(got.Names) != 1 {
			t.Errorf("the list is %+v", got)
		}
		for _, bad := range []string{"status=done", "older=x", "after=x"} {
			if rec := c.ask(http.MethodGet, "/api/queues/sqsonce/names/list?"+bad, nil); rec.Code != http.StatusBadRequest {
				t.Errorf("%s answers %d", bad, rec.Code)
			}
		}
	})
}

func testNamesSettle(t *testing.T) {
	inVirtualTime(t, consoletest.Options{Hold: true, Handle: stuck}, func(t *testing.T, w *consoletest.Worker, c *client) {
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprintf("lost-%d", i))
			w.Send(t, w.QueueURL, names[i], nil)
		}
		w.Send(t, w.QueueURL, "bad-1", nil)
		time.Sleep(time.Minute)
		settle := func(in console.Settle) console.Settled {
			return decode[console.Settled](t, c.act("/api/queues/sqsonce/names/settle", in).Body.Bytes())
		}
		if plan := settle(console.Settle{Verb: "completed", Names: append(names, "bad-1"), Preview: true}); plan.Done != 50 || plan.Names[50].Why == "" {
			t.Fatalf("the preview is %+v", plan)
		}
		if got := settle(console.Settle{Verb: "completed", Names: names[:49], Result: []byte(`{"by":"hand"}`)}); got.Done != 49 {
			t.Fatalf("the report is %+v", got)
		}
		story := get[console.Story](c, "/api/queues/sqsonce/names?name=lost-7")
		if r := story.Record; r.Status != "COMPLETED" || r.Result != `{"by":"hand"}` || r.Verb != "resolve" || !strings.HasPrefix(r.VerbBy, "console, 127.0.0.1") || r.VerbAt == 0 {
			t.Errorf("the record is %+v", r)
		}
		if got := settle(console.Settle{Verb: "retry", Names: names[49:]}); got.Done != 1 {
			t.Errorf("the report is %+v", got)
		}
		step := last[console.RedriveStep](t, c.act("/api/queues/sqsonce/dead/redrive", console.Redrive{Names: names[49:]}))
		if step.Moved+step.Returned != 1 {
			t.Errorf("the redrive ends with %+v", step)
		}
		if got := settle(console.Settle{Verb: "forget", Names: []string{"bad-1"}}); got.Done != 1 {
			t.Errorf("the report is %+v", got)
		}
	})
}

func testNamesBadOrder(t *testing.T) {
	c := newClient(t, consoletest.New(t, consoletest.Options{}).Handler)
	for _, order := range []console.Settle{
		{}, {Verb: "delete", Names: []string{"a"}}, {Verb: "retry"}, {Verb: "retry", Names: make([]string, 1001)},
		{Verb: "retry", Names: []string{"a"}, Result: []byte("1")}, {Verb: "completed", Names: []string{"a"}, Result: []byte(`"` + strings.Repeat("x", 5000) + `"`)},
	} {
		if rec := c.act("/api/queues/sqsonce/names/settle", order); rec.Code != http.StatusBadRequest {
			t.Errorf("%.100v answers %d %s", order, rec.Code, rec.Body)
		}
	}
}

func testNamesNone(t *testing.T) {
	c := newClient(t, consoletest.New(t, consoletest.Options{Edit: func(s *consoletest.Showing) { s.Lister = noList{} }}).Handler)
	if rec := c.ask(http.MethodGet, "/api/queues/sqsonce/names/list", nil); rec.Code != http.StatusNotImplemented || !strings.Contains(rec.Body.String(), "no list of names is kept") {
		t.Errorf("it answers %d %s", rec.Code, rec.Body)
	}
}

type noList struct{}

func (noList) List(context.Context, listing.Query) (listing.Page, error) {
	return listing.Page{}, errors.Join(listing.ErrNoList)
}

func TestWithoutAWorker(t *testing.T) {
	t.Run("routes", testWithoutWorker)
	t.Run("closed", testClosed)
	t.Run("other workers", testOtherWorkers)
}

// alone returns a console for the queue and the store of a worker in another process.
func alone(t *testing.T, w *consoletest.Worker, edit func(*console.Config)) http.Handler {
	t.Helper()
	q := w.Showing
	q.History, q.Pool, q.Local = nil, nil, false
	cfg := console.Config{Queues: []console.QueueConfig{q}, Closed: true, By: "alice@laptop", Logger: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&cfg)
	}
	h, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func testWithoutWorker(t *testing.T) {
	inVirtualTime(t, consoletest.Options{Hold: true, Handle: stuck}, func(t *testing.T, w *consoletest.Worker, _ *client) {
		w.Send(t, w.QueueURL, "lost-1", nil)
		time.Sleep(time.Minute)
		c := newClient(t, alone(t, w, nil))
		session := get[console.Session](c, "/api/session")
		if q := session.Queues[0]; q.Pool || !q.Listed || !q.Settle || !q.Purge || q.Workers || !session.Closed || session.Drain {
			t.Errorf("the session is %+v", session)
		}
		if got := get[map[string]map[string]any](c, "/api/queues/sqsonce/status"); got["status"]["queue"].(map[string]any)["dead"] != 1.0 {
			t.Errorf("the depth is %v", got)
		}
		if got := get[console.NameList](c, "/api/queues/sqsonce/names/list"); len(got.Names) != 1 {
			t.Errorf("the list is %+v", got)
		}
		if story := get[console.Story](c, "/api/queues/sqsonce/names?name=lost-1"); !story.Found || story.Events == nil || story.Record.HeldHere {
			t.Errorf("the story is %+v", story)
		}
		if rec := c.act("/api/queues/sqsonce/names/settle", console.Settle{Verb: "completed", Names: []string{"lost-1"}}); rec.Code != http.StatusOK {
			t.Errorf("settle answers %d %s", rec.Code, rec.Body)
		}
		if r := get[console.Story](c, "/api/queues/sqsonce/names?name=lost-1").Record; r.Verb != "resolve" || !strings.HasPrefix(r.VerbBy, "alice@laptop console, ") {
			t.Errorf("the record is %+v", r)
		}
		if rec := c.act("/api/queues/sqsonce/forget", map[string]any{"name": "lost-1"}); rec.Code != http.StatusOK {
			t.Errorf("forget answers %d %s", rec.Code, rec.Body)
		}
		for _, path := range []string{"pause", "resume", "send"} {
			if rec := c.act("/api/queues/sqsonce/"+path, map[string]any{"name": "a"}); rec.Code != http.StatusNotFound {
				t.Errorf("%s answers %d", path, rec.Code)
			}
		}
		if rec := c.ask(http.MethodGet, "/api/queues/sqsonce/stream", nil); rec.Code != http.StatusNotFound {
			t.Errorf("the stream answers %d", rec.Code)
		}
	})
}

// Beyond loopback nothing can be read without the token.
func testClosed(t *testing.T) {
	w := consoletest.New(t, consoletest.Options{})
	h := alone(t, w, func(c *console.Config) { c.AdminToken = "0123456789abcdef" })
	ask := func(remote, token, path string) int {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		r.Host, r.RemoteAddr = "127.0.0.1:9091", remote
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	for _, path := range []string{"names?name=a", "names/list", "config", "status"} {
		path = "/api/queues/sqsonce/" + path
		if got := ask("192.0.2.7:4711", "", path); got != http.StatusUnauthorized {
			t.Errorf("%s answers a stranger %d", path, got)
		}
		if got := ask("192.0.2.7:4711", "0123456789abcdef", path); got != http.StatusOK {
			t.Errorf("%s answers the token %d", path, got)
		}
		if got := ask("127.0.0.1:4711", "", path); got != http.StatusOK {
			t.Errorf("%s answers this machine %d", path, got)
		}
	}
	if got := ask("192.0.2.7:4711", "", "/api/session"); got != http.StatusOK {
		t.Errorf("the session answers %d: the page could not offer the login", got)
	}
}

func testOtherWorkers(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Concurrency: 7})
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	c := newClient(t, alone(t, w, func(c *console.Config) { c.Workers = []string{w.Server.URL, gone.URL, "http://127.0.0.1:1"} }))
	got := get[struct {
		Workers []console.WorkerRow `json:"workers"`
	}](c, "/api/queues/sqsonce/workers").Workers
	if len(got) != 3 || got[0].URL != w.Server.URL || got[0].Error != "" || got[0].Slots != 7 || got[0].Version != "v1.4.0" || got[0].State == "" {
		t.Fatalf("the workers are %+v", got)
	}
	if !strings.Contains(got[1].Error, "404") || got[2].Error == "" {
		t.Errorf("those that are none say %q and %q", got[1].Error, got[2].Error)
	}
}
