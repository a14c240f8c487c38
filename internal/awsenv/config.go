// Package awsenv sets up the binaries: the AWS configuration, queues on a local server, listeners,
// the logger, secrets, and the exit code of an error.
package awsenv

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/wholebody"
)

// The SDK keeps ten idle connections per host. A busy worker makes more concurrent calls, and each
// further connection would cost a TLS handshake.
const (
	idleConnsPerHost = 256
	idleConns        = 2 * idleConnsPerHost // SQS and DynamoDB

	// A full batch of writes has about 20 KiB, a receive of ten 1 KiB messages about 15 KiB.
	// net/http's default of 4 KiB would cost several system calls and copies for each.
	writeBuffer = 32 << 10
	readBuffer  = 16 << 10
)

// Load reads the AWS configuration in the order of the SDK: environment, shared files, container
// and instance credentials. All clients made from it share one HTTP client, which keeps enough idle
// connections for a busy worker. Warnings of the SDK go to log.
//
// Load fails with a [*SettingsError] if the configuration cannot be read, or if it has neither a
// Region nor an endpoint.
func Load(ctx context.Context, log *slog.Logger) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = idleConns
		t.MaxIdleConnsPerHost = idleConnsPerHost
		t.WriteBufferSize, t.ReadBufferSize = writeBuffer, readBuffer
	})
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithLogger(sdkLogger{log}))
	if err != nil {
		return aws.Config{}, &SettingsError{Problems: []string{fmt.Sprintf("AWS configuration: %v", err)}}
	}
	if cfg.Region == "" && !EndpointOverridden(cfg, "SQS") && !EndpointOverridden(cfg, "DYNAMODB") {
		return aws.Config{}, &SettingsError{Problems: []string{
			"no AWS region: set AWS_REGION, or a region in the profile of the AWS configuration file",
		}}
	}
	cfg.HTTPClient = wholebody.Client{HTTPClient: cfg.HTTPClient}
	return cfg, nil
}

// EndpointOverridden reports whether calls to service, "SQS" or "DYNAMODB", go to a configured
// endpoint (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SERVICE, a profile, cfg.BaseEndpoint) instead of
// AWS's own. It is false for any other service.
//
// The answer is the endpoint of a client made from cfg. It therefore obeys the SDK's precedence and
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS.
func EndpointOverridden(cfg aws.Config, service string) bool {
	var endpoint *string
	switch service {
	case "SQS":
		endpoint = sqs.NewFromConfig(cfg).Options().BaseEndpoint
	case "DYNAMODB":
		endpoint = dynamodb.NewFromConfig(cfg).Options().BaseEndpoint
	}
	return aws.ToString(endpoint) != ""
}
