//go:build browser

package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/console/consoletest"
)

// lost is an error with an unknown outcome of the work.
type lost struct{ error }

func (lost) OutcomeUnknown() bool { return true }

// unsettled is a worker whose names end UNKNOWN (lost-…) or REJECTED (bad-…), with their letters in
// the dead-letter queue, until the fault is removed.
func unsettled(t *testing.T, lostNames, badNames int) (w *consoletest.Worker, mended *atomic.Bool) {
	mended = &atomic.Bool{}
	w = consoletest.Start(t, consoletest.Options{Hold: true, Handle: func(ctx context.Context, _ consumer.Message) (dedupe.Payload, error) {
		switch a, _ := dedupe.AttemptFrom(ctx); {
		case mended.Load():
			return dedupe.Payload{Data: []byte(`{"run":"again"}`)}, nil
		case strings.HasPrefix(a.Name, "lost-"):
			return dedupe.Payload{}, lost{errors.New("the connection broke")}
		default:
			return dedupe.Payload{}, declined
		}
	}})
	for i := range lostNames {
		w.Send(t, w.QueueURL, fmt.Sprintf("lost-%03d", i), nil)
	}
	for i := range badNames {
		w.Send(t, w.QueueURL, fmt.Sprintf("bad-%03d", i), nil)
	}
	return w, mended
}

func TestSettle(t *testing.T) {
	t.Run("story of an UNKNOWN name", testSettleStory)
	t.Run("story of a REJECTED name", testSettleRejected)
	t.Run("list", testSettleList)
	t.Run("pages of names", testPagesOfNames)
	t.Run("dead letters by name", testDeadByName)
	t.Run("log in is left", testLoginLeft)
	t.Run("every control", testEveryControl)
}

// settledLetters waits until the dead-letter queue has n letters.
func (p *tab) settledLetters(n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d letters are counted", n), fmt.Sprintf(`document.getElementById('dead-count').textContent === '%d'`, n))
}

// badge waits until the story shows a status.
func (p *tab) badge(status string) {
	p.t.Helper()
	p.until("the story says "+status, `document.querySelector('.story-title .badge')?.textContent === `+quote(status))
}

func testSettleStory(t *testing.T) {
	w, mended := unsettled(t, 2, 0)
	p := open(t, w.Server.URL)
	p.settledLetters(2)

	p.goTo("#/name/lost-000")
	p.badge("unknown")
	p.axe("story of an UNKNOWN name")
	p.click("#story-completed")
	p.until("it asks", `document.getElementById('ask').open && document.getElementById('ask-title').textContent === 'Was their work done?'`)
	p.shoot("completed")
	p.click("#ask-no")
	p.badge("unknown")
	p.click("#story-completed")
	p.click("#ask-yes")
	p.until("it says so", `document.getElementById('toast').textContent === 'completed: 1 of 1 name.'`)
	p.badge("completed")
	if got := strings.Join(strings.Fields(p.text(".sheet")), " "); !strings.Contains(got, "Last verb resolve by console") {
		t.Errorf("the record does not say whose word it was: %q", got)
	}
	if eval[int](p, `document.querySelectorAll('#story-completed, #story-retry').length`) > 0 {
		t.Error("a completed name can be settled again")
	}

	mended.Store(true)
	p.goTo("#/name/lost-001")
	p.badge("unknown")
	p.click("#story-retry")
	p.until("it asks", `document.getElementById('ask').open && document.getElementById('ask-title').textContent === 'Run them again?'`)
	p.shoot("retry")
	p.click("#ask-yes")
	p.until("it says so", `document.getElementById('toast').textContent === 'retry: 1 of 1 name. 1 dead letter sent back.'`)
	p.settledLetters(1)
	p.until("the worker has run it", `(document.getElementById('refresh').click(), document.querySelector('.story-title .badge')?.textContent === 'completed')`)
	if got := p.text("#story"); !strings.Contains(got, `"run":"again"`) {
		t.Errorf("the story is %q", got)
	}
	p.shoot("settled")
}

func testSettleRejected(t *testing.T) {
	w, mended := unsettled(t, 0, 1)
	p := open(t, w.Server.URL)
	p.settledLetters(1)
	p.goTo("#/name/bad-000")
	p.badge("rejected")
	if eval[bool](p, `document.getElementById('story-completed') !== null`) {
		t.Error("a rejected name can be declared completed")
	}
	mended.Store(true)
	p.click("#story-retry")
	p.click("#ask-yes")
	p.until("it says so", `document.getElementById('toast').textContent === 'retry: 1 of 1 name. 1 dead letter sent back.'`)
	p.until("the worker has run it", `(document.getElementById('refresh').click(), document.querySelector('.story-title .badge')?.textContent === 'completed')`)
}

// listed waits until the list has n names.
func (p *tab) listed(n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d names are listed", n), fmt.Sprintf(`document.querySelectorAll('#names-table tbody tr').length === %d`, n))
}

