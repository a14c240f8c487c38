package awsenv

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"github.com/sqsonce/sqsonce/internal/wholebody"
)

// slowWriter is a connection whose writes arrive at once but return only when letGo is closed.
type slowWriter struct {
	net.Conn
	letGo <-chan struct{}
}

func (c slowWriter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 && p[n-1] == '}' { // the end of the body
		<-c.letGo
	}
	return n, err
}

func TestBodies(t *testing.T) {
	t.Run("answer that is faster than its request is read", testAnAnswerThatIsFasterThanItsRequestIsRead)
	t.Run("body that cannot be read is not sent", testABodyThatCannotBeReadIsNotSent)
}

// The SDK has the answer, and has closed the request, before net/http has finished the request.
func testAnAnswerThatIsFasterThanItsRequestIsRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = io.WriteString(w, `{"Messages":[{"MessageId":"m-1"}]}`)
	}))
	defer server.Close()
	cleanEnv(t)
	for k, v := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": server.URL, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(k, v)
	}
	cfg, err := Load(t.Context(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	cfg.HTTPClient = withDial(t, cfg.HTTPClient, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return slowWriter{conn, answered}, err
	})
	cfg.APIOptions = append(cfg.APIOptions, func(s *middleware.Stack) error {
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("answered", func(
			ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
		) (middleware.DeserializeOutput, middleware.Metadata, error) {
			defer sync.OnceFunc(func() { close(answered) })()
			return next.HandleDeserialize(ctx, in)
		}), middleware.After)
	})
	written := make(chan error, 1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { written <- info.Err },
	})
	out, err := sqs.NewFromConfig(cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.URL + "/1/q")})
	if err := <-written; err != nil {
		t.Errorf("net/http takes the request for failed (%v), and closes its connection", err)
	}
	if err != nil || len(out.Messages) != 1 {
		t.Errorf("received %v, %v", out, err)
	}
}

// withDial returns the client with another dial function.
func withDial(t *testing.T, c aws.HTTPClient, dial func(ctx context.Context, network, addr string) (net.Conn, error)) aws.HTTPClient {
	t.Helper()
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	if _, whole := c.(wholebody.Client); whole {
		return wholebody.Client{HTTPClient: &http.Client{Transport: transport}}
	}
	return &http.Client{Transport: transport}
}

// brokenBody is a body whose reads fail.
type brokenBody struct{ closed bool }

var errBroken = errors.New("broken")

func (*brokenBody) Read([]byte) (int, error) { return 0, errBroken }

func (b *brokenBody) Close() error {
	b.closed = true
	return nil
}

func testABodyThatCannotBeReadIsNotSent(t *testing.T) {
	var body brokenBody
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:1/", &body)
	if _, err := (wholebody.Client{HTTPClient: http.DefaultClient}).Do(r); !errors.Is(err, errBroken) || !body.closed {
		t.Errorf("error %v, closed %t", err, body.closed)
	}
}
