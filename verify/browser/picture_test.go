//go:build browser

package browser

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// TestPicture runs a shop with waves of orders: a third of them are sent more than once, and some
// are declined. With SQSONCE_CONSOLE_PICTURE it runs for two minutes and writes the picture to that
// file.
func TestPicture(t *testing.T) {
	target, watch := os.Getenv("SQSONCE_CONSOLE_PICTURE"), 5*time.Second
	if target != "" {
		watch = 2 * time.Minute
	}
	w := consoletest.Start(t, consoletest.Options{Concurrency: 20, Handle: shop, Edit: func(c *consoletest.Showing) {
		c.Table, c.Version, c.TaskID = "orders-records", "v1.4.0", "7f3a09c2e1"
		c.Protection = func() string { return "until it is idle" }
		c.Drain = func() {}
	}})
	for i := range 3 {
		w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", 3+i), map[string]string{consumer.AttrReason: "rejected", consumer.AttrError: "card declined"})
	}
	p := open(t, w.Server.URL, chromedp.EmulateViewport(1280, 1240, chromedp.EmulateScale(2)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sending sync.WaitGroup
	sending.Go(func() {
		random := rand.New(rand.NewPCG(1, 2)) // the same shop in every run
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i, n := 0, 0; ctx.Err() == nil; i++ {
			for range 3 + (i/20)%5*3 + random.IntN(4) {
				n++
				w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", 10_000+n), nil)
				for range random.IntN(8) / 5 {
					w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", 10_000+n-random.IntN(min(n, 300))), nil)
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	<-time.After(watch)
	p.until("messages are in flight", `document.querySelectorAll('#flights tbody tr').length >= 4`)
	png := p.shoot("overview")
	cancel()
	sending.Wait()
	if target != "" {
		if err := os.WriteFile(target, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
