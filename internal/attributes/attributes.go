// Package attributes names the message attributes that packages share without importing each other.
package attributes

// Name is the message attribute that holds the message's name.
const Name = "sqsonce.name"

// Attributes of a dead letter.
const (
	Reason     = "sqsonce.reason"      // why, in a few words
	Error      = "sqsonce.error"       // text of the failure
	Attempts   = "sqsonce.attempts"    // attempts counted
	OriginalID = "sqsonce.original-id" // SQS message id of the first message, before any dead letter of it
)
