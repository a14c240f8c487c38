package telemetry

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
)

// reasons are the reasons of dead letters that this project gives, and so the values of that label.
// A reason of a library user counts as "other". The comments are their descriptions in
// docs/reference/errors.md.
var reasons = []string{
	"attempts used up",                         // The last attempt that the name had left has failed.
	"bad message",                              // The message has no name, or an invalid one.
	"failed on its last receive",               // The attempt failed on the last receive that the queue allows.
	"held up and never tried",                  // It waited as long as SQS allows and was never tried.
	"in progress elsewhere",                    // Another attempt held the name until the last receive was over.
	"in progress elsewhere at stop",            // The same, and the worker stopped meanwhile.
	"in progress in Powertools",                // Powertools' record held the name until the last receive was over.
	"mismatch",                                 // The name was used before with another payload.
	"payload missing",                          // The S3 object of the payload does not exist.
	"payload not readable",                     // S3 refused the payload until the last receive was over.
	"payload too large",                        // The payload in S3 has more bytes than --s3-max.
	"rejected",                                 // The target or the handler refused the message for good.
	"snoozed at stop",                          // The handler put it off, and the worker stopped on its last receive.
	"stopped",                                  // A stop cut off the attempt on the last receive.
	"stopped before it was tried",              // The worker stopped on the last receive, before an attempt.
	"target down",                              // The target was down until the last receive was over.
	"the invocation ended before it was tried", // The Lambda invocation had no time left for it.
	"unknown outcome",                          // Its work may have been done, and --on-unknown is hold.
}

func reason(of string) attribute.KeyValue { return keyReason.String(reasonOf(of)) }

// reasonOf is the value of that label.
func reasonOf(of string) string {
	if of != "" && !slices.Contains(reasons, of) {
		return "other"
	}
	return of
}
