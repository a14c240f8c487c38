// Package integration holds tests of packages consumer and dedupe in one process.
// They never import each other; here they meet, in virtual time.
package integration
