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

// outageError is an error that time may cure: AWS, or the network to it, does not
// answer as it should. Every other error at the start is about the settings.
type outageError struct{ error }

// Unwrap returns the error itself.
func (e outageError) Unwrap() error { return e.error }

// isOutage reports whether err, of a call to AWS, may pass by itself. A name that
// the DNS does not know, a certificate that does not fit and a refusal by AWS do
// not.
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

// isTransient reports codes of throttling and of credentials that are renewed by
// themselves. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
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

// noCredentials reports whether the SDK has looked for credentials in vain. Where
// the platform provides them (ECS, EKS), a provider that does not answer is an
// outage; elsewhere they were never set, and the last place that the SDK looks at
// is the metadata service of EC2, which does not answer.
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
func noCredentials(err error) bool {
	for _, provided := range []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		if os.Getenv(provided) != "" {
			return false
		}
	}
	return strings.Contains(err.Error(), "failed to refresh cached credentials") // the SDK has no type for it
}
