package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/dedupe"
)

// Categories of failures that waiting does not cure: an operator has to act. Each
// is wrapped together with [dedupe.ErrUnavailable].
var (
	ErrNoTable = errors.New("table not found")
	ErrDenied  = errors.New("access denied")
	ErrInvalid = errors.New("request not accepted")
)

// kind is what a failure of a call, or of one statement or action in it, means.
type kind uint8

const (
	kindAmbiguous   kind = iota // time-out, broken connection, server error: it may have happened
	kindConflict                // its condition failed
	kindBusy                    // throttled, or another transaction has the item: nothing was written
	kindInvalid                 // not acceptable, however often it is sent
	kindDenied                  // no permission for this operation
	kindUnsigned                // credentials that are missing, expired or wrong
	kindNoTable                 // no such table
	kindUnsupported             // the server does not know this operation
	kindMismatch                // the token was used with other parameters before
)

// kinds are the codes, of whole calls (…Exception, mostly), of statements in a
// batch, and of actions in a transaction. Servers differ in the code of an
// INSERT over an existing item, so both are here.
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

// kindOf says what err means, by its code or type alone.
func kindOf(err error) kind {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return kinds[api.ErrorCode()]
	}
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); ok {
		return kindInvalid // by the SDK already
	}
	return kindAmbiguous
}

// classify names the operation that failed, and says whether waiting can cure
// it. Throttling, conflicts with a transaction, time-outs and broken
// connections stay as they are: a later try may succeed, and an earlier one may
// have.
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
