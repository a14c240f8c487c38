package producercmd

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

func TestServeNeedsItsQueue(t *testing.T) {
	r := realRig(t, "producer-serve-queue")
	missing := strings.Replace(r.queueURL, "producer-serve-queue", "nothing-here", 1)
	producer(t, "", "serve", "--addr", "127.0.0.1:0", "--queue-url", missing, "--table", "producer-serve-queue").want(2).says(
		"--queue-url "+missing, "the queue does not exist")
}

func TestServe(t *testing.T) {
	t.Run("log formats", testLogFormats)
	t.Run("serve answers until it is told to stop", testServeAnswersUntilItIsToldToStop)
	t.Run("serve refuses to create on AWS", testServeRefusesToCreateOnAWS)
	t.Run("serve beyond loopback needs a token", testServeBeyondLoopbackNeedsAToken)
}

func testServeAnswersUntilItIsToldToStop(t *testing.T) {
	r := realRig(t, "producer-serve")
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("\n"+token+"\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, metrics, stop := startServe(t, "--queue-url", r.queueURL+"-new", "--table", "producer-serve-new", "--create", "--auth-token-file", file,
		"--metrics-addr", "127.0.0.1:0", "--log-level", "warn")
	args := []string{"--url", strings.TrimSuffix(url, "/"), "--auth-token", "second"}
	producer(t, "", append([]string{"send", "--name", "a"}, args...)...).want(0).says(`queued "a"`)
	producer(t, "", "send", "--name", "a", "--url", url, "--auth-token", "wrong").want(1).says("401")
	producer(t, "", append([]string{"dlq", "ls"}, args...)...).want(0).says("is empty")
	resp, err := http.Get(metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	scraped := testutil.ReadMetrics(t, resp.Body)
	for name, labels := range map[string]map[string]string{
		"messaging_client_sent_messages_total":       {"outcome": "accepted", "messaging_destination_name": "producer-serve-new"},
		"http_server_request_duration_seconds_count": {"http_route": "/", "http_response_status_code": "401"},
		"sqsonce_aws_calls_total":                    {"operation": "SendMessageBatch"},
	} {
		if sum, series := scraped.Sum(name, labels); sum != 1 || series != 1 {
			t.Errorf("%s%v is %v in %d series", name, labels, sum, series)
		}
	}
	code, log := stop()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(log, `"request"`) {
		t.Errorf("requests are logged at level warn: %s", log)
	}
}

// testLogFormats checks the log line of a request in each format.
func testLogFormats(t *testing.T) {
	r := realRig(t, "producer-serve-log")
	for format, line := range map[string]string{
		"auto":   `^\{"time":"[^"]+","level":"INFO","msg":"request",.*"status":404`, // the log is no terminal
		"json":   `^\{"time":"[^"]+","level":"INFO","msg":"request",.*"status":404`,
		"text":   `^time=\S+ level=INFO msg=request .*\bstatus=404\b`,
		"pretty": `^\d\d:\d\d:\d\d INF request .*\bstatus=404\b`,
	} {
		t.Run(format, func(t *testing.T) {
			url, _, stop := startServe(t, "--queue-url", r.queueURL, "--table", "producer-serve-log", "--log-format", format)
			producer(t, "", "status", "nothing", "--url", url).want(1).says("has no record")
			code, log := stop()
			if code != 0 || !regexp.MustCompile(`(?m)`+line).MatchString(log) {
				t.Errorf("exit code %d, and no line like %s in %s", code, line, log)
			}
		})
	}
	for _, command := range []string{"serve", "console"} {
		producer(t, "", command, "--queue-url", r.queueURL, "--table", "producer-serve-log", "--log-format", "xml").want(2).says("--log-format", `"auto","json","text","pretty"`)
	}
}

// startServe starts an API and waits for its addresses. stop ends it and returns its exit code
// and log.
func startServe(t *testing.T, args ...string) (url, metrics string, stop func() (int, string)) {
	t.Helper()
	signals := make(chan os.Signal, 1)
	out, lines := newPipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(context.Background(), append([]string{"serve", "--addr", "127.0.0.1:0"}, args...), stdio{strings.NewReader(""), out, out}, signals)
	}()
	for l := range lines {
		if rest, ok := strings.CutPrefix(l, "metrics at "); ok {
			metrics, _, _ = strings.Cut(rest, " ")
		}
		if rest, ok := strings.CutPrefix(l, "producer at "); ok {
			url, _, _ = strings.Cut(rest, " ")
			break
		}
	}
	log := make(chan string, 1)
	go func() {
		all := ""
		for l := range lines {
			all += l + "\n"
		}
		log <- all
	}()
	return url, metrics, func() (int, string) {
		signals <- syscall.SIGTERM
		code := <-ended
		close(out.lines)
		return code, <-log
	}
}

