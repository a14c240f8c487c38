// Package smoke holds one short case each of the long tests of this module, for
// "make test"; "make verify" runs them whole. Killed processes and binaries have
// their short cases in cmd/worker's own tests.
package smoke
