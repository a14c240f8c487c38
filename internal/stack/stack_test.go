package stack

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestStack(t *testing.T) {
	t.Run("goroutines have the stack that is promised", testGoroutinesHaveTheStackThatIsPromised)
}

// A goroutine has the stack that is promised, and no more. It is counted over
// many, as the runtime hands stacks out by the dozen.
func testGoroutinesHaveTheStackThatIsPromised(t *testing.T) {
	const many = 500
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would take back what is not used
	for name, c := range map[string]struct {
		grow func()
		each uint64 // bytes
	}{"call": {ForCall, 32 << 10}, "message": {ForMessage, 16 << 10}} {
		runtime.GC()
		before := stacks()
		var grown, parked sync.WaitGroup
		leave := make(chan struct{})
		grown.Add(many)
		for range many {
			parked.Go(func() {
				c.grow()
				grown.Done()
				<-leave
			})
		}
		grown.Wait()
		got := (stacks() - before) / many
		close(leave)
		parked.Wait()
		if got < c.each*9/10 || got > c.each*3/2 { // some may come from stacks that were free
			t.Errorf("%s: %d bytes for each goroutine, want %d", name, got, c.each)
		}
	}
}

func stacks() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.StackInuse
}

// answering is an HTTP client that has every answer at once.
type answering struct{}

func (answering) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// A call of the SDK in a goroutine of its own.
func BenchmarkCall(b *testing.B) {
	cfg := aws.Config{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), HTTPClient: answering{},
		BaseEndpoint: aws.String("http://127.0.0.1:1"),
	}
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	for _, call := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"SQS", func(ctx context.Context) error {
			_, err := queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String("http://127.0.0.1:1/1/q")})
			return err
		}},
		{"DynamoDB", func(ctx context.Context) error {
			_, err := table.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{Statements: []types.BatchStatementRequest{}})
			return err
		}},
	} {
		for _, way := range []struct {
			name  string
			first func()
		}{{"as it is", func() {}}, {"with room", ForCall}} {
			b.Run(call.name+"/"+way.name, func(b *testing.B) {
				for b.Loop() {
					done := make(chan error)
					go func() {
						way.first()
						done <- call.do(b.Context())
					}()
					if err := <-done; err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
