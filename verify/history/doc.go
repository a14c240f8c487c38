// Package history checks concurrent histories of names against the promise in
// prose: what guards on one store have done must be what a sequential machine
// could do, with every ambiguous write forked. Its test is all that it has.
package history
