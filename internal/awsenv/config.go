// Package awsenv is what the binaries take from their surroundings: the AWS
// configuration, queues to be created on a local server, listeners, the
// logger, and the exit code that fits an error.
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

// The SDK keeps ten idle connections a host. A busy worker has more calls out
// than that, and each further one would pay a TLS handshake.
const (
	idleConnsPerHost = 256
	idleConns        = 2 * idleConnsPerHost // SQS and DynamoDB

	// A full batch of writes has some 20 KiB, ten messages of 1 KiB some 15. With
	// net/http's 4 KiB each takes several system calls, and a piece of memory for
	// the copy between.
	writeBuffer = 32 << 10
	readBuffer  = 16 << 10
)

// Load reads the AWS configuration the way every SDK does: environment, shared
// files, container and instance credentials. Its one HTTP client, shared by
// all services made from it, keeps enough idle connections for a busy worker.
//
// Warnings of the SDK go to log.
//
// A configuration that cannot be read, or that leaves open where AWS is (no
// region and no endpoint), is a [*SettingsError].
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

// EndpointOverridden reports whether calls to service, "SQS" or "DYNAMODB", go
// to an endpoint that was configured (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_ and
// the service, a profile, cfg.BaseEndpoint) instead of to AWS's own. It is
// false for any other service.
//
// The answer is the SDK's: a client is made and asked where it would call. So
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS and the order of precedence are what
// they are for the calls themselves.
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
