package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"go.opentelemetry.io/otel/attribute"
)

// longestCode bounds the label for an error code. AWS's own codes are shorter.
const longestCode = 64

// InstrumentAWS makes every client made from cfg count its requests: each try, with its operation,
// its duration, and its error code.
func (q *Queue) InstrumentAWS(cfg *aws.Config) {
	calls := q.labels
	count := middleware.DeserializeMiddlewareFunc("sqsonce.count", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		start := time.Now()
		out, metadata, err := next.HandleDeserialize(ctx, in)
		took := time.Since(start).Seconds()
		service, operation := keyService.String(awsmiddleware.GetServiceID(ctx)), keyOperation.String(awsmiddleware.GetOperationName(ctx))
		q.is.awsTime.Record(ctx, took, calls.with(service, operation).record...)
		if code := keyError.String(errorCode(err)); err == nil {
			q.is.awsCalls.Add(ctx, 1, calls.with(service, operation, code).add...)
		} else { // these codes come from outside, so there may be many
			q.is.awsCalls.Add(ctx, 1, calls.fresh([]attribute.KeyValue{service, operation, code}).add...)
		}
		return out, metadata, err
	})
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		// First in this step, so that it runs for each retry and sees the decoded error.
		return stack.Deserialize.Add(count, middleware.Before)
	})
}

// errorCode returns the label for an error: AWS's code, "cancelled" or "timeout" for an ended
// context, "connection" for any other, "" for none.
func errorCode(err error) string {
	api, isAPI := errors.AsType[smithy.APIError](err)
	switch {
	case err == nil:
		return ""
	case isAPI && len(api.ErrorCode()) <= longestCode:
		return api.ErrorCode()
	case isAPI:
		return "other"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "connection"
	}
}
