package dynamo

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// ttlNames matches the valid values of [Config].TTLAttribute: names that need no escape in a
// statement.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
var ttlNames = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)

func checkTTLAttribute(name string) error {
	used := name != AttrTTL && (slices.Contains(columns[:], name) || name == AttrID || name == AttrAttention || name == AttrAttentionAt)
	if used || !ttlNames.MatchString(name) {
		return fmt.Errorf("dynamo: TTLAttribute %q: must be 1 to 255 letters, digits, '_', '-' or '.', and no other attribute of a record", name)
	}
	return nil
}

// ours returns an item of the table with its expiry in [AttrTTL].
func (c Config) ours(it item) item {
	expiry, ok := it[c.TTLAttribute]
	if !ok || c.TTLAttribute == AttrTTL {
		return it // written before the attribute was changed
	}
	it = maps.Clone(it)
	delete(it, c.TTLAttribute)
	it[AttrTTL] = expiry
	return it
}

// theirs returns an item with its expiry in TTLAttribute, as it is written.
func (c Config) theirs(it item) item {
	if c.TTLAttribute != AttrTTL {
		it[c.TTLAttribute] = it[AttrTTL]
		delete(it, AttrTTL)
	}
	return it
}
