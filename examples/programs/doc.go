// Package programs holds the programs of docs/library.md, each with its test, in a module
// of its own: they need gRPC, Kafka and SQLite, which users of the library need not have.
package programs
