//go:build browser

package browser

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// axe checks the page against the accessibility rules of axe-core.
func (p *tab) axe(what string) {
	p.t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		p.t.Fatalf("npm ci has not been run: %v", err)
	}
	p.do(chromedp.Evaluate[chromedp.Void](string(source) + "\n;void 0"))
	found := eval[[]string](p, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations
		.map(v => v.id + ' (' + v.impact + '): ' + v.help + ' ' + v.nodes.map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | ')))`)
	for _, violation := range found {
		p.t.Errorf("%s: %s", what, violation)
	}
}

// shop handles orders like a real one: it charges most of them, and some fail.
func shop(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
	a, _ := dedupe.AttemptFrom(ctx)
	sum := 0
	for _, c := range a.Name {
		sum += int(c)
	}
	timer := time.NewTimer(time.Duration(15+sum%60) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return dedupe.Payload{}, context.Cause(ctx)
	}
	switch {
	case sum%97 == 0:
		return dedupe.Payload{}, declined
	case sum%41 == 0 && a.Number == 1:
		return dedupe.Payload{}, fmt.Errorf("charge card for %q: gateway answered 502", a.Name)
	}
	return dedupe.Payload{Data: fmt.Appendf(nil, `{"charged":%d,"currency":"EUR"}`, sum)}, nil
}

// permanent is an error that rejects a name.
type permanent string

func (p permanent) Error() string { return string(p) }
func (permanent) Permanent() bool { return true }

const declined = permanent("card declined")

func TestConsole(t *testing.T) {
	t.Run("thousand messages", testThousandMessages)
	t.Run("look up and forget", testLookUpAndForget)
	t.Run("late failure of another story", testLateFailure)
	t.Run("replay", testReplay)
	t.Run("pause and resume", testPauseAndResume)
	t.Run("drain", testDrain)
	t.Run("dead letters", testDeadLetters)
	t.Run("log in", testLogIn)
	t.Run("hostile name", testHostileName)
	t.Run("dark mode and phone", testDarkModeAndPhone)
	t.Run("reduced motion", testReducedMotion)
	t.Run("focus on a failure", testFocusOnFailure)
	t.Run("focus in lists", testFocusInLists)
	t.Run("long name", testLongName)
	t.Run("layout in trouble", testLayoutInTrouble)
	t.Run("sparklines", testSparklines)
	t.Run("row opens", testRowOpens)
	t.Run("focus after an action", testFocusAfterAction)
	t.Run("no stream", testNoStream)
	t.Run("worker gone", testWorkerGone)
	t.Run("session ends", testSessionEnds)
	t.Run("two deliveries", testTwoDeliveries)
	t.Run("keyboard", testKeyboard)
	t.Run("stream", testStream)
	t.Run("configuration", testConfiguration)
}

func testThousandMessages(t *testing.T) {
	var runs atomic.Int64
	w := consoletest.Start(t, consoletest.Options{Concurrency: 20, Handle: func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		runs.Add(1)
		return shop(ctx, m)
	}})
	// Fit the whole page into the window, because a larger picture would move elements.
	p := open(t, w.Server.URL, chromedp.EmulateViewport(1440, 1500))
	if got := p.text("#state"); got != "running" {
		t.Errorf("the state is %q", got)
	}
	p.until("the empty states are there", `!document.getElementById('flights-empty').hidden && !document.getElementById('outcomes-empty').hidden`)
	if got := p.text(".reach"); !strings.HasPrefix(got, "Charts: the last minute, later 15") {
		t.Errorf("the time range of the charts is %q", got)
	}
	p.shoot("empty")
	// While data streams, only growing numbers, their units, and the rows of lists may move.
	eval[bool](p, `(window.shift = 0, window.moved = [], new PerformanceObserver(list => { for (const e of list.getEntries()) {
		const moved = e.sources.map(({node}) => node?.nodeType === Node.TEXT_NODE ? node.parentElement : node)
			.filter(element => element && !element.closest('.tile-value, .tile-sub, .times, tbody'));
		if (moved.length) window.shift += e.value;
		window.moved.push(...moved.map(element => element.id || element.className || element.tagName));
	} }).observe({type: 'layout-shift', buffered: false}), true)`)
	// Shifts are detected.
	eval[bool](p, `(document.getElementById('tiles').style.marginBlockStart = '40px', true)`)
	p.until("tiles that are pushed down are noted", `window.shift > 0.01 && window.moved.length > 0`)
	eval[bool](p, `(document.getElementById('tiles').style.marginBlockStart = '', window.before = window.shift, true)`)
	p.until("and that they are back", `window.shift > window.before`)
	eval[bool](p, `(window.shift = 0, window.moved = [], true)`)
	for i := range 1000 {
		w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", i), nil)
	}
	p.until("messages are in flight", `document.querySelectorAll('#flights tbody tr').length > 5`)
	p.until("handled messages are counted", `parseFloat(document.querySelector('#tile-handled .tile-value').textContent) > 1`)
	p.until("outcomes are listed", `document.querySelectorAll('#outcomes tbody tr').length === 50`)
	p.shoot("running")
	p.until("the run is over", `document.querySelectorAll('#flights tbody tr').length === 0`)
	p.until("failures are grouped", `[...document.querySelectorAll('#failures .what')].some(e => e.textContent === 'charge card for “…”: gateway answered 502')`)
	if n := runs.Load(); n < 1000 {
		t.Errorf("%d runs for 1,000 names", n)
	}
	if moved := eval[[]string](p, `window.moved`); len(moved) > 0 {
		t.Errorf("while data streamed these moved: %v", moved)
	}
	if shift := eval[float64](p, `window.shift`); shift > 0.01 {
		t.Errorf("the layout has shifted by %g", shift)
	}
	p.shoot("after")
	p.axe("overview")
}