func testSettleList(t *testing.T) {
	w, mended := unsettled(t, 3, 3)
	p := open(t, w.Server.URL)
	p.settledLetters(6)
	p.goTo("#/names")
	p.listed(6)
	p.click("#status-unknown")
	p.listed(3)
	p.click("#choose-all")
	p.until("all are chosen", `document.getElementById('names-chosen').textContent === '3 chosen'`)
	p.click("#settle-completed")
	p.until("the preview keeps them", `document.getElementById('ask').open && document.getElementById('ask-text').textContent.includes('3 stay unchanged')`)
	p.click("#ask-no")
	p.listed(3)

	mended.Store(true)
	p.click("#choose-all")
	p.click("#settle-retry")
	p.until("the preview says so", `document.getElementById('ask').open && document.getElementById('ask-text').textContent.startsWith('Each of 3 names may run again')`)
	p.click("#ask-yes")
	p.until("they are sent back", `document.getElementById('names-report').textContent === 'retry: 3 of 3 names. 3 dead letters sent back.'`)
	p.settledLetters(3)
	p.until("none is left", `(document.getElementById('names-look').click(), document.querySelector('#names-list .empty')?.textContent === 'No stuck names.')`)

	p.click("#status-unknown")
	p.listed(3)
	p.click("#names-table tbody tr input")
	p.click("#settle-forget")
	p.until("the preview says so", `document.getElementById('ask').open && document.getElementById('ask-text').textContent.startsWith('Each of 1 name is forgotten')`)
	p.shoot("forget")
	p.click("#ask-yes")
	p.until("it is forgotten", `document.getElementById('names-report').textContent === 'forget: 1 of 1 name.'`)
	p.listed(2)
}

func testPagesOfNames(t *testing.T) {
	w, _ := unsettled(t, 130, 0)
	p := open(t, w.Server.URL)
	p.settledLetters(130)
	p.goTo("#/names")
	p.listed(100)
	first := p.text("#names-table tbody")
	p.click("#names-next")
	p.listed(30)
	p.click("#names-back")
	p.listed(100)
	if again := p.text("#names-table tbody tr a"); again == "" || !strings.Contains(first, again) {
		t.Errorf("the first page began with %.40q, now with %q", first, again)
	}
	choose := func(value string) {
		eval[bool](p, fmt.Sprintf(`(s => { s.value = %q; s.dispatchEvent(new Event('change')); return true })(document.querySelector('#names-older'))`, value))
	}
	choose("1h")
	p.until("none is that old", `document.querySelector('#names-list .empty') !== null`)
	choose("")
	p.listed(100)
	p.fill("#names-prefix", "lost-12")
	p.click("#names-look")
	p.listed(10)
}

func testDeadByName(t *testing.T) {
	w, _ := unsettled(t, 120, 1)
	p := open(t, w.Server.URL)
	p.settledLetters(121)
	p.goTo("#/dead")
	p.click("#peek")
	p.until("the first page is there", `document.querySelectorAll('.letter').length === 100`)
	p.click("#dead-next")
	p.until("the second page is there", `document.querySelectorAll('.letter').length === 21`)
	p.fill("#dead-prefix", "bad-")
	p.click("#peek")
	p.until("it is found by its beginning", `document.querySelectorAll('.letter').length === 1 && document.querySelector('.letter .name').textContent === 'bad-000'`)
	p.fill("#dead-prefix", "none-")
	p.click("#peek")
	p.until("none has that beginning", `document.querySelector('#dead-list .empty')?.textContent.startsWith('None of the 121 letters has a name that begins with')`)
	p.shoot("none")
}

func testLoginLeft(t *testing.T) {
	w := consoletest.Start(t, consoletest.Options{Token: "t0ken"})
	p := open(t, w.Remote.URL)
	p.click("#login")
	p.until("it asks for the token", `document.getElementById('login-dialog').open`)
	p.click("#login-cancel")
	p.until("it is closed", `!document.getElementById('login-dialog').open && !document.getElementById('login').hidden`)
}

// Every control of the page with an id is used by a test of this package.
func testEveryControl(t *testing.T) {
	const web = "../../internal/console/web"
	patterns := map[string]*regexp.Regexp{
		web + "/*.js":       regexp.MustCompile(`el\('(?:button|input|select|textarea)', \{[^}]*?\bid: ['` + "`" + `]([a-z-]+)`),
		web + "/index.html": regexp.MustCompile(`<(?:button|input)\b[^>]*?\bid="([a-z-]+)"`),
	}
	var tests strings.Builder
	read := func(pattern string) (texts []string) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		return texts
	}
	for _, text := range read("./*_test.go") {
		tests.WriteString(text)
	}
	var controls []string
	for pattern, expression := range patterns {
		for _, text := range read(pattern) {
			for _, found := range expression.FindAllStringSubmatch(text, -1) {
				controls = append(controls, found[1])
			}
		}
	}
	slices.Sort(controls)
	if len(controls) < 20 {
		t.Fatalf("only these controls were found: %q", controls)
	}
	for _, id := range controls {
		if !strings.Contains(tests.String(), "#"+id) {
			t.Errorf("no test uses #%s", id)
		}
	}
}
