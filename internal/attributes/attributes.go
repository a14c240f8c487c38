// Package attributes holds what packages that do not import each other have to
// agree on about message attributes.
package attributes

// Name is the message attribute that, when present, is the message's name.
const Name = "sqsonce.name"

// Attributes of a dead letter, beside those that package consumer exports.
const (
	Attempts   = "sqsonce.attempts"    // attempts counted
	OriginalID = "sqsonce.original-id" // SQS message id of the first message, before any dead letter of it
)
