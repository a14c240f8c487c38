package sqstest

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// Error is an error answer of the server. In a [Fault] it replaces the effect of the call.
type Error struct {
	// Code is the error's name in the JSON protocol, such as "KmsAccessDenied", or its code in the
	// Query protocol, such as "KMS.AccessDeniedException". The answer has both. Empty means
	// InternalFailure.
	Code        string
	Message     string // human-readable; may be empty
	Status      int    // HTTP status; 0: that of SQS for Code if SenderFault is set, and 500 otherwise
	SenderFault bool   // the request is at fault, so the client should not retry
}

// Error returns the code and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.code()
	}
	return e.code() + ": " + e.Message
}

func (e *Error) code() string {
	if e.Code == "" {
		return "InternalFailure"
	}
	return e.Code
}

func (e *Error) status() int {
	switch {
	case e.Status != 0:
		return e.Status
	case e.SenderFault:
		name, _ := e.names()
		return cmp.Or(shapes[name].status, http.StatusBadRequest)
	default:
		return http.StatusInternalServerError
	}
}

// shape is the entry of an error in the service model.
type shape struct {
	query  string // code in the Query protocol; the JSON protocol sends it in a header
	status int    // HTTP status
}

// shapes are the errors whose query code differs from their name, or whose status is not 400.
// Source: aws-sdk-go-v2/service/sqs, schemas/schemas.go (httpError and awsQueryError).
var shapes = map[string]shape{
	"BatchEntryIdsNotDistinct":     {"AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400},
	"BatchRequestTooLong":          {"AWS.SimpleQueueService.BatchRequestTooLong", 400},
	"EmptyBatchRequest":            {"AWS.SimpleQueueService.EmptyBatchRequest", 400},
	"InvalidAddress":               {"InvalidAddress", 404},
	"InvalidBatchEntryId":          {"AWS.SimpleQueueService.InvalidBatchEntryId", 400},
	"InvalidSecurity":              {"InvalidSecurity", 403},
	"KmsAccessDenied":              {"KMS.AccessDeniedException", 400},
	"KmsDisabled":                  {"KMS.DisabledException", 400},
	"KmsInvalidKeyUsage":           {"KMS.InvalidKeyUsageException", 400},
	"KmsInvalidState":              {"KMS.InvalidStateException", 400},
	"KmsNotFound":                  {"KMS.NotFoundException", 400},
	"KmsOptInRequired":             {"KMS.OptInRequired", 403},
	"KmsThrottled":                 {"KMS.ThrottlingException", 400},
	"MessageNotInflight":           {"AWS.SimpleQueueService.MessageNotInflight", 400},
	"OverLimit":                    {"OverLimit", 403},
	"PurgeQueueInProgress":         {"AWS.SimpleQueueService.PurgeQueueInProgress", 403},
	"QueueDeletedRecently":         {"AWS.SimpleQueueService.QueueDeletedRecently", 400},
	"QueueDoesNotExist":            {"AWS.SimpleQueueService.NonExistentQueue", 400},
	"QueueNameExists":              {"QueueAlreadyExists", 400},
	"ReceiptHandleIsInvalid":       {"ReceiptHandleIsInvalid", 404},
	"RequestThrottled":             {"RequestThrottled", 403},
	"ResourceNotFoundException":    {"ResourceNotFoundException", 404},
	"TooManyEntriesInBatchRequest": {"AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400},
	"UnsupportedOperation":         {"AWS.SimpleQueueService.UnsupportedOperation", 400},
}

// shapeNames are the names of the shapes by their query codes.
var shapeNames = func() map[string]string {
	names := map[string]string{}
	for name, s := range shapes {
		names[s.query] = name
	}
	return names
}()

// names returns the error's name in the JSON protocol and its code in the Query protocol.
func (e *Error) names() (json, query string) {
	code := e.code()
	if name, ok := shapeNames[code]; ok {
		return name, code
	}
	if s, ok := shapes[code]; ok {
		return code, s.query
	}
	return code, code
}

// wireType returns the value of the body's __type member. Errors outside the service model have
// the namespace of the framework.
func (e *Error) wireType() string {
	switch name, _ := e.names(); name {
	case codeInvalidParameter:
		return "com.amazon.coral.service#InvalidParameterValueException"
	case codeMissingParameter:
		return "com.amazon.coral.service#MissingRequiredParameterException"
	default:
		return "com.amazonaws.sqs#" + name
	}
}

// queryError returns the value of the x-amzn-query-error header.
func (e *Error) queryError() string {
	_, code := e.names()
	if e.SenderFault {
		return code + ";Sender"
	}
	return code + ";Receiver"
}

const (
	codeInvalidParameter = "InvalidParameterValue"
	codeMissingParameter = "MissingParameter"
)

// sender returns an error with SenderFault.
func sender(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), SenderFault: true}
}

func invalid(parameter string, value any, reason string) *Error {
	return sender(codeInvalidParameter, "Value %v for parameter %s is invalid. Reason: %s.", value, parameter, strings.TrimSuffix(reason, "."))
}

func missing(parameter string) *Error {
	return sender(codeMissingParameter, "The request must contain the parameter %s.", parameter)
}

func noQueue() *Error {
	return sender("QueueDoesNotExist", "The specified queue does not exist.")
}
