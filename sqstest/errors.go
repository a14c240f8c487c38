package sqstest

import (
	"fmt"
	"net/http"
	"strings"
)

// Error is an error answer of the server, as it goes over the wire. In a
// [Fault] it says what to answer instead of doing the work.
type Error struct {
	Code        string // short name of the error type, such as "RequestThrottled"; "" means InternalFailure
	Message     string // human-readable; may be empty
	Status      int    // HTTP status; 0 means 400 when SenderFault is set and 500 otherwise
	SenderFault bool   // the caller is to blame: trying again does not help
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
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

// queryCodes are the codes that SQS used before its JSON protocol. Clients
// that were written against them find them in the x-amzn-query-error header.
var queryCodes = map[string]string{
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"PurgeQueueInProgress":         "AWS.SimpleQueueService.PurgeQueueInProgress",
	"QueueDoesNotExist":            "AWS.SimpleQueueService.NonExistentQueue",
	"QueueNameExists":              "QueueAlreadyExists",
	"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
}

// wireType returns the value of the body's __type member. The errors that
// the service model does not know come from the framework's own namespace.
func (e *Error) wireType() string {
	switch c := e.code(); c {
	case codeInvalidParameter, codeMissingParameter:
		return "com.amazon.coral.service#" + c + "Exception"
	default:
		return "com.amazonaws.sqs#" + c
	}
}

// queryError returns the value of the x-amzn-query-error header.
func (e *Error) queryError() string {
	code, ok := queryCodes[e.code()]
	if !ok {
		code = e.code()
	}
	if e.SenderFault {
		return code + ";Sender"
	}
	return code + ";Receiver"
}

const (
	codeInvalidParameter = "InvalidParameterValue"
	codeMissingParameter = "MissingParameter"
)

// sender returns an error the caller is to blame for.
func sender(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), SenderFault: true}
}

func invalid(parameter string, value any, reason string) *Error {
	return sender(codeInvalidParameter, "Value %v for parameter %s is invalid. Reason: %s.", value, parameter, strings.TrimSuffix(reason, "."))
}

func missing(parameter string) *Error {
	return sender(codeMissingParameter, "The request must contain the parameter %s.", parameter)
}

func noQueue(name string) *Error {
	return sender("QueueDoesNotExist", "The specified queue %q does not exist.", name)
}
