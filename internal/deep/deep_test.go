package deep

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

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
