package protocol

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios plays the scenarios in testdata. A command is an event of an attempt, of an
// operator or of the environment. The lines below it show the verdict of Step and the record.
//
//	claim a           attempt a claims the name and sends the write until the store answers
//	renew a, complete a, fail a, release a, leave a
//	reopen, resolve, forget     an operator's verbs
//	wait 32s          time passes
//	arrives a         a's delayed write reaches the store
//	reads a           a reads the stored record
//	record            shows the stored record
//	newer             a newer release has written the record
//
// An event with lost=true is applied, but its answer is lost: the attempt's copy of the record
// stays as it was. An event with cut=true is delayed until the command arrives.
//
// go test ./dedupe/protocol -run TestScenarios -rewrite updates the expected lines.
func TestScenarios(t *testing.T) {
	for _, path := range conversations(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			w := &stage{t: t, known: map[string]Record{}, cut: map[string]sentWrite{}}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				w.t, w.d = t, d
				return strings.Join(w.play(), "\n") + "\n"
			})
		})
	}
}

func conversations(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no conversations in testdata: %v", err)
	}
	return paths
}

// stage is one name, its record, and the attempts that act on it.
type stage struct {
	t      *testing.T
	d      *datadriven.TestData
	passed time.Duration // since t0
	stored Record
	known  map[string]Record // the record as each attempt knows it
	cut    map[string]sentWrite
}

type sentWrite struct {
	old  Version
	next Record
}

// play carries out one command and returns the lines below it.
func (w *stage) play() []string {
	who := ""
	if args := w.d.CmdArgs; len(args) > 0 && len(args[0].Vals) == 0 {
		who = args[0].Key
	}
	switch w.d.Cmd {
	case "wait":
		d, err := time.ParseDuration(who)
		if err != nil {
			w.t.Fatal(err)
		}
		w.passed += d
		return []string{"it is " + w.passed.String()}
	case "record":
		return []string{w.show(w.stored)}
	case "newer":
		w.stored.Format++
		w.stored.Version++
		return []string{w.show(w.stored)}
	case "reads":
		w.known[who] = w.stored
		return []string{w.show(w.stored)}
	case "arrives":
		write, ok := w.cut[who]
		if !ok {
			w.t.Fatalf("nothing of %s's is on its way", who)
		}
		delete(w.cut, who)
		if !w.swap(write.old, write.next) {
			return []string{"conflict: " + w.show(w.stored)}
		}
		return []string{"written: " + w.show(w.stored)}
	default:
		return w.act(who)
	}
}

// act applies the command's event to the attempt's copy of the record, and repeats the write after
// each conflict.
func (w *stage) act(who string) (lines []string) {
	base := w.known[who]
	switch {
	case who == "":
		base = w.stored // an operator reads first
	case w.d.Cmd == "claim":
		base = Record{} // a claim starts without a copy; the conflict returns the record
	}
	for {
		next, verdict := Step(base, w.event(who))
		if next.Version == base.Version {
			w.known[who] = base
			line := verdictNames[verdict]
			if verdict == VerdictApply {
				line = "stored already"
			}
			return append(lines, line+": "+w.show(base))
		}
		if w.has("cut") {
			w.cut[who] = sentWrite{base.Version, next}
			return append(lines, "on its way")
		}
		if !w.swap(base.Version, next) {
			if w.d.Cmd != "claim" {
				lines = append(lines, "conflict")
			}
			base = w.stored
			continue
		}
		if w.has("lost") {
			return append(lines, "written, and the answer lost")
		}
		w.known[who] = next
		return append(lines, verdictNames[verdict]+": "+w.show(next))
	}
}

func (w *stage) swap(old Version, next Record) bool {
	if w.stored.Version != old {
		return false
	}
	w.stored = next
	return true
}

