// Package history checks concurrent histories of names for linearizability: the operations of
// several guards on one store must be possible for a sequential state machine. A write of unknown
// outcome may have happened or not. The package consists of its test.
package history
