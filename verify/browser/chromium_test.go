//go:build browser

package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait for a condition of the page.
const patience = 30 * time.Second

// chromium is the browser of all tests. Each test has its own context.
var chromium context.Context

func TestMain(m *testing.M) {
	os.Exit(withChromium(m.Run))
}

func withChromium(run func() int) int {
	path, err := exec.LookPath("chromium")
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need Chromium: make browser installs it, or apt-get install chromium")
		return 1
	}
	profile, err := os.MkdirTemp("", "sqsonce-chromium-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(profile)
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(time.Minute),
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var end context.CancelFunc
	chromium, end = chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(chromium); err != nil {
		fmt.Fprintln(os.Stderr, "chromium does not start:", err)
		return 1
	}
	return run()
}

// tab is a page in its own browser context.
type tab struct {
	context.Context
	t *testing.T

	mu       sync.Mutex
	problems []string // guarded by mu: errors and warnings of the console
	expected []string // guarded by mu: texts of allowed problems
}

// void is an action without a result.
type void = chromedp.Action[chromedp.Void]

// command is a protocol command as an action.
func command[P, R any](c cdp.Command[P, R], params P) void {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// open opens a page at 1440 by 1000 points. The test fails if the page writes an error or a warning
// to its console.
func open(t *testing.T, url string, before ...void) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{Context: ctx, t: t}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, problem := range p.unexpected() {
			t.Errorf("console of the page: %s", problem)
		}
	})
	p.do(command(log.Enable, cdp.Empty{}), chromedp.EmulateViewport(1440, 1000))
	p.do(before...)
	p.do(chromedp.Navigate(url))
	p.until("the stream is there", `document.getElementById('state').textContent !== 'starting' && document.querySelectorAll('#facts dd').length > 0`)
	return p
}

func (p *tab) listen(event any) {
	note := func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.problems = append(p.problems, text)
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		note("exception: " + e.ExceptionDetails.Text)
		if e.ExceptionDetails.Exception != nil {
			note("exception: " + e.ExceptionDetails.Exception.Description)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var parts []string
			for _, arg := range e.Args {
				parts = append(parts, string(arg.Value)+arg.Description)
			}
			note(string(e.Type) + ": " + strings.Join(parts, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			note(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}
}

// expect allows problems of the page that contain this text.
func (p *tab) expect(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, text)
}

func (p *tab) unexpected() (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		known := false
		for _, text := range p.expected {
			known = known || strings.Contains(problem, text)
		}
		if !known {
			found = append(found, problem)
		}
	}
	return found
}

// do runs actions, which must succeed.
func (p *tab) do(actions ...void) {
	p.t.Helper()
	if err := chromedp.Do(p.Context, actions...); err != nil {
		p.t.Fatalf("%v\nthe page's console: %s", err, strings.Join(p.unexpected(), "\n"))
	}
}

// eval returns the value of an expression on the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.Context, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v\nthe page's console: %s", expression, err, strings.Join(p.unexpected(), "\n"))
	}
	return value
}

// until waits until an expression on the page is true.
func (p *tab) until(what, expression string) {
	p.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !eval[bool](p, `Boolean(`+expression+`)`); <-tick.C {
		if time.Now().After(end) {
			p.shoot("failed")
			p.t.Fatalf("waited in vain until %s\nthe page's console: %s", what, strings.Join(p.unexpected(), "\n"))
		}
	}
}

// click clicks the element of a selector after it is visible.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.until(selector+" can be clicked", fmt.Sprintf(`(e => e && e.getClientRects().length && !e.disabled)(document.querySelector(%q))`, selector))
	err := chromedp.Do(p.Context, chromedp.Click(selector))
	// The page drew the element anew between its lookup and the click: no event was sent yet.
	for end := time.Now().Add(patience); err != nil && strings.Contains(err.Error(), "Could not find node") && time.Now().Before(end); {
		err = chromedp.Do(p.Context, chromedp.Click(selector))
	}
	if err != nil {
		p.t.Fatalf("click %s: %v\nthe page's console: %s", selector, err, strings.Join(p.unexpected(), "\n"))
	}
}

// tap taps the element of a selector until the page reacts, because Chromium makes no click of the
// first touches after a change of size.
func (p *tab) tap(selector string) {
	p.t.Helper()
	at := eval[[]float64](p, fmt.Sprintf(`(e => {
		window.taps = 0;
		e.addEventListener('click', () => window.taps++);
		e.scrollIntoView({block: 'center'});
		const r = e.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})(document.querySelector(%q))`, selector))
	for end := time.Now().Add(patience); eval[int](p, `window.taps`) == 0; {
		if time.Now().After(end) {
			p.t.Fatalf("%s notices no tap", selector)
		}
		p.do(
			command(input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: input.DispatchTouchEventTypeTouchStart, TouchPoints: []*input.TouchPoint{{X: at[0], Y: at[1]}}}),
			command(input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: input.DispatchTouchEventTypeTouchEnd, TouchPoints: []*input.TouchPoint{}}),
		)
	}
}

// fill types text into an empty field.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	eval[string](p, fmt.Sprintf(`document.querySelector(%q).value = ''`, selector))
	p.do(chromedp.SendKeys(selector, text))
}

// text returns the text of a selector's element.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? '').trim()`, selector))
}

// goTo shows a section.
func (p *tab) goTo(hash string) {
	p.t.Helper()
	eval[string](p, fmt.Sprintf(`location.hash = %q`, hash))
}

// shoot saves a picture of the whole page, including the parts beyond the window, to the test's
// artifacts.
func (p *tab) shoot(name string) []byte {
	p.t.Helper()
	var png []byte
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		size, err := cdp.Call(ctx, t, page.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return err
		}
		all := size.CSSContentSize
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{
			CaptureBeyondViewport: new(all.Height > float64(size.CSSLayoutViewport.ClientHeight)), Clip: &page.Viewport{Width: all.Width, Height: all.Height, Scale: 1},
		})
		png = shot.Data
		return err
	}))
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), strings.ReplaceAll(p.t.Name(), "/", "-")+"-"+name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return png
}

// prefer sets a preference of the visitor, such as
// "prefers-color-scheme", and takes back the others.
func prefer(feature, value string) void {
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
}

// colors sets the preferred colour scheme: "dark" or "light".
func colors(scheme string) void { return prefer("prefers-color-scheme", scheme) }

// phone emulates a phone's size and touch input.
func phone() void {
	return chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch)
}

// quote returns a text as a JavaScript expression.
func quote(text string) string { return strconv.Quote(text) }
