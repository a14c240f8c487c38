package producercmd

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Only the attribute of --ttl-attribute holds the expiry of a record.
func TestTTLAttribute(t *testing.T) {
	r := realRig(t, "ttl-attribute")
	store, err := dynamo.New(emulators.DynamoDBClient(t), dynamo.Config{Table: "ttl-attribute", TTLAttribute: "expiration", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	guard, err := dedupe.New[string](store, dedupe.Config{Scope: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guard.Do(t.Context(), dedupe.Key{Name: "a"}, func(context.Context) (string, error) { return "done", nil }); err != nil {
		t.Fatal(err)
	}
	r.do("status", "a", "--ttl-attribute", "expiration").want(0).says("COMPLETED", "forgotten after")
	if got := r.do("status", "a"); strings.Contains(got.out, "forgotten after") {
		t.Errorf("without the flag: %s", got.out)
	}
}
