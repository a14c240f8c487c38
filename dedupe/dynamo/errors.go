package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/dedupe"
)

// Kinds of failures that no retry cures, so that an operator must act. Each is wrapped together
// with [dedupe.ErrUnavailable].
var (
	ErrNoTable = errors.New("table not found")
	ErrDenied  = errors.New("access denied")
	ErrInvalid = errors.New("request not accepted")
)

// kind classifies a failure of a call, or of one statement or action in it.
type kind uint8

const (
	kindAmbiguous   kind = iota // timeout, broken connection or server error: it may have been applied
	kindConflict                // its condition failed
	kindBusy                    // throttled, or in conflict with another transaction: not written
	kindInvalid                 // never acceptable
	kindDenied                  // no permission for this operation
	kindUnsigned                // missing, expired or wrong credentials
	kindNoTable                 // no such table
	kindUnsupported             // the server does not know this operation
	kindMismatch                // the token was used with other parameters before
)

// kinds maps the codes of whole calls (usually …Exception), of statements in a batch, and of
// actions in a transaction. Servers use different codes for an INSERT over an existing item, so
// both are listed.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
var kinds = map[string]kind{
	"ConditionalCheckFailedException": kindConflict,
	"ConditionalCheckFailed":          kindConflict,
	"DuplicateItemException":          kindConflict,
	"DuplicateItem":                   kindConflict,

	"ThrottlingException":                    kindBusy,
	"ThrottlingError":                        kindBusy,
	"Throttling":                             kindBusy,
	"RequestLimitExceeded":                   kindBusy,
	"ProvisionedThroughputExceededException": kindBusy,
	"ProvisionedThroughputExceeded":          kindBusy,
	"TransactionConflictException":           kindBusy,
	"TransactionConflict":                    kindBusy,
	"TransactionInProgressException":         kindBusy,
	"ReplicatedWriteConflictException":       kindBusy,

	"InternalServerError": kindAmbiguous,
	"ServiceUnavailable":  kindAmbiguous,

	"ValidationException":                      kindInvalid,
	"ValidationError":                          kindInvalid,
	"ItemCollectionSizeLimitExceededException": kindInvalid,
	"ItemCollectionSizeLimitExceeded":          kindInvalid,

	"AccessDeniedException": kindDenied,
	"AccessDenied":          kindDenied,

	"UnrecognizedClientException":  kindUnsigned,
	"MissingAuthenticationToken":   kindUnsigned,
	"IncompleteSignature":          kindUnsigned,
	"IncompleteSignatureException": kindUnsigned,
	"InvalidSignatureException":    kindUnsigned,
	"ExpiredTokenException":        kindUnsigned,

	"ResourceNotFoundException": kindNoTable,
	"ResourceNotFound":          kindNoTable,

	"UnknownOperationException": kindUnsupported,

	"IdempotentParameterMismatchException": kindMismatch,
	"IdempotentParameterMismatch":          kindMismatch,
}

// kindOf returns the kind of err by its code or type.
func kindOf(err error) kind {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return kinds[api.ErrorCode()]
	}
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); ok {
		return kindInvalid // refused by the SDK
	}
	return kindAmbiguous
}

// classify adds the failed operation to err, and [dedupe.ErrUnavailable] if no retry cures it.
// Throttling, conflicts with a transaction, timeouts and broken connections remain ambiguous: a
// later try may succeed, and an earlier one may have.
func classify(operation, id string, err error) error {
	var category error
	switch kindOf(err) {
	case kindDenied, kindUnsigned:
		category = ErrDenied
	case kindNoTable:
		category = ErrNoTable
	case kindInvalid, kindUnsupported:
		category = ErrInvalid
	default:
		return fmt.Errorf("dynamo: %s %q: %w", operation, id, err)
	}
	return fmt.Errorf("dynamo: %s %q: %w: %w: %w", operation, id, dedupe.ErrUnavailable, category, err)
}
