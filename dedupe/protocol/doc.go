// Package protocol decides what becomes of a name.
//
// One [Record] per name holds the lock while work is under way, and the outcome
// afterwards. [Step] is the whole protocol: given the record as stored and an
// [Event], it returns the record to write and a [Verdict]. It is a pure, total
// function of standard-library types. It knows no clock, no store and no
// goroutine, so a test can walk through every interleaving of its events.
//
// Package dedupe carries out what Step decides. Stores, simulations and tools
// that show records use this package directly.
//
// The files testdata/*.txt tell how attempts meet, step by step; they are the
// quickest way to learn the protocol.
package protocol
