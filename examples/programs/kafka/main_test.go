package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
)

type permanent struct{ error }

func (permanent) Permanent() bool { return true }

// Orders are produced twice, and consumed by two groups, as if all offsets of the first
// were lost.
func TestConsume(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	keys := []string{"order-1", "order-2", "bad", "order-1", "order-3", "order-2", "flaky", "last"}
	for _, key := range keys {
		// All in one partition: the last record is the last.
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Key: []byte(key), Value: []byte("a lamp"), Partition: 0}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	store := memstore.New()
	handled := map[string]int{}
	for _, group := range []string{"first", "second"} {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		)
		if err != nil {
			t.Fatal(err)
		}
		consumeAll(t, client, store, len(keys), handled)
	}
	want := map[string]int{"order-1": 1, "order-2": 1, "order-3": 1, "bad": 1, "flaky": 2, "last": 1}
	if !maps.Equal(handled, want) {
		t.Errorf("handled %v, want %v", handled, want)
	}
}

// consumeAll consumes records until the outcomes of n of them are known, and counts in handled how
// often each key was handled.
func consumeAll(t *testing.T, client *kgo.Client, store dedupe.Store, n int, handled map[string]int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	defer client.Close()
	var mu sync.Mutex // guards seen and handled
	seen := 0
	settled := func() {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == n {
			stop()
		}
	}
	cfg := dedupe.Config{Scope: "orders", Hooks: dedupe.Hooks{
		Replayed: func(dedupe.Attempt, string) { settled() },
		Refused:  func(dedupe.Attempt, string) { settled() },
		Settled: func(_ dedupe.Attempt, outcome string, _ time.Duration, _ error) {
			if outcome == "completed" || outcome == "rejected" {
				settled()
			}
		},
	}}
	err := consume(ctx, client, store, cfg, func(_ context.Context, r *kgo.Record) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		key := string(r.Key)
		handled[key]++
		switch {
		case key == "bad":
			return "", permanent{errors.New("no such lamp")}
		case key == "flaky" && handled[key] == 1:
			return "", errors.New("try again")
		}
		return "shipped", nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
