// Package deadletter lists, groups, redrives and purges the messages of a dead-letter queue, which
// it calls letters. The producer API, the command line and the console share it.
//
// SQS can only show a message by receiving it. So each listing uses up one receive of every letter,
// and hides the letters while it lasts. Names are extracted by the workers' own rules (package
// names). So a letter that SQS itself has moved has the same name as in the worker.
//
// A redrive sends a letter to its queue and then deletes it, so that none is lost. A letter that
// the protocol would refuse stays, with the reason. The decision is that of [protocol.Step] for the
// letter's record.
package deadletter
