// Package integration tests packages consumer and dedupe together, in one process and in virtual
// time. The two packages do not import each other.
package integration
