package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Messages that are small in the queue and large in the worker, or that never end to unpack.
func testHostileEnvelopes(t *testing.T) {
	l := startLocal(t, "--unwrap", "auto")
	packed := func(document string) string {
		return base64.StdEncoding.EncodeToString([]byte(zipped([]byte(document))))
	}
	notified := func(body string) string {
		text, err := json.Marshal(map[string]string{"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Message": body})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	deep := `{"name":"deep"}`
	for range 8 {
		deep = notified(packed(deep))
	}
	client := sqs.NewFromConfig(emulators.Config(l.queue))
	during(t, l.api, "", func() {
		for _, body := range []string{
			packed(`{"name":"large","x":"` + strings.Repeat("0", 64<<20) + `"}`),
			deep,
			packed(packed(packed(packed(packed(packed(`{"name":"deep"}`)))))),
		} {
			sendRaw(t, client, "sqsonce", body)
		}
		for body, reason := range drainDeadLetters(t, client, "sqsonce-dlq", 3) {
			if reason != "bad message" {
				t.Errorf("%.80s: reason %q", body, reason)
			}
		}
	})
	l.slim(400)
}

// Many messages of the largest size, each of as many values as fit, come at the same time.
func testManyValues(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "256MiB")
	l := startLocal(t)
	client := sqs.NewFromConfig(emulators.Config(l.queue))
	pool := func(verb string) {
		if code, _, body := ask(t, http.MethodPost, l.admin(t)+verb, "", nil); code != http.StatusAccepted {
			t.Fatalf("%s: %d %s", verb, code, body)
		}
	}
	const sent = 50 // as many as are handled at a time
	during(t, l.api, "", func() {
		pool("/pause")
		for i := range sent {
			sendRaw(t, client, "sqsonce", fmt.Sprintf(`{"name":"values-%d","x":[%s0]}`, i, strings.Repeat("0,", 520_000)))
		}
		pool("/resume")
		for i := range sent {
			if r := final(t, l.api, fmt.Sprintf("values-%d", i)); r.Status != "COMPLETED" {
				t.Errorf("got %+v", r)
			}
		}
	})
	l.slim(640)
}

// No command of the producer prints what would control a terminal.
func testTerminal(t *testing.T) {
	const evil = "\x1b]0;x\a\u009b31m\u202e"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; x=\"\u009b\u202e\"")
		if strings.HasPrefix(r.Header.Get("X-Sqsonce-Name"), "no") {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		_, _ = io.WriteString(w, evil)
	}))
	defer app.Close()
	l := startLocal(t, "--target-url", app.URL, "--suspect-after", "0")
	client := sqs.NewFromConfig(emulators.Config(l.queue))
	yes, no := "yes-\u202e\u200b", "no-\u202e\u200b"
	during(t, l.api, "", func() {
		for _, name := range []string{yes, no} {
			if code, _, body := post(t, l.api, fmt.Sprintf(`{"name":%q,"x":"\u009b31m"}`, name)); code != http.StatusAccepted {
				t.Fatalf("%d %s", code, body)
			}
			final(t, l.api, name)
		}
		sendRaw(t, client, "sqsonce", "no JSON \u009b31m\u202e")
		eventually(t, "two dead letters", func() bool {
			_, _, body := ask(t, http.MethodGet, l.api+"/dlq", "", nil)
			return strings.Contains(body, `"found":2`)
		})
		for _, args := range [][]string{
			{"status", yes}, {"status", yes, "--json"}, {"status", no}, {"ls"}, {"ls", "--json"}, {"dlq", "ls"}, {"dlq", "ls", "--json"},
			{"dlq", "show", no}, {"send", "--name", yes, "--wait", "1s"}, {"resolve", no, "--retry"}, {"status", "--url", app.URL, no},
		} {
			out, code := run(t, nil, "producer", append(args, "--url", l.api)...)
			if at := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 || out == "" {
				t.Errorf("producer %q: exit %d, control character at byte %d: %q", args, code, at, out)
			}
		}
	})
}

// A file of queues that costs more than it should.
func testConfigFiles(t *testing.T) {
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 30 {
		laughs += fmt.Sprintf("a%d: &a%[1]d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	queue := "  - queue-url: http://127.0.0.1:9/0/a\n    table: abc\n    target-url: http://127.0.0.1:9\n"
	for name, text := range map[string]string{
		"a billion laughs":         laughs + "queues: *a30\n",
		"laughs in a queue":        laughs + "queues:\n" + queue + "    permanent-statuses: *a30\n",
		"laughs as queues":         "a: &a {queue-url: x}\nqueues: [" + strings.TrimSuffix(strings.Repeat("*a,", 2_000), ",") + "]\n",
		"an alias of itself":       "queues: &a [*a]\n",
		"a mapping of itself":      "queues:\n  - &a\n    queue-url: *a\n",
		"a merge of itself":        "queues:\n  - &a\n    <<: *a\n",
		"deep lists":               "queues: " + strings.Repeat("[", 200_000),
		"deep mappings":            "queues: " + strings.Repeat("{a: ", 200_000),
		"deep blocks":              "queues:\n" + strings.Repeat("- ", 200_000) + "x\n",
		"a key again and again":    "queues:\n" + queue + strings.Repeat("    x: y\n", 20_000),
		"a tag":                    "queues: !!python/object/apply:os.system [x]\n",
		"control characters":       "queues:\n  - \"\\e[31m\\u009b\": 1\n",
		"two documents, one large": "queues: []\n---\n" + strings.Repeat("x: y\n", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queues.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, code := run(t, nil, "worker", "run", "--config", path)
			if code != 2 || !strings.Contains(out, "queues.yaml") {
				t.Errorf("exit %d: %.500s", code, out)
			}
			if at := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 || len(out) > 64<<10 {
				t.Errorf("%d bytes, control character at %d: %.300q", len(out), at, out)
			}
		})
	}
}