func testServeRefusesToCreateOnAWS(t *testing.T) {
	for _, key := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_DYNAMODB"} {
		t.Setenv(key, "")
	}
	t.Setenv("AWS_REGION", "eu-central-1")
	producer(t, "", "serve", "--addr", "127.0.0.1:0", "--queue-url", "http://x/1/q", "--table", "t", "--create").want(2).says("--create")
}

func TestBlankTokensAreRefused(t *testing.T) {
	serve := []string{"serve", "--addr", "0.0.0.0:0", "--queue-url", "http://x/1/q", "--table", "t"}
	for _, tokens := range []string{",", " ", "\n", " , ", ",a", "a, ,b"} {
		t.Setenv("SQSONCE_AUTH_TOKEN", tokens)
		for what, args := range map[string][]string{
			"beyond loopback": serve,
			"insecure":        append(serve, "--insecure"),
			"on loopback":     append(serve, "--addr", "127.0.0.1:0"),
			"with a file":     append(serve, "--auth-token-file", "tokens"),
			"a client":        {"status", "a"},
		} {
			t.Run(fmt.Sprintf("%q %s", tokens, what), func(t *testing.T) {
				producer(t, "", args...).want(2).says("SQSONCE_AUTH_TOKEN", "is blank")
			})
		}
	}
}

func testServeBeyondLoopbackNeedsAToken(t *testing.T) {
	serve := []string{"serve", "--addr", "0.0.0.0:0", "--queue-url", "http://x/1/q", "--table", "t"}
	file := filepath.Join(t.TempDir(), "tokens")
	for _, unset := range []bool{false, true} {
		t.Setenv("SQSONCE_AUTH_TOKEN", "")
		if unset {
			_ = os.Unsetenv("SQSONCE_AUTH_TOKEN")
		}
		producer(t, "", serve...).want(2).says("--auth-token", "beyond loopback")
		if err := os.WriteFile(file, []byte(" \n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		producer(t, "", append(serve, "--auth-token-file", file)...).want(2).says("holds no token")
	}
	if err := os.WriteFile(file, []byte("0123456789abcdef\n0123456789abcde\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--auth-token-file", file}, {"--auth-token", "short"}, {"--auth-token", "short", "--insecure"}, {"--auth-token-file", file, "--insecure"},
	} {
		producer(t, "", append(serve, args...)...).want(2).says("characters", "at least 16")
	}
	// tokens checks the tokens again, including those of the file.
	if _, err := (&serveCmd{Addr: "0.0.0.0:0"}).tokens(); err == nil {
		t.Error("an API without tokens is open beyond loopback")
	}
	if tokens, err := (&serveCmd{Addr: "0.0.0.0:0", AuthToken: []string{" 0123456789abcdef\n"}}).tokens(); err != nil || len(tokens) != 1 || tokens[0] != "0123456789abcdef" {
		t.Errorf("tokens are %q, %v", tokens, err)
	}
}

// newPipe returns a writer and a channel of the lines that are written to it.
func newPipe() (*lineWriter, <-chan string) {
	w := &lineWriter{lines: make(chan string, 100)}
	return w, w.lines
}

type lineWriter struct {
	part  string
	lines chan string
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.part += string(b)
	for {
		line, rest, ok := strings.Cut(w.part, "\n")
		if !ok {
			return len(b), nil
		}
		w.part = rest
		select {
		case w.lines <- line:
		default: // the reader has ended
		}
	}
}
