// Package dynamo is the [dedupe.Store] on DynamoDB. It keeps one item per name and writes it on the
// condition that its version is the expected one.
//
// # Calls
//
// A single write is a PutItem. Writes that wait at the same time share a BatchExecuteStatement, up
// to 25 of them, and reads share a BatchGetItem. A full batch is sent at once. A partial one is
// sent when no call is in flight, or at the pace of the fastest recent calls. Each statement
// succeeds or fails on its own. A statement that the server does not accept in a batch is sent once
// more, alone. The store does not repeat a write that was throttled or has no answer: the guard
// backs off and recognises its own writes. If batches are refused while single writes succeed, the
// store changes to single calls, logs an error and calls [Config.BatchRefused]. [BatchOff] sends
// every write and read alone.
//
// With the SDK's own client a batch is encoded as JSON by this package. A middleware then sees the
// statements in the input of BatchExecuteStatement, but not their parameters. Any other [API] gets
// the complete input.
//
// [Store.Commit] writes a record and a handler's own writes ([Put], [Update], [Delete], [Check]) in
// one TransactWriteItems.
//
// # The table
//
// The partition key is the string [AttrID], without a sort key. The time to live is on [AttrTTL],
// or on [Config.TTLAttribute]. [CreateTable] creates such a table, and [CheckTable] checks one. A
// global table with multi-Region eventual consistency is refused, because its conditions hold only
// within one Region. A global table with strong consistency works, but has neither time to live nor
// transactions.
//
// [Store.List] reads the names that need attention from the index [IndexAttention]. Only records
// that have or had such a status have the keys of the index. A statement sets the keys or keeps
// them. A PutItem without them removes them.
//
// Do not add attributes to an item: a PutItem replaces the item and drops them, while a statement
// in a batch keeps them. The load decides which of the two a write is.
//
// An item that is not a record, or that has a newer [protocol.Format], is never overwritten and
// never acted on.
//
// # The clock
//
// [Store.Now] is this machine's clock, or DynamoDB's if several answers show that ours is wrong by
// more than 2 seconds. Use it as [dedupe.Config.Now].
package dynamo
