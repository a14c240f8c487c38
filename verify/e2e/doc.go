// Package e2e runs the binaries as processes and uses them over HTTP, with --local and with local
// servers of SQS and DynamoDB.
package e2e