func testLookUpAndForget(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Handle: shop})
	w.Send(t, w.QueueURL, "order-17", nil)
	w.Send(t, w.QueueURL, "order-17", nil)
	p := open(t, w.Server.URL)
	p.until("it is handled", `document.querySelectorAll('#outcomes tbody tr').length >= 2`)
	p.fill("#lookup-name", "order-17")
	p.click("#lookup button")
	p.until("the story is told", `document.querySelector('.story-title .badge')?.textContent === 'completed'`)
	if label := eval[string](p, `document.querySelector('.diagram').getAttribute('aria-label')`); label != "Path: not seen to in progress; in progress to completed" {
		t.Errorf("the path is %q", label)
	}
	if got := p.text("#story"); !strings.Contains(got, `"currency":"EUR"`) || !strings.Contains(got, "claimed") {
		t.Errorf("the story is %q", got)
	}
	p.shoot("story")
	p.axe("story")
	p.click("#forget")
	p.until("it asks", `document.getElementById('ask').open`)
	p.shoot("ask")
	p.click("#ask-yes")
	p.until("it is forgotten", `document.querySelector('.story-title .badge')?.textContent === 'no record'`)
	p.fill("#lookup-name", "never-seen")
	p.click("#lookup button")
	p.until("a name without a record says so", `document.querySelector('.story-title .big')?.textContent === 'never-seen'`)
	if _, err := w.Operator.Lookup(t.Context(), "order-17"); !errors.Is(err, dedupe.ErrNoRecord) {
		t.Errorf("its record is still there: %v", err)
	}
}

func testLateFailure(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Handle: shop})
	p := open(t, w.Server.URL)
	eval[bool](p, `(real => {
		window.fetch = (path, options) => path.endsWith('?name=late') ? new Promise((_, fail) => { window.fail = fail; }) : real(path, options);
		return true;
	})(window.fetch)`)
	p.goTo("#/name/late")
	p.until("it is asked for", `window.fail`)
	p.goTo("#/name/order-17")
	p.until("the other is shown", `document.querySelector('.story-title .big')?.textContent === 'order-17'`)
	eval[bool](p, `(window.fail(new Error('too late')), new Promise(noticed => setTimeout(() => noticed(true))))`)
	if got := p.text("#story"); !strings.HasPrefix(got, "order-17") {
		t.Errorf("the story is %q", got)
	}
}

func testReplay(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Handle: shop})
	p := open(t, w.Server.URL)
	p.goTo("#/try")
	p.fill("#replay-name", "order-17")
	p.fill("#replay-count", "300")
	p.click("#replay-go")
	p.until("it has ended", `document.getElementById('replay-verdict').textContent.startsWith('300 accepted')`)
	for id, want := range map[string]string{"#replay-accepted": "300", "#replay-handled": "1", "#replay-suppressed": "299", "#replay-open": "0"} {
		if got := p.text(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	p.until("the bar has come to rest", `document.getAnimations().length === 0`)
	p.shoot("replay")
	p.axe("try it")
	p.fill("#send-name", "order-18")
	p.fill("#send-body", `{"total":42}`)
	p.click("#send-go")
	p.until("it is accepted", `document.getElementById('send-result').textContent.startsWith('Accepted')`)
}

func testPauseAndResume(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	p := open(t, w.Server.URL)
	p.click("#pause")
	p.until("it is paused", `document.getElementById('state').textContent === 'paused' && document.getElementById('pause').hidden`)
	if state := w.Pool.Stats().State; state != consumer.Paused {
		t.Errorf("the pool is %s", state)
	}
	p.shoot("paused")
	p.click("#resume")
	p.until("it is running", `document.getElementById('state').textContent === 'running'`)
}

func testDrain(t *testing.T) {
	var drained atomic.Int64
	w := consoletest.Start(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Drain = func() { drained.Add(1) } }})
	p := open(t, w.Server.URL)
	p.click("#drain")
	p.click("#ask-no")
	p.click("#drain")
	p.click("#ask-yes")
	p.until("it says so", `document.getElementById('toast').textContent === 'Draining.'`)
	if drained.Load() != 1 {
		t.Errorf("drained %d times", drained.Load())
	}
}

