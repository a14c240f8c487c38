// Package deadletter works on the dead-letter queue of a queue: it lists, groups,
// redrives and purges. The producer API, the command line and the console share it.
//
// SQS has no way to look at a message without receiving it: each look counts as one
// receive of every letter, and hides the letters while it lasts. Names are found by
// the workers' own rules (package names), so that a letter that SQS has moved by
// itself has the name that the worker gives it.
//
// A redrive sends a letter to its queue and then deletes it, so that none is lost.
// What the protocol would turn away stays where it is, with the reason: the decision
// is that of [protocol.Step] on the letter's record.
package deadletter
