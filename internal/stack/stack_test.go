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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

func TestStack(t *testing.T) {
	t.Run("goroutines have the stack that is promised", testGoroutinesHaveTheStackThatIsPromised)
}

// A goroutine's stack has the promised size. It is measured over many goroutines, because the
// runtime allocates stacks in groups.
func testGoroutinesHaveTheStackThatIsPromised(t *testing.T) {
	const many, want = 500, 32 << 10
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the garbage collector would shrink unused stacks
	runtime.GC()
	before := stacks()
	var grown, parked sync.WaitGroup
	leave := make(chan struct{})
	grown.Add(many)
	for range many {
		parked.Go(func() {
			Grow()
			grown.Done()
			<-leave
		})
	}
	grown.Wait()
	got := (stacks() - before) / many
	close(leave)
	parked.Wait()
	if got < want*9/10 || got > want*3/2 { // some stacks may come from the free list
		t.Errorf("%d bytes for each goroutine, want %d", got, want)
	}
}

func stacks() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.StackInuse
}

// answering is an HTTP client that answers at once.
type answering struct{}

func (answering) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// BenchmarkCall makes a call of the SDK in a new goroutine.
func BenchmarkCall(b *testing.B) {
	cfg := aws.Config{
		Region: "eu-central-1", Credentials: testutil.Credentials("key", "secret"), HTTPClient: answering{},
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
		}{{"as it is", func() {}}, {"with room", Grow}} {
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
