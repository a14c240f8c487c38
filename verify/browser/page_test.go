//go:build browser

package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// sizes are a desktop's and a phone's.
var sizes = map[string]func() void{
	"desktop": func() void { return chromedp.EmulateViewport(1440, 1000) },
	"phone":   phone,
}

// busy is a worker with messages in flight, outcomes, failures and dead letters.
func busy(t *testing.T, names ...string) *consoletest.Worker {
	w := consoletest.Start(t, consoletest.Options{Handle: func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		if a, _ := dedupe.AttemptFrom(ctx); strings.HasPrefix(a.Name, "slow-") {
			<-ctx.Done()
			return dedupe.Payload{}, context.Cause(ctx)
		}
		return shop(ctx, m)
	}, Edit: func(c *consoletest.Showing) { c.Drain = func() {} }})
	for i := range 100 {
		w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", i), nil)
	}
	for i := range 5 {
		w.Send(t, w.QueueURL, fmt.Sprintf("slow-%d", i), nil)
		w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", i), map[string]string{consumer.AttrReason: "rejected", consumer.AttrError: "card declined", attributes.Attempts: "5"})
	}
	for _, name := range names {
		w.Send(t, w.QueueURL, name, nil)
	}
	return w
}

// filled waits until every part of the overview has data.
func (p *tab) filled() {
	p.t.Helper()
	p.until("the overview is filled", `document.querySelectorAll('#flights tbody tr').length >= 5 && document.querySelectorAll('#outcomes tbody tr').length >= 20 &&
		document.querySelectorAll('#failures li').length > 0 && document.getElementById('dead-count').textContent === '5'`)
}

func TestPage(t *testing.T) {
	t.Run("layout shift of a load", testLayoutShift)
	t.Run("header of a phone", testHeaderOfAPhone)
	t.Run("accessibility", testAccessibility)
	t.Run("foreign text", testForeignText)
	t.Run("names that differ at the end", testNameEndings)
	t.Run("charts", testCharts)
	t.Run("joined duplicate", testJoinedDuplicate)
	t.Run("purge", testPurge)
}

// The layout shift while the page loads stays below 0.1, which web.dev calls good:
// https://web.dev/articles/cls
func testLayoutShift(t *testing.T) {
	w := busy(t)
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			p := open(t, w.Server.URL, size())
			p.filled()
			shift := eval[float64](p, `new Promise(done => { let sum = 0; window.moved = [];
				new PerformanceObserver(list => { for (const e of list.getEntries()) {
					sum += e.value;
					window.moved.push(e.value.toFixed(4) + ' ' + e.sources.map(({node}) => node?.id || node?.className || node?.nodeName).join(' '));
				} }).observe({type: 'layout-shift', buffered: true});
				requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(sum), 300))); })`)
			if shift >= 0.05 {
				t.Errorf("the layout shifts by %.3f: %q", shift, eval[[]string](p, `window.moved`))
			}
			p.shoot("overview")
		})
	}
}

func testHeaderOfAPhone(t *testing.T) {
	w := busy(t)
	p := open(t, w.Server.URL, phone())
	p.filled()
	if height := eval[float64](p, `document.querySelector('header').getBoundingClientRect().height`); height > 120 {
		t.Errorf("the header takes %g points", height)
	}
	p.shoot("phone")
}

// Each section, in both colour schemes and both widths, satisfies the rules of axe-core.
func testAccessibility(t *testing.T) {
	w := busy(t)
	for name, size := range sizes {
		p := open(t, w.Server.URL, size())
		p.filled()
		for _, scheme := range []string{"light", "dark"} {
			p.do(colors(scheme))
			for _, view := range []struct{ hash, there string }{
				{"#/", "#flights tbody tr"}, {"#/name/order-17", ".diagram"}, {"#/dead", "#peek"}, {"#/try", "#replay-go"}, {"#/config", "#config tbody tr"},
			} {
				p.goTo(view.hash)
				p.until("the section is shown", fmt.Sprintf(`document.querySelector(%q)?.getClientRects().length`, view.there))
				if view.hash == "#/dead" {
					p.click("#peek")
					p.click(".letter summary")
				}
				p.axe(name + " " + scheme + " " + view.hash)
			}
		}
	}
}

