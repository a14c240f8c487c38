// Command sqsonce-worker long-polls an SQS queue and handles each named message once. It is
// cmd/worker under a name that clashes with no other program on a PATH.
//
// Package workercmd is the program.
package main

import "github.com/sqsonce/sqsonce/internal/workercmd"

func main() { workercmd.Main() }
