package sqstest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// TB is what the kit needs of a [testing.TB], so that a program that has the
// server built in does not link package testing.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start returns a server without queues for the test t. When t ends, its
// faults end, so that what t leaves running is not held up by them.
func Start(t TB) *Server {
	s := New(Config{})
	t.Cleanup(func() { s.Control(nil) })
	return s
}

// Client returns the real client of SQS, which calls this server without a
// network. It is configured by [Server.AWSConfig]; options go after that.
func (s *Server) Client(options ...func(*sqs.Options)) *sqs.Client {
	return sqs.NewFromConfig(s.AWSConfig(), options...)
}

// Queue creates a queue and returns its URL. A name that ends in .fifo makes a
// FIFO queue. attributes are those of CreateQueue; nil means SQS's defaults.
// What SQS would refuse fails the test.
func (s *Server) Queue(t TB, name string, attributes map[string]string) (url string) {
	t.Helper()
	in := createQueueInput{QueueName: &name, Attributes: map[string]string{}}
	if strings.HasSuffix(name, ".fifo") {
		in.Attributes[attrFIFO] = "true"
	}
	for k, v := range attributes {
		in.Attributes[k] = v
	}
	out, err := s.createQueue(in)
	if err != nil {
		t.Fatalf("sqstest: create queue %s: %v", name, err)
	}
	return out.QueueUrl
}

// Listen serves on a free port of 127.0.0.1 until t ends, for clients in other
// processes and other languages, and returns the endpoint: http://127.0.0.1:port.
// Queue URLs that are handed out from now on have it. Both of SQS's protocols
// are served.
func (s *Server) Listen(t TB) (endpoint string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("sqstest: listen on 127.0.0.1: %v", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close() // polls that are out end with their connections
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Fatalf("sqstest: serve: %v", err)
		}
	})
	endpoint = "http://" + ln.Addr().String()
	s.SetBaseURL(endpoint)
	return endpoint
}