func testDeadLetters(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	for i := range 14 {
		w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", i), map[string]string{consumer.AttrReason: "rejected", consumer.AttrError: "card declined", attributes.Attempts: "1"})
	}
	for i := range 3 {
		w.Send(t, w.DLQURL, fmt.Sprintf("invoice-%d", i), map[string]string{consumer.AttrReason: "mismatch", consumer.AttrError: "used before with a different body"})
	}
	p := open(t, w.Server.URL)
	p.until("the tab counts them", `document.getElementById('dead-count').textContent === '17'`)
	p.goTo("#/dead")
	p.click("#peek")
	p.until("they are grouped", `document.querySelectorAll('#dead-list .panel').length === 2 && document.querySelectorAll('.letter').length === 17`)
	p.click(".letter summary")
	p.shoot("dead")
	p.axe("dead letters")
	p.click(".letter[open] button")
	p.until("one is sent back", `document.getElementById('dead-progress').textContent.startsWith('1 sent back') && document.querySelectorAll('.letter').length === 16`)
	p.click("#group-mismatch")
	p.click("#ask-yes")
	p.until("a group is sent back", `document.getElementById('dead-progress').textContent.startsWith('3 sent back') && document.querySelectorAll('.letter').length === 13`)
	p.click("#redrive-all")
	p.click("#ask-yes")
	p.until("all are sent back", `document.getElementById('dead-progress').textContent.startsWith('13 sent back') && document.querySelector('#dead-list .empty')?.textContent.startsWith('No dead letters')`)
	p.shoot("none")
}

func testLogIn(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Token: "t0ken"})
	p := open(t, w.Remote.URL)
	if eval[bool](p, `!document.getElementById('pause').hidden || !document.querySelector('[data-view=try]').hidden || document.getElementById('readonly').hidden`) {
		t.Error("a stranger is offered actions")
	}
	p.goTo("#/dead")
	p.until("dead letters are not shown", `document.getElementById('dead').textContent.includes('Log in to look')`)
	p.shoot("stranger")
	p.click("#login")
	p.expect("401") // the browser logs the refused login
	p.fill("#login-token", "guess")
	p.click("#login-form [type=submit]")
	p.until("a guess is refused", `document.getElementById('login-error').textContent === 'the token is not the admin token'`)
	p.shoot("login")
	p.axe("login")
	p.fill("#login-token", "t0ken")
	p.click("#login-form [type=submit]")
	p.until("the token opens", `!document.getElementById('login-dialog').open && !document.getElementById('logout').hidden && document.getElementById('peek') !== null`)
	if cookies := eval[string](p, `document.cookie`); cookies != "" {
		t.Errorf("scripts can read the cookie: %s", cookies)
	}
	p.click("#pause")
	p.until("it is paused", `document.getElementById('state').textContent === 'paused'`)
	p.click("#logout")
	p.until("it is read-only again", `!document.getElementById('readonly').hidden && document.getElementById('resume').hidden`)
}

