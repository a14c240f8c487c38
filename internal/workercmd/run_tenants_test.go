package workercmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The requests of a tenant, which a field of the body names, are limited. Other tenants do not wait
// for them.
func TestGroupConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := make(map[string]int), make(map[string]int)
		latency := newLatencies(t)
		b := newInBubble(t, 10, func(_ http.ResponseWriter, r *http.Request) {
			var order struct{ Tenant string }
			if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
				t.Error(err)
			}
			mu.Lock()
			now[order.Tenant]++
			most[order.Tenant] = max(most[order.Tenant], now[order.Tenant])
			mu.Unlock()
			time.Sleep(time.Second + latency.below(20*time.Millisecond))
			mu.Lock()
			defer mu.Unlock()
			now[order.Tenant]--
		}, "--group-concurrency", "3", "--group-by", "tenant")
		for i := range 100 {
			b.send(fmt.Sprintf(`{"name":"a%d","tenant":"loud"}`, i))
		}
		for i := range 20 {
			b.send(fmt.Sprintf(`{"name":"b%d"}`, i))
		}
		b.begin()
		defer b.end()
		if !b.await(time.Hour, func() bool { return b.depth(b.back.queueURL) == 0 }) {
			t.Fatal("messages are left")
		}
		mu.Lock()
		defer mu.Unlock()
		if most["loud"] != 3 || most[""] <= 3 {
			t.Errorf("requests at a time: %v, want 3 of the tenant, and no bound for messages without one", most)
		}
	})
}
