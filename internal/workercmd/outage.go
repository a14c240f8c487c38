package workercmd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// outageError is a temporary error at the start: AWS or the network fails. All other errors at the
// start are about the settings.
type outageError struct{ error }

// Unwrap returns the wrapped error.
func (e outageError) Unwrap() error { return e.error }

// isOutage reports whether err, the error of a call to AWS, may be temporary. An unknown host name,
// a wrong certificate and a client error of AWS are not.
func isOutage(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.HTTPStatusCode() >= http.StatusInternalServerError {
		return true
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorFault() == smithy.FaultServer || isTransient(api.ErrorCode())
	}
	if err == nil || noCredentials(err) {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, context.DeadlineExceeded)
}

// isTransient reports whether code means throttling, or credentials that the SDK renews.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
func isTransient(code string) bool {
	if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled {
		return true
	}
	switch code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeout", "ServiceUnavailable", "InternalFailure", "InternalError":
		return true
	}
	return false
}

// noCredentials reports whether the SDK found no credentials because none are set. If the platform
// provides them (ECS, EKS), it returns false: a provider that does not answer is an outage.
// Elsewhere the SDK's last source is the metadata service of EC2, which does not answer.
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
func noCredentials(err error) bool {
	for _, provided := range []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		if os.Getenv(provided) != "" {
			return false
		}
	}
	return strings.Contains(err.Error(), "failed to refresh cached credentials") // the SDK has no type for it
}
