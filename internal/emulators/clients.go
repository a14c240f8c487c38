package emulators

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/internal/wholebody"
)

// Settings of the clients of local servers, which require a Region and a signature but check
// neither.
const (
	Region    = "us-east-1"
	AccessKey = "local"
	SecretKey = "local"
)

// Config returns the AWS configuration for clients of the server at endpoint.
func Config(endpoint string) aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(endpoint),
		Credentials:  testutil.Credentials(AccessKey, SecretKey),
		HTTPClient:   wholebody.Client{HTTPClient: awshttp.NewBuildableClient()},
	}
}

// DynamoDBClient returns a client of the server of [DynamoDB].
func DynamoDBClient(t testing.TB) *dynamodb.Client {
	t.Helper()
	return dynamodb.NewFromConfig(Config(DynamoDB(t)))
}

// SQSClient returns a client of the server of [SQS].
func SQSClient(t testing.TB) *awssqs.Client {
	t.Helper()
	return awssqs.NewFromConfig(Config(SQS(t)))
}
