// Command sqsonce-producer puts named messages on an SQS queue and reports their outcomes. It is
// cmd/producer under a name that clashes with no other program on a PATH.
//
// Package producercmd is the program.
package main

import "github.com/sqsonce/sqsonce/internal/producercmd"

func main() { producercmd.Main() }
