// Package protocol is the state machine of a name.
//
// One [Record] per name holds the lock while an attempt runs, and the outcome afterwards. [Step] is
// the whole protocol: given the stored record and an [Event], it returns the record to write and a
// [Verdict]. Step is a pure, total function of standard-library types. It uses no clock, no store
// and no goroutine, so tests can explore every interleaving of its events.
//
// Package dedupe carries out the decisions of Step. Stores, simulations and tools that show records
// use this package directly.
//
// The scenarios in testdata/*.txt show step by step how attempts meet. They are the quickest way to
// learn the protocol.
package protocol
