package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/dedupe"
)

// Categories of failures that waiting does not cure: somebody has to change
// something. Each is wrapped together with [dedupe.ErrUnavailable].
var (
	ErrNoTable = errors.New("table not found")
	ErrDenied  = errors.New("access denied")
	ErrInvalid = errors.New("request not accepted")
)

// categories are the error codes that stand for each.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
var categories = map[string]error{
	"ResourceNotFoundException":   ErrNoTable,
	"AccessDeniedException":       ErrDenied,
	"AccessDenied":                ErrDenied,
	"UnrecognizedClientException": ErrDenied,
	"MissingAuthenticationToken":  ErrDenied,
	"IncompleteSignature":         ErrDenied,
	"InvalidSignatureException":   ErrDenied,
	"ExpiredTokenException":       ErrDenied,
	"ValidationException":         ErrInvalid,
}

// classify says once what kind of trouble err is. Throttling, conflicts with a
// transaction, time-outs and broken connections stay as they are: a later try
// may succeed, and an earlier one may have.
func classify(operation, id string, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if category := categories[api.ErrorCode()]; category != nil {
			return fmt.Errorf("dynamo: %s %q: %w: %w: %w", operation, id, dedupe.ErrUnavailable, category, err)
		}
	}
	return fmt.Errorf("dynamo: %s %q: %w", operation, id, err)
}
