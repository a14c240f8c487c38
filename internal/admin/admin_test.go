package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealthEndpoints(t *testing.T) {
	broken := errors.New("no poll for 61s")
	of := func(q Queue) Config { q.Name = "orders"; return Config{Queues: []Queue{{Name: "mails"}, q}} }
	for name, tc := range map[string]struct {
		cfg    Config
		method string
		path   string
		status int
		reason string
	}{
		"healthy":          {of(Queue{Health: func(time.Time) error { return nil }}), "GET", "/healthz", 200, ""},
		"not healthy":      {of(Queue{Health: func(time.Time) error { return broken }}), "GET", "/healthz", 503, "queue orders: " + broken.Error()},
		"health not asked": {of(Queue{Ready: func() error { return broken }}), "GET", "/healthz", 200, ""},
		"ready":            {of(Queue{Ready: func() error { return nil }}), "GET", "/readyz", 200, ""},
		"one not ready":    {of(Queue{Ready: func() error { return broken }}), "GET", "/readyz", 200, ""},
		"none ready": {
			Config{Queues: []Queue{{Name: "orders", Ready: func() error { return broken }}, {Name: "bills", Ready: func() error { return broken }}}},
			"GET", "/readyz", 503, "queue orders: " + broken.Error() + "\nqueue bills: " + broken.Error(),
		},
		"process not ready": {Config{Ready: func() error { return broken }}, "GET", "/readyz", 503, broken.Error()},
		"readiness unasked": {of(Queue{Health: func(time.Time) error { return broken }}), "GET", "/readyz", 200, ""},
		"POST to health":    {Config{}, "POST", "/healthz", 405, ""},
		"DELETE to ready":   {Config{}, "DELETE", "/readyz", 405, ""},
		"unknown path":      {Config{}, "GET", "/nothing", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.Version = "v1.2.3"
			w := httptest.NewRecorder()
			New(tc.cfg).ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
			if w.Code != tc.status {
				t.Fatalf("status %d, want %d", w.Code, tc.status)
			}
			if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
				return
			}
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Reason != tc.reason || got.Version != "v1.2.3" || (got.Status == "ok") != (w.Code == http.StatusOK) {
				t.Errorf("answer is %+v", got)
			}
			for name, is := range got.Queues {
				if (is.Status == "ok") != (is.Reason == "") || name == "mails" && is.Status != "ok" {
					t.Errorf("of queue %s it says %+v", name, is)
				}
			}
		})
	}
}

func TestAdmin(t *testing.T) {
	t.Run("health is asked with the current time", testHealthIsAskedWithTheCurrentTime)
}

func testHealthIsAskedWithTheCurrentTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked time.Time
		h := New(Config{Queues: []Queue{{Health: func(now time.Time) error { asked = now; return nil }}}})
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if !asked.Equal(time.Now()) {
			t.Errorf("asked with %s at %s", asked, time.Now())
		}
	})
}

func TestVerbWithoutAQueue(t *testing.T) {
	plain := Queue{Name: "orders", Pause: func() {}} // calls no target
	for name, tc := range map[string]struct {
		queues []Queue
		path   string
		reason string
	}{
		"before the start": {nil, "/pause", "no queue has started yet"},
		"no such queue":    {[]Queue{plain}, "/pause?queue=mails", `queue "mails": not a queue of this worker`},
		"no target":        {[]Queue{plain}, "/believe", "believe: applies to no queue here, only to queues with a target"},
		"queue no target":  {[]Queue{plain}, "/believe?queue=orders", `queue "orders": believe applies only to queues with a target`},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, tc.path, nil)
			r.RemoteAddr, r.Host = "127.0.0.1:50000", "127.0.0.1:9090"
			New(Config{Queues: tc.queues}).ServeHTTP(w, r)
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != http.StatusNotFound || got.Reason != tc.reason {
				t.Errorf("answer is %d, %q", w.Code, got.Reason)
			}
		})
	}
}
