// Package dynamo is the [dedupe.Store] on DynamoDB: one item per name, written
// under the condition that its version is the expected one.
//
// # Calls
//
// A write alone is one PutItem. Writes that wait at the same time share a
// BatchExecuteStatement, up to 25 of them, and reads a BatchGetItem: a full
// batch goes at once, and a partial one when no call is in flight, or at the pace
// of the fastest recent calls. A statement fails or succeeds on its own. One that
// the server does not take in a batch goes once more, alone. What was throttled, or
// has no answer, is left to the guard, which backs off and recognises its own
// writes. Where batches are refused while single writes succeed, the store goes
// over to single calls, logs one error and calls [Config.BatchRefused].
// [BatchOff] is one call for each.
//
// A batch for the SDK's own client is written as the JSON that goes to the wire:
// a middleware sees the statements in the input of BatchExecuteStatement, and not
// their parameters. Any other [API] gets all of it.
//
// [Store.Commit] writes a record together with a handler's own writes ([Put],
// [Update], [Delete], [Check]) in one TransactWriteItems.
//
// # The table
//
// The table has one key, the string [AttrID], and its time to live on
// [AttrTTL], or on [Config.TTLAttribute]; [CreateTable] makes such a table and [CheckTable] looks at one. A
// global table with multi-Region eventual consistency is refused: conditions hold
// within one Region there. One with strong consistency works, but has neither time
// to live nor transactions.
//
// [Store.List] reads the names that need attention from the index [IndexAttention].
// Only records that are, or were, of such a status have its keys. A statement sets
// the keys or leaves them; a PutItem alone takes them away.
//
// Attributes that others add to an item do not survive: a PutItem replaces the
// item and drops them, while a statement in a batch leaves them, and which of
// the two a write is depends on what else happens at that moment.
//
// An item that is no record, or of a newer [protocol.Format], is never written
// over and never acted on.
//
// # Whose clock
//
// [Store.Now] is this machine's clock, or DynamoDB's where several answers show
// that ours is wrong by more than two seconds: use it as [dedupe.Config.Now].
package dynamo
