package sqstest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/sqstest"
)

// overTCP serves a new server on a free port of the loopback interface. The buffered channel gets
// one value for each finished request.
func overTCP(t *testing.T) (*bench, string, <-chan struct{}) {
	s := sqstest.New(sqstest.Config{})
	ended := make(chan struct{}, 100)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(ts.Close)
	s.SetBaseURL(ts.URL)
	cfg := s.AWSConfig()
	cfg.HTTPClient = ts.Client()
	return &bench{Client: sqs.NewFromConfig(cfg), t: t, server: s}, ts.URL, ended
}

func TestTcp(t *testing.T) {
	t.Run("server speaks to the client over TCP", testServerSpeaksToTheClientOverTCP)
	t.Run("lost answer breaks the TCP connection", testLostAnswerBreaksTheTCPConnection)
	t.Run("poll of a disconnected client takes nothing", testPollOfADisconnectedClientTakesNothing)
	t.Run("message is visible again when the answer cannot be written", testMessageIsVisibleAgainWhenTheAnswerCannotBeWritten)
	t.Run("malformed JSON requests are refused", testMalformedJSONRequestsAreRefused)
}

func testServerSpeaksToTheClientOverTCP(t *testing.T) {
	b, base, _ := overTCP(t)
	url := b.create("q")
	if !strings.HasPrefix(url, base+"/") {
		t.Errorf("queue URL %s, want it below %s", url, base)
	}
	got := make(chan []types.Message)
	go func() { got <- b.receive(url, waiting(20)) }()
	b.send(url, "a")
	m := <-got
	expectBodies(t, m, "a")
	b.delete(url, m[0].ReceiptHandle)
	b.expectCounts(url, 0, 0, 0)
	_, err := b.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
	expectError[*types.QueueDoesNotExist](t, err)
}

func testLostAnswerBreaksTheTCPConnection(t *testing.T) {
	b, _, _ := overTCP(t)
	url := b.create("q")
	b.failOnce("SendMessage", sqstest.Fault{LoseAnswer: true})
	b.send(url, "a") // the client retries
	b.expectCounts(url, 2, 0, 0)
}

func testPollOfADisconnectedClientTakesNothing(t *testing.T) {
	b, _, ended := overTCP(t)
	url := b.create("q")
	<-ended
	polling := make(chan struct{})
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if c.Operation == "ReceiveMessage" {
			close(polling)
		}
		return sqstest.Fault{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() {
		_, err := b.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		errs <- err
	}()
	<-polling
	cancel()
	if err := <-errs; err == nil {
		t.Error("cancelled poll succeeded")
	}
	<-ended
	b.server.Control(nil)
	b.send(url, "a")
	b.expectCounts(url, 1, 0, 0)
}

// brokenWriter is a connection that breaks before the answer.
type brokenWriter struct{ header http.Header }

func (w brokenWriter) Header() http.Header       { return w.header }
func (w brokenWriter) WriteHeader(int)           {}
func (w brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func testMessageIsVisibleAgainWhenTheAnswerCannotBeWritten(t *testing.T) {
	b := newBench(t)
	url := b.createFIFO("q.fifo")
	b.sendFIFO(url, "g", "a", "b")
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"`+url+`","MaxNumberOfMessages":10}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	b.server.ServeHTTP(brokenWriter{http.Header{}}, r)
	got := b.receive(url)
	expectBodies(t, got, "a", "b")
	if n := got[0].Attributes["ApproximateReceiveCount"]; n != "1" {
		t.Errorf("receive count %s, want 1", n)
	}
}

func testMalformedJSONRequestsAreRefused(t *testing.T) {
	s := sqstest.New(sqstest.Config{})
	for _, c := range []struct{ method, target, body string }{
		{http.MethodGet, "AmazonSQS.ListQueues", ""},
		{http.MethodPost, "AmazonSQS.ListQueues", "no JSON"},
		{http.MethodPost, "AmazonSQS.ListQueues", strings.Repeat("x", 9<<20)},
	} {
		r := httptest.NewRequest(c.method, "/", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Target", c.target)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"__type":"com.amazon`) {
			t.Errorf("%s %q: %d %s, want 400 and a __type", c.method, c.target, w.Code, w.Body)
		}
	}
}
