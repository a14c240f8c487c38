// Package e2e holds the tests that run the binaries as a user would: as
// processes, over HTTP, against the in-memory parts of --local and against real
// local servers.
package e2e
