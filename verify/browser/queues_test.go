//go:build browser

package browser

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// several is the console of a process with three queues: orders and mails.fifo have two messages
// at work each, and bills cannot start.
func several(t *testing.T) (url string, orders, mails *consoletest.Worker, trouble *troubledPool) {
	t.Helper()
	trouble = &troubledPool{}
	queue := func(name string, edit func(*consoletest.Showing)) *consoletest.Worker {
		w := consoletest.New(t, consoletest.Options{
			Concurrency: 7,
			Handle: func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
				if a, _ := dedupe.AttemptFrom(ctx); strings.HasPrefix(a.Name, "done-") {
					return dedupe.Payload{Data: []byte("{}")}, nil
				}
				<-ctx.Done()
				return dedupe.Payload{}, context.Cause(ctx)
			},
			Edit: func(s *consoletest.Showing) {
				s.Name = name
				edit(s)
			},
		})
		w.Run(t)
		return w
	}
	orders = queue("orders", func(*consoletest.Showing) {})
	mails = queue("mails.fifo", func(s *consoletest.Showing) { trouble.Pool, s.Pool = s.Pool, trouble })
	for i := range 2 {
		orders.Send(t, orders.QueueURL, fmt.Sprintf("order-%d", i), nil)
		mails.Send(t, mails.QueueURL, fmt.Sprintf("mail-%d", i), nil)
	}
	handler, err := console.New(console.Config{
		Version: "v1.4.0", Logger: slog.New(slog.DiscardHandler), Queues: []console.QueueConfig{orders.Showing, mails.Showing},
		Starting: []console.StartingQueue{{Name: "bills", Why: func() string { return "access is denied" }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL, orders, mails, trouble
}

// link returns the index-th link to a queue: its text, address, title, tone, and whether it is
// marked as the page's own.
func (p *tab) link(index int) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`(a => [a.innerText.replace(/\s+/g, ' '), a.getAttribute('href') ?? 'no address', a.title, a.lastChild.dataset.tone,
		a.getAttribute('aria-current') ?? ''].join(' | '))(document.querySelectorAll('#queues a')[%d])`, index))
}

func TestQueueLinks(t *testing.T) {
	t.Run("links", testQueueLinks)
	t.Run("phone", testQueueLinksOfAPhone)
	t.Run("one queue", testOneQueueHasNoLinks)
}

// A link leads to the page of its queue, which shows and changes that queue alone.
func testQueueLinks(t *testing.T) {
	url, orders, mails, trouble := several(t)
	p := open(t, url)
	p.until("the links count", `[...document.querySelectorAll('#queues .count')].map(e => e.textContent).join() === '2/7,2/7,starting'`)
	for i, want := range []string{
		"orders 2/7 | /?queue=orders | running | none | page",
		"mails.fifo 2/7 | /?queue=mails.fifo | running | none | ",
		"bills starting | no address | starting: access is denied | bad | ",
	} {
		if got := p.link(i); strings.Map(visible, got) != want {
			t.Errorf("link %d is %q, want %q", i, got, want)
		}
	}
	const flights = `[...document.querySelectorAll('#flights tbody tr')].map(e => e.textContent.match(/(order|mail)-\d/)?.[0]).sort().join()`
	p.until("the orders are shown", flights+` === 'order-0,order-1'`)
	p.axe("several queues")
	p.shoot("orders")

	p.click("#queues a:nth-child(2)")
	p.until("the mails are shown", flights+` === 'mail-0,mail-1'`)
	if got := strings.Map(visible, p.link(1)); !strings.HasSuffix(got, "| page") || !strings.HasSuffix(p.link(0), "| ") {
		t.Errorf("the links are %q and %q", p.link(0), got)
	}
	// Sections keep the queue.
	p.goTo("#/name/mail-0")
	p.until("the story is told", `document.querySelector('.story-title')?.textContent.includes('mail-0')`)
	if search := eval[string](p, `location.search`); search != "?queue=mails.fifo" {
		t.Errorf("the address of the story is of %q", search)
	}
	p.goTo("#/")
	trouble.down.Store(true)
	p.until("the trouble is told", `document.querySelectorAll('#queues .count')[1].textContent === 'held' && !document.getElementById('trouble').hidden`)
	if got, want := strings.Map(visible, p.link(1)), "mails.fifo held | /?queue=mails.fifo | held, down: http://target.example:8080 | bad | page"; got != want {
		t.Errorf("the link is %q, want %q", got, want)
	}
	p.axe("a queue in trouble")
	p.shoot("mails in trouble")

	// The other queue goes on, and a pause is that of one queue.
	p.click("#queues a:nth-child(1)")
	p.until("the orders are shown", flights+` === 'order-0,order-1'`)
	if !eval[bool](p, `document.getElementById('trouble').hidden`) {
		t.Errorf("the trouble of mails is told of orders: %q", p.text("#trouble"))
	}
	p.click("#pause")
	p.until("orders is paused", `document.getElementById('state').textContent === 'paused'`)
	if a, b := orders.Pool.Stats().State, mails.Pool.Stats().State; a != consumer.Paused || b != consumer.Running {
		t.Errorf("orders is %s, mails is %s", a, b)
	}
}

// visible drops characters without a width.
func visible(r rune) rune {
	if r >= '\u2066' && r <= '\u2069' {
		return -1
	}
	return r
}

func testQueueLinksOfAPhone(t *testing.T) {
	url, _, _, _ := several(t)
	p := open(t, url, phone())
	p.until("the links count", `document.querySelectorAll('#queues .count').length === 3`)
	if wide := eval[bool](p, `document.documentElement.scrollWidth > innerWidth`); wide {
		t.Error("the page is wider than the phone")
	}
	p.click("#queues a:nth-child(2)")
	p.until("the mails are shown", `location.search === '?queue=mails.fifo' && document.querySelectorAll('#flights tbody tr').length === 2`)
	p.axe("several queues on a phone")
	p.shoot("phone")
}

func testOneQueueHasNoLinks(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	p := open(t, w.Server.URL)
	if !eval[bool](p, `document.getElementById('queues').hidden`) {
		t.Errorf("the links are %q", p.text("#queues"))
	}
}
