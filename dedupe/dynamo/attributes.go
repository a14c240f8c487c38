package dynamo

// Attribute names of an item. Infrastructure code needs the names of the key and of the time to
// live to create the table.
const (
	AttrID          = "id"           // S, partition key: scope#name
	AttrTTL         = "expires_at"   // N, seconds since 1970; the table's TTL attribute
	AttrName        = "name"         // S
	AttrFormat      = "format"       // N
	AttrStatus      = "status"       // S
	AttrVersion     = "version"      // N; every write is conditional on it
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

	// Only present in records whose status needs attention; see [IndexAttention].
	AttrAttention   = "attention"    // S, scope#status#0 to scope#status#f
	AttrAttentionAt = "attention_at" // N, the record's version at that time

	// IndexAttention is the sparse index for lists. Its keys are AttrAttention and AttrAttentionAt.
	IndexAttention = "attention"
)
