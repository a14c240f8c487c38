package producercmd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/sqstest"
)

// answerProblem writes a problem document like the API's.
func answerProblem(w http.ResponseWriter, status int, field, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%d,"field":%q,"detail":%q}`, status, field, detail)
}

// Only an answer of the API itself means that a name has no record.
func TestAddressWithoutAnAPI(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"bare 404": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"page": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<h1>gone</h1>")
		},
		"problem of another": func(w http.ResponseWriter) { answerProblem(w, http.StatusNotFound, "", "nothing is at /messages/a") },
		"another document": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"name":"b","status":"COMPLETED","final":true}`)
		},
		"no JSON": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "ok") },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
			defer server.Close()
			for _, verb := range []string{"status", "forget"} {
				got := producer(t, "", verb, "a", "--url", server.URL).want(1)
				if strings.Contains(got.err, "has no record") {
					t.Errorf("%s believed it: %s", verb, got.err)
				}
				got.says(server.URL)
			}
			if got := producer(t, "", "status", "a", "--watch", "--url", server.URL).want(1); got.out != "" {
				t.Errorf("it goes on watching: %s", got.out)
			}
		})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answerProblem(w, http.StatusNotFound, "name", "nothing is known of it")
	}))
	defer server.Close()
	producer(t, "", "status", "a", "--url", server.URL).want(1).says(`"a" has no record`)
}

func TestRedirectToNothing(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	server := httptest.NewServer(http.RedirectHandler(gone.URL+"/elsewhere", http.StatusTemporaryRedirect))
	defer server.Close()
	producer(t, "", "status", "a", "--url", server.URL).want(1).says("nothing listens at " + gone.URL + "/elsewhere, to which " + server.URL + " redirects")
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	for name, begin := range map[string]func(http.ResponseWriter){
		"no answer":   func(http.ResponseWriter) {},
		"half of one": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "{"); w.(http.Flusher).Flush() },
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			begin(w)
			select {
			case <-r.Context().Done():
			case <-done:
			}
		}))
		t.Cleanup(server.Close)
		for _, args := range []string{"status a", "send --name a", "dlq ls", "resolve a --retry", "forget a", "replay --name a"} {
			if strings.HasPrefix(args, "dlq") {
				continue // the API may take 90 s for it
			}
			got := producer(t, "", append(strings.Fields(args), "--timeout", "20ms", "--url", server.URL)...).want(1)
			if !strings.Contains(got.err, "--timeout") {
				t.Errorf("%s, %s: %s", name, args, got.err)
			}
		}
	}
	close(done)
}

// direct sets the endpoints of these servers, and returns flags that use them.
func direct(t *testing.T, sqsURL string) []string {
	t.Helper()
	r := realRig(t, "producer-direct")
	t.Setenv("AWS_ENDPOINT_URL_SQS", sqsURL)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", emulators.DynamoDB(t))
	return r.backend
}

func TestDirect(t *testing.T) {
	var calls atomic.Int64
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"ops is not authorized to perform: sqs:SendMessage"}`)
	}))
	defer denied.Close()
	empty := httptest.NewServer(sqstest.New(sqstest.Config{}))
	defer empty.Close()
	for name, tc := range map[string]struct{ url, says string }{
		"access denied":   {denied.URL, "not authorized to perform: sqs:SendMessage"},
		"no such queue":   {empty.URL, "does not exist"},
		"nothing listens": {"http://127.0.0.1:1", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := direct(t, tc.url)
			for _, args := range []string{"send --name z", "dlq ls", "dlq redrive", "dlq purge --yes"} {
				calls.Store(0)
				producer(t, "", append(strings.Fields(args), flags...)...).want(1).says(tc.says)
				if n := calls.Load(); n > 1 {
					t.Errorf("%s: %d calls, although none can succeed", args, n)
				}
			}
			producer(t, lines(1, 3), append([]string{"send"}, flags...)...).want(1).says(tc.says, "--skip 0")
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.do("send", "--name", "waits", "--wait", "1s").want(exitNotFinal).says("queued", "no final status after 1s")
	r.do("send", "--name", "waits", "--wait", "1s", "--json").want(exitNotFinal)
	r.fail = func(name string) error {
		if name == "bad" {
			return errBad
		}
		return nil
	}
	r.work(1)
	r.do("send", "--name", "bad", "--wait", "20s", "--json").want(exitRejected)
	r.do("status", "bad").want(exitRejected).says("REJECTED")
	r.do("status", "bad", "--watch", "--json").want(exitRejected)
	r.do("send", "--name", "good", "--wait", "20s").want(0)
	r.do("status", "good").want(0)
	r.do("forget", "nothing").want(1).says("nothing is known of it", "1 name not changed")
	r.do("resolve", "good", "--completed", "--result", `"done"`).want(0)
	r.do("resolve", "good", "--completed", "--result", `{"x":1}`).want(1).says("409", "another result")
}

// Flags that confirm or re-open cannot be set by the environment, which many commands share.
func TestDangerousFlags(t *testing.T) {
	r := localRig(t)
	for _, flag := range []string{"YES", "FORCE", "REOPEN_UNKNOWN", "COMPLETED", "RETRY", "ONE_BY_ONE"} {
		t.Setenv("SQSONCE_"+flag, "true")
	}
	for name, value := range map[string]string{"RATE": "50", "CONCURRENCY": "7", "NAME": "y", "TIMEOUT": "1ns", "REASON": "z", "RESULT": "1", "SETTLE": "1ns"} {
		t.Setenv("SQSONCE_"+name, value)
	}
	r.do("dlq", "purge").want(1).says("nothing was deleted")
	r.do("dlq", "redrive", "--name", "x").want(1).says(`no message of name "x" is in`)
	r.do("resolve", "x").want(2).says("--completed", "--retry")
	r.do("replay").want(2).says("--name")
	if help := producer(t, "", "dlq", "redrive", "--help").out; strings.Contains(help, "SQSONCE_REOPEN_UNKNOWN") {
		t.Errorf("help offers the variable: %s", help)
	}
	if depth := decode[producerapi.Depth](r.get("/queue")); depth.Visible != 0 {
		t.Errorf("depth is %+v", depth)
	}
}
