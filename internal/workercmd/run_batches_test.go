package workercmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// batchTarget handles arrays of messages.
type batchTarget struct {
	latency *latencies

	mu     sync.Mutex
	posts  [][]string     // guarded by mu; names in each request
	failed map[string]int // guarded by mu; failures so far, by name
}

func (b *batchTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var items []struct {
		MessageID, Name, Body string
		Attempt               int
	}
	if err := json.NewDecoder(r.Body).Decode(&items); err != nil || r.Header.Get("X-Sqsonce-Batch") != strconv.Itoa(len(items)) {
		http.Error(w, "want an array", http.StatusTeapot)
		return
	}
	time.Sleep(b.latency.below(20 * time.Millisecond))
	b.mu.Lock()
	defer b.mu.Unlock()
	var names, failures []string
	for _, item := range items {
		names = append(names, item.Name)
	}
	whole := slices.Contains(names, "m13")
	for _, item := range items {
		switch {
		case whole:
		case item.Name == "m7":
			failures = append(failures, fmt.Sprintf(`{"itemIdentifier":%q,"status":422,"error":"no address"}`, item.MessageID))
		case item.Name == "m8" && b.failed[item.Name] < 2:
			b.failed[item.Name]++
			failures = append(failures, fmt.Sprintf(`{"itemIdentifier":%q,"retryAfter":3}`, item.MessageID))
		}
	}
	b.posts = append(b.posts, names)
	switch {
	case whole && len(names) > 1:
		http.Error(w, "one of them breaks all", http.StatusInternalServerError)
	case whole:
		http.Error(w, "bad", http.StatusUnprocessableEntity)
	default:
		_, _ = fmt.Fprintf(w, `{"batchItemFailures":[%s]}`, strings.Join(failures, ","))
	}
}

// Each message of a request has its own outcome. A message that breaks every batch is tried alone.
func TestTargetBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		target := &batchTarget{latency: newLatencies(t), failed: make(map[string]int)}
		b := newInBubble(t, 10, target.ServeHTTP, "--target-batch", "10")
		for i := range n {
			b.send(body("m" + strconv.Itoa(i)))
		}
		b.begin()
		defer b.end()
		if !b.await(time.Hour, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Fatalf("%d of %d messages are left", b.depth(b.back.queueURL), n)
		}
		for i := range n {
			name, want := "m"+strconv.Itoa(i), "COMPLETED after 1"
			switch name {
			case "m7", "m13":
				want = "REJECTED after 1"
			case "m8":
				want = "COMPLETED after 3"
			}
			if r := b.record(name); fmt.Sprintf("%s after %d", r.Status, r.Attempts) != want {
				t.Errorf("%s is %s after %d (%s), want %s", name, r.Status, r.Attempts, r.Error, want)
			}
		}
		var dead []string
		for _, m := range b.dead() {
			dead = append(dead, aws.ToString(m.MessageAttributes[consumer.AttrName].StringValue))
		}
		if slices.Sort(dead); strings.Join(dead, " ") != "m13 m7" {
			t.Errorf("dead letters of %v, want m13 and m7", dead)
		}
		if text := b.log.String(); !strings.Contains(text, "a batch failed as a whole: each of its messages is tried alone") || !strings.Contains(text, "one of them breaks all") {
			t.Errorf("no line about the batch in\n%s", text)
		}
		target.mu.Lock()
		defer target.mu.Unlock()
		target.check(t, n)
	})
}

// check checks the requests. The caller holds mu.
func (b *batchTarget) check(t *testing.T, n int) {
	t.Helper()
	alone := make(map[string]bool)
	for _, names := range b.posts {
		if len(names) > 10 {
			t.Errorf("a request with %d messages", len(names))
		}
		for _, name := range names {
			if alone[name] && len(names) > 1 {
				t.Errorf("%s is in a batch of %d before it was tried alone", name, len(names))
			}
			alone[name] = slices.Contains(names, "m13") && len(names) > 1
		}
	}
	if len(b.posts) > n/2 {
		t.Errorf("%d requests for %d messages: they are not in batches", len(b.posts), n)
	}
	if !slices.ContainsFunc(b.posts, func(names []string) bool { return len(names) == 1 && names[0] == "m13" }) {
		t.Error("m13 was never alone")
	}
}

// An answer that does not list the failed messages is an unknown outcome: with hold each name is
// held.
func TestTargetBatchUnknown(t *testing.T) {
	for hold, want := range map[string]protocol.Status{"hold": protocol.Unknown, "rerun": protocol.Completed} {
		t.Run(hold, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newInBubble(t, 10, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Sqsonce-Batch") != "1" {
						_, _ = fmt.Fprint(w, "fine")
					}
				}, "--target-batch", "2", "--on-unknown", hold)
				b.send(body("a"))
				b.send(body("b"))
				b.begin()
				defer b.end()
				if !b.await(time.Hour, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Fatal("messages are left")
				}
				for _, name := range []string{"a", "b"} {
					if r := b.record(name); r.Status != want || r.Attempts != 1 {
						t.Errorf("%s is %s after %d attempts (%s), want %s after 1", name, r.Status, r.Attempts, r.Error, want)
					}
				}
			})
		})
	}
}
