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

// TB is the part of [testing.TB] that this package uses. It keeps package testing out of programs
// that contain the server.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start returns a server without queues. The end of t ends the faults, so that goroutines that t
// leaves behind can finish their calls.
func Start(t TB) *Server {
	s := New(Config{})
	t.Cleanup(func() { s.Control(nil) })
	return s
}

// Client returns the SDK's client of SQS, which calls this server without a network. Its
// configuration is [Server.AWSConfig], then options.
func (s *Server) Client(options ...func(*sqs.Options)) *sqs.Client {
	return sqs.NewFromConfig(s.AWSConfig(), options...)
}

// Queue creates a queue and returns its URL. A name that ends in .fifo makes a FIFO queue.
// attributes are those of CreateQueue; nil means SQS's defaults. A name or attribute that SQS
// refuses fails the test.
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

// Listen serves both protocols of SQS on a free port of 127.0.0.1 until t ends, for clients in
// other processes. It returns the endpoint, http://127.0.0.1:port. Queue URLs that the server
// returns from now on begin with it.
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
		_ = server.Close() // ends long polls with their connections
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Fatalf("sqstest: serve: %v", err)
		}
	})
	endpoint = "http://" + ln.Addr().String()
	s.SetBaseURL(endpoint)
	return endpoint
}
