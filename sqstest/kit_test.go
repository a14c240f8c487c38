package sqstest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/sqstest"
)

// ship is the code under test.
func ship(ctx context.Context, client *sqs.Client, queue string) error {
	_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("order-17")})
	return err
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.Start(t)
		orders := s.Queue(t, "orders", map[string]string{"DelaySeconds": "900"})
		if err := ship(t.Context(), s.Client(), orders); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		b := &bench{Client: s.Client(), t: t, server: s}
		expectBodies(t, b.receive(orders), "order-17")
	})
	t.Run("faults end with the test", func(t *testing.T) {
		var s *sqstest.Server
		t.Run("faulty", func(t *testing.T) {
			s = sqstest.Start(t)
			s.Queue(t, "orders.fifo", nil)
			s.Control(func(context.Context, sqstest.Call) sqstest.Fault { return sqstest.Fault{LoseAnswer: true} })
		})
		if _, err := s.Client().GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("orders.fifo")}); err != nil {
			t.Error(err)
		}
	})
}

// fake is a test that collects its failures.
type fake struct {
	*testing.T
	said string
}

func (f *fake) Fatalf(format string, args ...any) { f.said = fmt.Sprintf(format, args...) }

func TestQueue(t *testing.T) {
	t.Run("refused attributes fail the test", func(t *testing.T) {
		f := &fake{T: t}
		sqstest.Start(t).Queue(f, "orders", map[string]string{"VisibilityTimeout": "43201"})
		for _, word := range []string{"orders", "VisibilityTimeout", "43201"} {
			if !strings.Contains(f.said, word) {
				t.Errorf("it says %q, without %s", f.said, word)
			}
		}
	})
}

func TestListen(t *testing.T) {
	var endpoint string
	t.Run("while the test runs", func(t *testing.T) {
		s := sqstest.Start(t)
		endpoint = s.Listen(t)
		orders := s.Queue(t, "orders", nil)
		if !strings.HasPrefix(orders, endpoint+"/") {
			t.Errorf("queue URL %s, want one of %s", orders, endpoint)
		}
		client := s.Client(func(o *sqs.Options) { o.HTTPClient = http.DefaultClient })
		if err := ship(t.Context(), client, orders); err != nil {
			t.Error(err)
		}
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := http.DefaultClient.Do(r); err == nil {
		_ = out.Body.Close()
		t.Error("the port is open after the test")
	}
}

// The first two calls are throttled. The SDK's client makes three attempts.
func ExampleServer_Control() {
	s := sqstest.New(sqstest.Config{})
	client := s.Client()
	queue, err := client.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		panic(err)
	}
	calls := 0
	s.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if calls++; c.Operation == "SendMessage" && calls < 3 {
			return sqstest.Fault{Error: &sqstest.Error{Code: "RequestThrottled", SenderFault: true}}
		}
		return sqstest.Fault{}
	})
	err = ship(context.Background(), client, *queue.QueueUrl)
	fmt.Println(calls, err)
	// Output: 3 <nil>
}
