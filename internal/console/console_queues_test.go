package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

func TestQueues(t *testing.T) {
	var closed bool
	handler := func() http.Handler {
		return consoletest.New(t, consoletest.Options{Token: "sesame", Edit: func(s *consoletest.Showing) {
			s.Starting = []console.StartingQueue{{Name: "mails", Why: func() string { return "does not exist" }}}
			s.Closed = closed
		}}).Handler
	}
	var got struct{ Queues []console.QueueState }
	w := newClient(t, handler()).ask("GET", "/api/queues", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Queues) != 2 {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if q := got.Queues[0]; q.Name != "sqsonce" || q.State != "starting" || q.Slots != 50 || q.Why != "" {
		t.Errorf("the queue with a pool is %+v", q)
	}
	if q := got.Queues[1]; q.Name != "mails" || q.State != "starting" || q.Why != "does not exist" {
		t.Errorf("the queue that cannot start is %+v", q)
	}
	closed = true
	c := newClient(t, handler())
	c.from = "192.0.2.7:1"
	if w := c.ask("GET", "/api/queues", nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "mails") {
		t.Errorf("a closed console answers %d %s", w.Code, w.Body)
	}
}