func testHostileName(t *testing.T) {
	const hostile = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`
	w := consoletest.Start(t, consoletest.Options{Handle: func(context.Context, consumer.Message) (dedupe.Payload, error) {
		return dedupe.Payload{}, errors.New(hostile)
	}})
	w.Send(t, w.QueueURL, hostile, nil)
	w.Send(t, w.DLQURL, hostile, map[string]string{consumer.AttrReason: hostile, consumer.AttrError: hostile})
	p := open(t, w.Server.URL)
	p.until("it is listed", `document.querySelector('#outcomes tbody .name')?.textContent === `+fmt.Sprintf("%q", hostile))
	p.until("its error is grouped", `document.querySelectorAll('#failures li').length === 1`)
	if shown := eval[bool](p, `[...document.querySelectorAll('#outcomes .name a, #failures .more a')].every(a => a.checkVisibility())`); !shown {
		t.Error("it is hidden")
	}
	p.shoot("hostile-overview")
	p.click("#outcomes tbody .name a")
	p.until("its story is told", `document.querySelector('.story-title .big')?.textContent === `+fmt.Sprintf("%q", hostile))
	p.shoot("hostile-story")
	p.goTo("#/dead")
	p.click("#peek")
	p.until("it is among the dead letters", `document.querySelector('.letter .name')?.textContent === `+fmt.Sprintf("%q", hostile))
	p.shoot("hostile-dead")
	if eval[bool](p, `window.pwned !== undefined || document.querySelectorAll('main img, main script').length > 0`) {
		t.Error("foreign text was run, or became markup")
	}
	// If the page ever produced markup, the browser would refuse it.
	p.expect("TrustedHTML")
	p.expect("Trusted Type")
	if eval[bool](p, `(() => { try { document.body.innerHTML = '<img>'; return true; } catch { return false; } })()`) {
		t.Error("the policy lets text become markup")
	}
}

func testDarkModeAndPhone(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Handle: func(ctx context.Context, m consumer.Message) (dedupe.Payload, error) {
		if a, _ := dedupe.AttemptFrom(ctx); strings.HasPrefix(a.Name, "invoice-") {
			<-ctx.Done() // in flight until the test ends
			return dedupe.Payload{}, context.Cause(ctx)
		}
		return shop(ctx, m)
	}})
	for i := range 7 {
		w.Send(t, w.QueueURL, fmt.Sprintf("invoice-%d", i), nil)
		w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", 100+i), map[string]string{consumer.AttrReason: "rejected", consumer.AttrError: "card declined", attributes.Attempts: "5"})
	}
	for i := range 300 {
		w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", i%200), nil)
	}
	p := open(t, w.Server.URL)
	light := eval[string](p, `getComputedStyle(document.body.parentElement).backgroundColor`)
	p.until("messages are handled", `document.querySelectorAll('#outcomes tbody tr').length === 50`)
	p.until("a failure is there", `document.querySelectorAll('#failures li').length > 0`)
	p.until("the depths are known", `document.getElementById('dead-count').textContent === '7'`)
	p.do(colors("dark"))
	p.until("it is dark", `getComputedStyle(document.body.parentElement).backgroundColor !== `+fmt.Sprintf("%q", light))
	p.shoot("dark")
	p.axe("dark")
	p.goTo("#/name/order-17")
	p.until("the story is told", `document.querySelector('.diagram') !== null`)
	p.shoot("dark-story")
	p.axe("dark story")
	p.do(phone())
	for _, scheme := range []string{"dark", "light"} {
		p.do(colors(scheme))
		for _, view := range []struct{ hash, there string }{
			{"#/", "#flights tbody tr"}, {"#/name/order-17", ".diagram"}, {"#/dead", "#peek"}, {"#/try", "#replay-go"}, {"#/config", "#config tbody tr"},
		} {
			p.goTo(view.hash)
			p.until("the section is shown", fmt.Sprintf(`location.hash === %q && document.querySelector(%q)?.getClientRects().length`, view.hash, view.there))
			if wide := eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
				t.Errorf("on a phone %s is %d points too wide", view.hash, wide)
			}
			if cut := eval[[]string](p, `[...document.querySelectorAll('nav a')].filter(a => !a.hidden)
				.filter(a => { const r = a.getBoundingClientRect(); return r.left < 0 || r.right > innerWidth || a.scrollWidth > a.clientWidth; }).map(a => a.textContent)`); len(cut) > 0 {
				t.Errorf("on a phone at %s these tabs are cut off: %q", view.hash, cut)
			}
			p.shoot(scheme + "-phone-" + strings.Trim(strings.ReplaceAll(view.hash, "/", "-"), "#-"))
		}
		p.goTo("#/dead")
		p.click("#peek")
		p.click(".letter summary")
		p.shoot(scheme + "-phone-letters")
		p.axe(scheme + " phone")
	}
	p.goTo("#/")
	eval[bool](p, `(document.querySelector('#flights').closest('.panel').scrollIntoView(), true)`)
	p.shoot("light-phone-tables")
}

func testReducedMotion(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	p := open(t, w.Server.URL)
	const moving = `[...document.querySelectorAll('*')].flatMap(e => ['', '::before', '::after'].filter(pseudo => {
		const s = getComputedStyle(e, pseudo || null);
		return s.animationName !== 'none' || s.scrollBehavior !== 'auto' || s.transitionProperty !== 'none' && s.transitionDuration.split(', ').some(d => d !== '0s');
	}).map(pseudo => (e.id || e.className || e.tagName) + pseudo))`
	p.goTo("#/try")
	p.until("there is a form", `document.getElementById('replay-go')`)
	if found := eval[[]string](p, moving); len(found) == 0 {
		t.Error("nothing moves for anybody, so there is nothing to test here")
	}
	p.do(prefer("prefers-reduced-motion", "reduce"))
	p.click("#pause")
	p.until("it is paused", `document.getElementById('toast').classList.contains('on')`)
	if found := eval[[]string](p, moving); len(found) > 0 {
		t.Errorf("these move: %q", found)
	}
	if running := eval[int](p, `document.getAnimations().length`); running > 0 {
		t.Errorf("%d animations run", running)
	}
	p.shoot("toast")
}

func testFocusOnFailure(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
		a, _ := dedupe.AttemptFrom(ctx)
		return dedupe.Payload{}, fmt.Errorf("charge card for %q: %w", a.Name, declined)
	}})
	w.Send(t, w.QueueURL, "order-1", nil)
	p := open(t, w.Server.URL)
	p.until("a failure is there", `document.querySelector('#failures .times')?.textContent === '1 ×'`)
	eval[bool](p, `(document.querySelector('#failures a').focus(), true)`)
	w.Send(t, w.QueueURL, "order-2", nil)
	p.until("a second one is", `document.querySelector('#failures .times').textContent === '2 ×'`)
	if !eval[bool](p, `document.activeElement === document.querySelector('#failures a')`) {
		t.Errorf("the focus is at %s", eval[string](p, `document.activeElement.tagName`))
	}
	if got := eval[string](p, `document.activeElement.textContent + ' ' + document.activeElement.getAttribute('href')`); got != "order-2 #/name/order-2" {
		t.Errorf("the link is %s", got)
	}
}

func testFocusInLists(t *testing.T) {
	for name, before := range map[string]string{
		"with moveBefore":   `typeof Element.prototype.moveBefore === 'function'`,
		"in other browsers": `delete Element.prototype.moveBefore`,
	} {
		t.Run(name, func(t *testing.T) {
			gate := make(chan struct{})
			w := consoletest.Start(t, consoletest.Options{Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
				switch a, _ := dedupe.AttemptFrom(ctx); {
				case strings.HasPrefix(a.Name, "slow-"):
					select {
					case <-ctx.Done():
					case <-gate: // one per message that may end, oldest first
					}
				case strings.HasPrefix(a.Name, "card-"):
					return dedupe.Payload{}, declined
				default:
					return dedupe.Payload{}, permanent("out of stock")
				}
				return dedupe.Payload{Data: []byte("{}")}, nil
			}})
			p := open(t, w.Server.URL)
			if !eval[bool](p, before) {
				t.Fatal("this browser is another one")
			}
			focused := func(selector string) {
				t.Helper()
				if !eval[bool](p, fmt.Sprintf(`document.activeElement === window.watched && watched.closest(%q) !== null`, selector)) {
					t.Errorf("the focus is at %s", eval[string](p, `document.activeElement.outerHTML.slice(0, 200)`))
				}
			}
			focus := func(selector string) {
				eval[bool](p, fmt.Sprintf(`(window.watched = document.querySelector(%q), watched.focus(), true)`, selector))
			}
			first := func(want string) {
				t.Helper()
				p.until("the last failure is the first of the list: "+want, fmt.Sprintf(`document.querySelector('#failures .what')?.textContent.endsWith(%q)`, want))
			}

			w.Send(t, w.QueueURL, "card-0", nil)
			first("card declined")
			focus("#failures a")
			for i := range 3 {
				w.Send(t, w.QueueURL, fmt.Sprintf("stock-%d", i), nil)
				first("out of stock")
				focused("#failures")
				w.Send(t, w.QueueURL, fmt.Sprintf("card-%d", i+1), nil)
				first("card declined")
				focused("#failures")
			}

			for i := range 3 {
				w.Send(t, w.QueueURL, fmt.Sprintf("slow-%d", i), nil)
				p.until("it is in flight", fmt.Sprintf(`document.querySelectorAll('#flights tbody tr').length === %d`, i+1))
			}
			focus("#flights tbody tr:nth-child(3) a")
			gate <- struct{}{}
			p.until("an older one has ended", `document.querySelectorAll('#flights tbody tr').length === 2`)
			focused("#flights")
			close(gate)
			p.until("all have", `document.querySelectorAll('#flights tbody tr').length === 0`)
			if got := eval[string](p, `document.activeElement.getAttribute('aria-labelledby')`); got != "h-flights" {
				t.Errorf("when its row has gone, the focus is at %q", got)
			}
		})
	}
}

func testLongName(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	name := strings.Repeat("long-name/", 51)
	w.Send(t, w.QueueURL, name, nil)
	p := open(t, w.Server.URL)
	p.until("it is listed", `document.querySelector('#outcomes .name a') !== null`)
	if got := eval[int](p, `document.querySelector('#outcomes .name a').textContent.length`); got > 80 {
		t.Errorf("%d characters of it are shown", got)
	}
	eval[bool](p, `(document.querySelector('#outcomes .name a').click(), true)`) // the link's middle is outside its cell
	p.until("its story is told", `document.querySelector('.story-title .badge')?.textContent === 'completed'`)
	p.shoot("story")
}

// troubledPool reports a target that is down and suspect, when the test sets it.
type troubledPool struct {
	console.Pool
	down atomic.Bool
}

func (p *troubledPool) suspicion() string {
	if p.down.Load() {
		return "target answered 404 Not Found"
	}
	return ""
}

func (p *troubledPool) Snapshot(limit int) console.Snapshot {
	s := p.Pool.Snapshot(limit)
	if p.down.Load() {
		s.State, s.Down = "held", []string{"http://target.example:8080"}
	}
	return s
}

func testLayoutInTrouble(t *testing.T) {
	for name, size := range map[string]void{"desktop": chromedp.EmulateViewport(1440, 1000), "phone": phone()} {
		t.Run(name, func(t *testing.T) {
			pool := &troubledPool{}
			w := consoletest.Start(t, consoletest.Options{Edit: func(c *consoletest.Showing) {
				pool.Pool, c.Pool, c.Drain, c.Suspicion = c.Pool, pool, func() {}, pool.suspicion
			}})
			p := open(t, w.Server.URL, size)
			const places = `JSON.stringify(['#tile-handled', '#tile-dwell', '#flights', '#failures', 'nav'].map(s => document.querySelector(s).getBoundingClientRect().toJSON()))`
			before := eval[string](p, places)
			pool.down.Store(true)
			p.until("the trouble is told", `!document.getElementById('trouble').hidden && document.getElementById('state').textContent === 'held'`)
			for _, want := range []string{
				"Down: http://target.example:8080.", "suspect: several messages in a row have failed alike (\u2068target answered 404 Not Found\u2069)", "POST /believe?queue=sqsonce",
			} {
				if got := p.text("#trouble"); !strings.Contains(got, want) {
					t.Errorf("the notice is %q, without %q", got, want)
				}
			}
			if after := eval[string](p, places); after != before {
				t.Errorf("with the trouble everything is at %s, before it was at %s", after, before)
			}
			if !eval[bool](p, `(r => r.height > 0 && r.top >= 0 && r.bottom <= innerHeight)(document.getElementById('trouble').getBoundingClientRect())`) {
				t.Error("the trouble is not to be seen")
			}
			p.axe("trouble")
			p.shoot("trouble")
			eval[bool](p, `(scrollTo(0, document.documentElement.scrollHeight), true)`)
			if !eval[bool](p, `document.getElementById('failures').closest('.panel').getBoundingClientRect().bottom <= document.getElementById('trouble').getBoundingClientRect().top`) {
				t.Error("the trouble covers the end of the page, wherever that is scrolled to")
			}
			eval[bool](p, `(scrollTo(0, 0), true)`)
			pool.down.Store(false)
			p.until("it is over", `document.getElementById('trouble').hidden && document.getElementById('state').textContent === 'running'`)
			if after := eval[string](p, places); after != before {
				t.Errorf("after the trouble everything is at %s, before it was at %s", after, before)
			}
			// The check works: in the normal flow, the same text moves the tiles.
			eval[bool](p, `(document.getElementById('trouble').style.position = 'static', true)`)
			pool.down.Store(true)
			p.until("it is told again", `!document.getElementById('trouble').hidden`)
			if after := eval[string](p, places); after == before {
				t.Error("nothing moves, whatever comes")
			}
		})
	}
}

func testSparklines(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Handle: shop})
	p := open(t, w.Server.URL)
	for i := range 20 {
		w.Send(t, w.QueueURL, fmt.Sprintf("order-%d", i), nil)
	}
	attribute := func(name string) string {
		return eval[string](p, fmt.Sprintf(`document.querySelector('#tile-received .tile-plot').getAttribute(%q)`, name))
	}
	readings := func() string {
		return eval[string](p, `[...new Set([...document.querySelectorAll('.tile-at')].map(e => e.textContent.slice(0, 8)))].join()`)
	}
	p.until("there are three points", `document.querySelector('#tile-received .tile-plot').getAttribute('aria-valuemax') === '2'`)
	if got := attribute("aria-label"); !strings.HasPrefix(got, "Received, the last minute: lowest 0/s, highest ") || !strings.HasSuffix(got, "/s, last 0/s") {
		t.Errorf("a sparkline is described as %q", got)
	}
	if got := readings(); got != "" {
		t.Errorf("without a reading it shows %q", got)
	}
	eval[bool](p, `(document.querySelector('#tile-received .tile-plot').focus(), true)`)
	last := attribute("aria-valuetext")
	if got := readings(); len(got) != 8 || !strings.HasPrefix(last, got+": ") {
		t.Errorf("the focus reads %q, the tiles are at %q", last, got)
	}
	p.do(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	first := attribute("aria-valuetext")
	if got := readings(); first == last || attribute("aria-valuenow") != "0" || len(got) != 8 || !strings.HasPrefix(first, got+": ") {
		t.Errorf("two to the left it reads %q, point %s, the tiles are at %q", first, attribute("aria-valuenow"), got)
	}
	p.shoot("keyboard")
	p.until("there are four points", `document.querySelector('#tile-received .tile-plot').getAttribute('aria-valuemax') === '3'`)
	if got := attribute("aria-valuetext"); got != first || !strings.HasPrefix(first, readings()+": ") {
		t.Errorf("when the chart goes on, the reading goes from %q to %q", first, got)
	}
	p.do(chromedp.KeyEvent(kb.End))
	if got := attribute("aria-valuenow"); got == "0" {
		t.Error("the key for the end does not lead there")
	}
	p.do(chromedp.KeyEvent(kb.Escape))
	if got := readings(); got != "" {
		t.Errorf("after escape it shows %q", got)
	}
	p.axe("sparklines")

	p.do(phone())
	p.until("the page is a phone's", `innerWidth === 390`)
	p.tap("#tile-handled .tile-plot")
	p.until("a tap reads all of them", `[...document.querySelectorAll('.tile-at')].every(e => e.textContent !== '' && e.checkVisibility() && e.getBoundingClientRect().height > 10)`)
	p.until("and covers no other text", `[...document.querySelectorAll('.tile')].every(tile => [...tile.querySelectorAll('.tile-value, .tile-sub, .kinds > span')]
		.every(e => e.getBoundingClientRect().bottom <= tile.querySelector('.tile-at').getBoundingClientRect().top + 0.5))`)
	p.shoot("touch")
}

func testRowOpens(t *testing.T) {
	for name, size := range map[string]void{"desktop": chromedp.EmulateViewport(1440, 1000), "phone": phone()} {
		t.Run(name, func(t *testing.T) {
			w := consoletest.Start(t, consoletest.Options{Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
				if a, _ := dedupe.AttemptFrom(ctx); a.Name == "slow" {
					<-ctx.Done() // in flight until the test ends
					return dedupe.Payload{}, context.Cause(ctx)
				}
				return dedupe.Payload{}, declined
			}})
			p := open(t, w.Server.URL, size)
			w.Send(t, w.QueueURL, "slow", nil)
			w.Send(t, w.QueueURL, "order-1", nil)
			p.until("both are listed", `document.querySelectorAll('#flights tbody tr').length === 1 && document.querySelectorAll('#outcomes tbody tr').length === 1`)
			for table, want := range map[string][]string{"#flights": {"Fence", "Attempt 1", "Receive 1"}, "#outcomes": {"card declined", "Then dead-letter", "Fence", "Attempt 1"}} {
				p.click(table + " .open")
				p.until("the row is open", fmt.Sprintf(`document.querySelector('%s .open').getAttribute('aria-expanded') === 'true' && document.querySelectorAll('%[1]s .details').length === 1`, table))
				got := strings.Join(strings.Fields(p.text(table+" .details")), " ")
				for _, text := range want {
					if !strings.Contains(got, text) {
						t.Errorf("%s shows %q, without %s", table, got, text)
					}
				}
				if id := eval[string](p, fmt.Sprintf(`[...document.querySelectorAll('%s .details div')].find(e => e.firstChild.textContent === 'Message').lastChild.textContent`, table)); len(id) != 36 {
					t.Errorf("the message of %s is %q", table, id)
				}
				if cut := eval[int](p, fmt.Sprintf(`[...document.querySelectorAll('%s .details dd')].filter(e => { const r = e.getBoundingClientRect(); return r.width === 0 || r.left < 0 || r.right > innerWidth; }).length`, table)); cut > 0 {
					t.Errorf("%d facts of %s are cut off", cut, table)
				}
			}
			p.shoot("open")
			p.axe("open rows")
			w.Send(t, w.QueueURL, "order-2", nil)
			p.until("another one is listed", `document.querySelectorAll('#outcomes tbody tr').length === 3`)
			if got := eval[string](p, `[...document.querySelectorAll('#outcomes tbody tr')].map(e => e.className || e.querySelector('.name').textContent).join()`); got != "order-2,order-1,details" {
				t.Errorf("the outcomes are %s", got)
			}
			p.click("#outcomes tr:nth-child(2) .open")
			p.until("it is closed", `document.querySelector('#outcomes .details') === null`)
			if !eval[bool](p, `document.activeElement === document.querySelector('#outcomes tr:nth-child(2) .open')`) {
				t.Error("closing a row takes the focus away")
			}
		})
	}
}

func testFocusAfterAction(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Token: "t0ken"})
	for i := range 3 {
		w.Send(t, w.DLQURL, fmt.Sprintf("order-%d", i), map[string]string{consumer.AttrReason: "rejected"})
	}
	w.Send(t, w.QueueURL, "order-17", nil)
	p := open(t, w.Remote.URL)
	press := func(selector string) { // with the keyboard
		t.Helper()
		p.until(selector+" is there", fmt.Sprintf(`(e => e && e.getClientRects().length && !e.disabled)(document.querySelector(%q))`, selector))
		eval[bool](p, fmt.Sprintf(`(document.querySelector(%q).focus(), true)`, selector))
		p.do(chromedp.KeyEvent("\r"))
	}
	focused := func(after, id string) {
		t.Helper()
		p.until(after+" the focus is at "+id, fmt.Sprintf(`document.activeElement.id === %q`, id))
	}
	press("#login")
	p.fill("#login-token", "t0ken")
	p.do(chromedp.KeyEvent("\r"))
	focused("after the login", "logout")
	press("#pause")
	focused("after pause", "resume")
	press("#resume")
	focused("after resume", "pause")

	p.goTo("#/name/order-17")
	p.until("the story is told", `document.getElementById('forget') !== null`)
	eval[bool](p, `(window.told = document.getElementById('refresh'), true)`)
	press("#refresh")
	p.until("it is told again", `document.getElementById('refresh') !== window.told`)
	focused("after a refresh", "refresh")
	press("#forget")
	p.until("it asks", `document.getElementById('ask').open`)
	press("#ask-yes")
	p.until("it is forgotten", `document.querySelector('.story-title .badge').textContent === 'no record'`)
	focused("when it is forgotten", "refresh")

	p.goTo("#/dead")
	press("#peek")
	p.until("they are shown", `document.querySelectorAll('.letter').length === 3`)
	focused("after a look", "peek")
	eval[bool](p, `(document.querySelectorAll('.letter')[0].open = true, document.querySelectorAll('.letter')[1].open = true, true)`)
	press(".letter:nth-of-type(2) button") // the panel's head is the first child
	p.until("one is sent back", `document.querySelectorAll('.letter').length === 2`)
	if open := eval[int](p, `document.querySelectorAll('.letter[open]').length`); open != 1 {
		t.Errorf("%d of the letters that were left are open", open)
	}
	focused("when its letter is gone", "peek")
	press("#dead-list .panel-head button")
	press("#ask-yes")
	p.until("all are sent back", `document.querySelector('#dead-list .empty') !== null`)
	focused("when its group is gone", "peek")

	press("#logout")
	focused("after the logout", "login")
}

func testSessionEnds(t *testing.T) {
	const readonly = `document.getElementById('pause').hidden && !document.getElementById('login').hidden && document.getElementById('logout').hidden`
	login := func(t *testing.T) *tab {
		w := consoletest.Start(t, consoletest.Options{Token: "t0ken"})
		p := open(t, w.Remote.URL)
		p.click("#login")
		p.fill("#login-token", "t0ken")
		p.click("#login-form [type=submit]")
		p.until("the buttons are there", `!document.getElementById('pause').hidden && !document.getElementById('logout').hidden`)
		return p
	}
	const elsewhere = `fetch('/api/logout', {method: 'POST'})` // like another tab
	t.Run("when it is used", func(t *testing.T) {
		p := login(t)
		if code := eval[int](p, elsewhere+`.then(r => r.status)`); code != http.StatusOK {
			t.Fatalf("the logout answers %d", code)
		}
		p.expect("403")
		p.click("#pause")
		p.until("it is read-only", readonly)
	})
	t.Run("when its time has come", func(t *testing.T) {
		p := login(t)
		// The next answer has an end of the session in the past. Then the session ends.
		eval[bool](p, `(() => {
			const real = window.fetch;
			window.fetch = async (path, ...rest) => {
				const response = await real(path, ...rest);
				if (path !== '/api/session' || window.ended) return response;
				window.ended = true;
				const session = await response.json();
				await real('/api/logout', {method: 'POST'});
				return Response.json({...session, ends: 1});
			};
			dispatchEvent(new Event('forbidden')); // makes the page ask
			return true;
		})()`)
		p.until("it is read-only", `window.ended && `+readonly)
	})
}

// twicePool is a pool with two deliveries of a message.
type twicePool struct{ console.Pool }

func (p twicePool) Snapshot(limit int) console.Snapshot {
	s := p.Pool.Snapshot(limit)
	for receive := range 2 {
		s.Flights = append(s.Flights, console.Flight{ID: "m-1", Name: "order-17", Phase: "running", ReceiveCount: receive + 1, Received: time.Now()})
	}
	return s
}

func testTwoDeliveries(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Edit: func(c *consoletest.Showing) { c.Pool = twicePool{c.Pool} }})
	p := open(t, w.Server.URL)
	p.until("both are there", `document.querySelectorAll('#flights tbody tr').length === 2`)
}

func testKeyboard(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	p := open(t, w.Server.URL)
	p.do(chromedp.KeyEvent("\t"))
	if got := eval[string](p, `document.activeElement.className`); got != "skip" {
		t.Errorf("the first stop is %q", got)
	}
	stops := map[string]bool{}
	for range 30 {
		p.do(chromedp.KeyEvent("\t"))
		stops[eval[string](p, `document.activeElement.id || document.activeElement.getAttribute('aria-labelledby') || document.activeElement.textContent.trim()`)] = true
	}
	for _, want := range []string{"lookup-name", "pause", "Overview", "Try it", "h-flights", "h-outcomes"} {
		if !stops[want] {
			t.Errorf("tab does not reach %q, only %v", want, stops)
		}
	}
	eval[bool](p, `(document.getElementById('pause').focus(), true)`)
	p.do(chromedp.KeyEvent("\r"))
	p.until("it is paused", `document.getElementById('state').textContent === 'paused'`)
}

func testStream(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{})
	p := open(t, w.Server.URL)
	p.expect("ERR_") // the browser logs the broken connection
	eval[bool](p, `(new MutationObserver(() => { window.broke ||= document.getElementById('link').textContent.startsWith('reconnecting'); })
		.observe(document.getElementById('link'), {childList: true, characterData: true, subtree: true}), true)`)
	w.Server.CloseClientConnections()
	p.until("it says that it reconnects", `window.broke`)
	p.until("it is back", `document.getElementById('state').textContent === 'running' && document.getElementById('link').textContent === ''`)
	hide := func(hidden bool) {
		eval[bool](p, fmt.Sprintf(`(Object.defineProperty(document, 'hidden', {configurable: true, get: () => %v}), document.dispatchEvent(new Event('visibilitychange')), true)`, hidden))
	}
	hide(true)
	p.until("it rests", `document.getElementById('link').textContent === 'paused'`)
	w.Pool.Pause()
	before := p.text("#facts")
	w.Send(t, w.QueueURL, "order-17", nil)
	hide(false)
	p.until("it is back with what is new", `document.getElementById('link').textContent === '' && document.getElementById('state').textContent === 'paused'`)
	if before == "" {
		t.Error("the header was empty")
	}
}

func testConfiguration(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Token: "s3cret"})
	p := open(t, w.Server.URL)
	p.goTo("#/config")
	p.until("it is listed", `document.querySelectorAll('#config tbody tr').length === 3`)
	if got := p.text("#config"); strings.Contains(got, "s3cret") || !strings.Contains(got, "concurrency") {
		t.Errorf("the configuration is %q", got)
	}
	p.shoot("config")
	p.axe("configuration")
}
