package dynamo

// Attribute names of an item. Those of the key and of the time to live are also
// what infrastructure code needs to create the table.
const (
	AttrID          = "id"           // S, partition key: scope#name
	AttrTTL         = "expires_at"   // N, seconds since 1970; the table's TTL attribute
	AttrName        = "name"         // S
	AttrFormat      = "format"       // N
	AttrStatus      = "status"       // S
	AttrVersion     = "version"      // N; what every write is conditional on
	AttrFence       = "fence"        // N
	AttrOwner       = "owner"        // S, hexadecimal
	AttrLeaseUntil  = "lease_until"  // N, milliseconds since 1970
	AttrAttempts    = "attempts"     // N
	AttrFingerprint = "fingerprint"  // B
	AttrResult      = "result"       // S or B, see AttrResultType
	AttrResultType  = "result_type"  // S; "json": JSON text; else a media type; absent: a native value of an earlier release
	AttrError       = "error"        // S
	AttrMessageID   = "message_id"   // S
	AttrReopenedBy  = "reopened_by"  // S
	AttrOperated    = "operated"     // S, an operator's last verb
	AttrCreatedAt   = "created_at"   // N, milliseconds since 1970
	AttrCompletedAt = "completed_at" // N, milliseconds since 1970

	// Of a record whose status needs attention, and absent from all others; see
	// [IndexAttention].
	AttrAttention   = "attention"    // S, scope#status#0 to scope#status#f
	AttrAttentionAt = "attention_at" // N, the record's version then

	// IndexAttention is the sparse index that lists are read from: its keys are
	// AttrAttention and AttrAttentionAt.
	IndexAttention = "attention"
)