// invisible holds characters that no page may show: they change the direction of text, join
// characters, or look like nothing or like other characters.
var invisible = []string{"\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\u00ad", "\u200d", "\u3164", "\u2069", "\u00a0", "\U000e0041"}

func testForeignText(t *testing.T) {
	hidden := "pay\u202e\u200b-" + strings.Join(invisible, "x") + "-end"
	w := consoletest.Start(t, consoletest.Options{Handle: func(context.Context, consumer.Message) (dedupe.Payload, error) {
		return dedupe.Payload{}, permanent("declined \u202e\u2066 now")
	}})
	w.Send(t, w.QueueURL, hidden, nil)
	w.Send(t, w.QueueURL, "אבג-דהו", nil)
	w.Send(t, w.DLQURL, hidden, map[string]string{consumer.AttrReason: "odd\u202e", consumer.AttrError: "declined\u202e", attributes.Attempts: "1"})
	p := open(t, w.Server.URL)
	// raw returns the invisible characters in the page's text.
	raw := func(where string) {
		t.Helper()
		for _, c := range invisible {
			if c == "\u2069" || c == "\u2066" { // the page's own isolate
				continue
			}
			if eval[bool](p, fmt.Sprintf(`[document.title, document.body.innerText, ...[...document.querySelectorAll('[title]')].map(e => e.title)].some(text => text.includes(String.fromCodePoint(%d)))`, []rune(c)[0])) {
				t.Errorf("%s shows U+%04X as it is: %s", where, []rune(c)[0], eval[string](p, fmt.Sprintf(`[...document.querySelectorAll('body *')].filter(e => (e.childElementCount ? '' : e.textContent) .concat(e.title).includes(String.fromCodePoint(%d))).map(e => e.outerHTML).join('; ').slice(0, 500)`, []rune(c)[0])))
			}
		}
	}
	p.until("both are listed", `document.querySelectorAll('#outcomes tbody tr').length >= 2`)
	raw("the overview")
	if got := p.text("#outcomes"); !strings.Contains(got, "pay⟨U+202E⟩⟨U+200B⟩-") {
		t.Errorf("the name is shown as %q", got)
	}
	p.until("the failure is grouped", `document.querySelector('#failures .what') !== null`)
	for _, selector := range []string{"#outcomes .name a", "#failures .what"} {
		if got := eval[string](p, fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).unicodeBidi`, selector)); got != "isolate" {
			t.Errorf("%s: unicode-bidi is %q", selector, got)
		}
	}
	p.shoot("overview")
	eval[bool](p, `([...document.querySelectorAll('#outcomes .name a')].find(a => a.textContent.startsWith('pay')).click(), true)`)
	p.until("its story is told", `document.querySelector('.story-title .badge')?.textContent === 'rejected'`) // the link has the whole name
	raw("the story")
	p.click("#forget")
	raw("the question")
	if got := eval[string](p, `document.getElementById('ask-title').textContent`); !strings.Contains(got, "\u2068pay⟨U+202E⟩") || !strings.HasSuffix(got, "\u2069”?") {
		t.Errorf("the question quotes the name as %q", got)
	}
	p.shoot("question")
	p.click("#ask-no")
	p.goTo("#/dead")
	p.click("#peek")
	p.click(".letter summary")
	raw("the dead letters")
	if got := p.text("#dead-list"); !strings.Contains(got, "declined⟨U+202E⟩") || !strings.Contains(got, "odd⟨U+202E⟩") {
		t.Errorf("the letter is shown as %q", got)
	}
	p.shoot("dead")
}

func testNameEndings(t *testing.T) {
	const beginning = "customer/eu-central-1/very-long-tenant-name/monthly-report-with-attachments/"
	names := []string{beginning + "2026-01/part-000001", beginning + "2026-01/part-000002", strings.Repeat("x", 300) + "-a", strings.Repeat("x", 300) + "-b"}
	w := busy(t, names...)
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			p := open(t, w.Server.URL, size())
			p.until("they are listed", `[...document.querySelectorAll('#outcomes .name a')].filter(a => a.textContent.endsWith('part-000002') || a.textContent.endsWith('-b')).length >= 2`)
			// The last characters are visible in the cell that shortens the name.
			cut := eval[[]string](p, `[...document.querySelectorAll('#outcomes .name a')].filter(a => a.textContent.length > 20).filter(a => {
				const end = (a.querySelector('.ending') ?? a).getBoundingClientRect(), cell = a.closest('td').getBoundingClientRect();
				return end.width === 0 || end.right > cell.right + 1 || end.left < cell.left;
			}).map(a => a.textContent)`)
			if len(cut) > 0 {
				t.Errorf("of these the end is not shown: %q", cut)
			}
			if seen := eval[int](p, `new Set([...document.querySelectorAll('#outcomes .name a')].map(a => a.textContent).filter(t => /part-00000[12]$|-[ab]$/.test(t))).size`); seen != len(names) {
				t.Errorf("%d of %d names are distinct", seen, len(names))
			}
			p.shoot("names")
		})
	}
}

// A chart shows the value of its upper edge with the unit. Several lines have a legend.
func testCharts(t *testing.T) {
	w := busy(t, "order-1", "order-2", "order-3", "order-1", "order-2", "order-3")
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			p := open(t, w.Server.URL, size())
			p.filled()
			p.until("there are scales", `document.querySelector('#tile-handled .tile-scale').textContent !== ''`)
			for id, unit := range map[string]string{"handled": "/s", "suppressed": "/s", "received": "/s", "in_flight": "messages", "dead": "messages", "handle": "s", "calls": "call"} {
				p.until("the scale of "+id, fmt.Sprintf(`new RegExp(%q).test(document.querySelector('#tile-%s .tile-scale').textContent)`, `^[0-9.,]+ ?(`+unit+`|s?m?`+unit+`s?|message)$`, id))
			}
			for id, want := range map[string]string{"handle": "p50p95p99", "dwell": "p50p95"} {
				got := eval[string](p, fmt.Sprintf(`[...document.querySelectorAll('#tile-%s .lines > span')].map(s => s.textContent.split(' ')[0]).join('')`, id))
				if got != want {
					t.Errorf("the legend of %s is %q", id, got)
				}
			}
			if covered := eval[[]string](p, `[...document.querySelectorAll('.tile-sub, .tile-head h2')].filter(e => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1).map(e => e.textContent)`); len(covered) > 0 {
				t.Errorf("these do not fit: %q", covered)
			}
			if covered := eval[[]string](p, `[...document.querySelectorAll('.tile')].filter(tile => {
				const scale = tile.querySelector('.tile-scale'), text = document.createRange();
				text.selectNodeContents(tile.querySelector('.tile-sub'));
				return scale.textContent && text.getBoundingClientRect().bottom > scale.getBoundingClientRect().top;
			}).map(tile => tile.id + ' ' + tile.querySelector('.tile-sub').getBoundingClientRect().bottom + ' ' + tile.querySelector('.tile-scale').getBoundingClientRect().top)`); len(covered) > 0 {
				t.Errorf("the scale covers the text above the chart of %q", covered)
			}
			p.shoot("charts")
		})
	}
}

// A duplicate of work under way is shown as waiting, not as running.
func testJoinedDuplicate(t *testing.T) {
	w := busy(t, "slow-0", "slow-0")
	p := open(t, w.Server.URL)
	p.until("two wait for the third", `[...document.querySelectorAll('#flights tbody tr')].filter(r => r.querySelector('.name').textContent.includes('slow-0') && r.querySelector('.badge').textContent.startsWith('waits for ')).length === 2`)
	if running := eval[int](p, `[...document.querySelectorAll('#flights tbody tr')].filter(r => r.querySelector('.name').textContent.includes('slow-0') && r.querySelector('.badge').textContent === 'running').length`); running != 1 {
		t.Errorf("%d of three are shown as running", running)
	}
	p.shoot("joined")
}

func testPurge(t *testing.T) {
	w := busy(t)
	p := open(t, w.Server.URL)
	p.filled()
	p.goTo("#/dead")
	p.click("#purge")
	p.click("#ask-no")
	p.until("nothing is deleted", `document.getElementById('dead-count').textContent === '5'`)
	p.click("#purge")
	p.shoot("ask")
	p.click("#ask-yes")
	p.until("it says so", `document.getElementById('toast').textContent === 'About 5 deleted.'`)
	p.until("they are gone", `document.querySelector('#dead-list .empty')?.textContent.startsWith('No dead letters')`)
}