// event builds the command's event.
func (w *stage) event(who string) Event {
	now := t0.Add(w.passed + w.duration("clock"))
	var owner Token
	copy(owner[:], who)
	rules := terms
	rules.Hold = w.has("hold")
	result := []byte(w.text("result"))
	switch w.d.Cmd {
	case "claim":
		return Claim{
			Now: now, Owner: owner, Terms: rules, ID: "s#n", Name: "n", Fingerprint: w.fingerprint(),
			MessageID: w.text("message"), RedriveOrder: w.has("redriven"),
		}
	case "renew":
		return Renew{Now: now, Owner: owner, Terms: rules}
	case "complete":
		return Complete{Now: now, Owner: owner, Terms: rules, Result: result}
	case "fail":
		kind := map[string]FailKind{"": FailRetryable, "permanent": FailPermanent, "unknown": FailUnknown}[w.text("kind")]
		return Fail{Now: now, Owner: owner, Terms: rules, Kind: kind, Error: w.text("error"), LastDelivery: w.has("last")}
	case "release":
		return Release{Now: now, Owner: owner, Terms: rules}
	case "leave":
		return Leave{
			Now: now, Owner: owner, Terms: rules,
			Number: w.known[who].Attempts, Until: t0.Add(w.duration("until")), Counted: !w.has("stopped"), Error: w.text("error"),
		}
	case "reopen":
		return Reopen{Now: now, Terms: rules}
	case "resolve":
		return Resolve{Now: now, Terms: rules, Result: result}
	case "forget":
		return Forget{Now: now, Terms: rules, Force: w.has("force")}
	default:
		w.t.Fatalf("%s: no such command", w.d.Cmd)
		return nil
	}
}

func (w *stage) text(key string) string {
	for _, arg := range w.d.CmdArgs {
		if arg.Key == key {
			return strings.Join(arg.Vals, ", ")
		}
	}
	return ""
}

func (w *stage) has(key string) bool { return w.text(key) == "true" }

func (w *stage) duration(key string) time.Duration {
	if w.text(key) == "" {
		return 0
	}
	d, err := time.ParseDuration(w.text(key))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// fingerprint returns the fingerprint of the argument body. With way=other it has another
// expression.
func (w *stage) fingerprint() (f Fingerprint) {
	body := w.text("body")
	if body == "" {
		return f
	}
	f[0] = 1
	if w.text("way") == "other" {
		f[1] = 1
	}
	copy(f[5:], body)
	return f
}

// show formats a record in one line.
func (w *stage) show(r Record) string {
	if r.Status == "" {
		return "no record"
	}
	parts := []string{string(r.Status)}
	if who := strings.TrimRight(string(r.Owner[:]), "\x00"); who != "" {
		parts[0] += " by " + who
	}
	parts = append(parts, fmt.Sprintf("attempts %d", r.Attempts))
	if !r.LeaseUntil.IsZero() {
		parts = append(parts, "lease until "+r.LeaseUntil.Sub(t0).String())
	}
	for _, part := range []struct{ name, text string }{
		{"result", string(r.Result)}, {"error", r.Error}, {"reopened by", r.ReopenedBy},
	} {
		if part.text != "" {
			parts = append(parts, part.name+" "+part.text)
		}
	}
	return strings.Join(parts, ", ")
}

// TestEveryVerdictIsTold checks that the scenarios show every verdict and every event.
func TestEveryVerdictIsTold(t *testing.T) {
	var told strings.Builder
	for _, path := range conversations(t) {
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
			told.WriteString(d.Cmd + ": " + d.Expected)
			return d.Expected
		})
	}
	wanted := []string{"claim", "renew", "complete", "fail", "release", "leave", "reopen", "resolve", "forget"}
	for v, name := range verdictNames {
		if v != VerdictApply {
			wanted = append(wanted, name)
		}
	}
	slices.Sort(wanted)
	for _, want := range wanted {
		if !strings.Contains(told.String(), want+": ") {
			t.Errorf("%q is in no conversation", want)
		}
	}
}
