// Command worker long-polls an SQS queue and handles each named message once.
//
// Package workercmd is the program.
package main

import "github.com/sqsonce/sqsonce/internal/workercmd"

func main() { workercmd.Main() }
