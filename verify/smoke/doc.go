// Package smoke has a short case of each long test of this module, for "make test". "make verify"
// runs the long tests. The short cases of killed processes and of binaries are in
// internal/workercmd.
package smoke
