// Command producer puts named messages on an SQS queue and reports their outcomes.
//
// Package producercmd is the program.
package main

import "github.com/sqsonce/sqsonce/internal/producercmd"

func main() { producercmd.Main() }
