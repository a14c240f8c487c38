// Package dynamo is the [dedupe.Store] on DynamoDB: one item per name, written
// by conditional PutItem calls.
//
// The table has one key, the string [AttrID], and its time to live on
// [AttrTTL]; [CreateTable] makes such a table and [CheckTable] looks at one. Do
// not use a global table: conditions hold within one Region only.
//
// A write replaces the item, so attributes that others have added to it do not
// survive the next one.
package dynamo
