package consumer

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestNextPoll(t *testing.T) {
	busy := counts{slots: 50, begun: true}
	tests := []struct {
		name   string
		change func(*counts)
		want   int
	}{
		{"a full batch goes at once", func(*counts) {}, 10},
		{"so does the next", func(n *counts) { n.polls, n.reserved = 1, 10 }, 10},
		{"one poll per ten slots", func(n *counts) { n.slots, n.polls, n.reserved = 55, 6, 45 }, 0},
		{"a partial batch goes when none is out", func(n *counts) { n.running = 47 }, 3},
		{"a partial batch waits for the one that is out", func(n *counts) { n.running, n.polls, n.reserved = 37, 1, 10 }, 0},
		{"slots are not promised twice", func(n *counts) { n.polls, n.reserved, n.running = 1, 10, 40 }, 0},
		{"who waits for a slot goes first", func(n *counts) { n.queued = 50 }, 0},
		{"on an empty queue one is out", func(n *counts) { n.quiet, n.polls, n.reserved = true, 1, 10 }, 0},
		{"on an empty queue one goes", func(n *counts) { n.quiet = true }, 10},
		{"none before the start", func(n *counts) { n.begun = false }, 0},
		{"none at a stop", func(n *counts) { n.stopping = true }, 0},
		{"none while paused", func(n *counts) { n.paused = true }, 0},
		{"none with ten unanswered acks per slot", func(n *counts) { n.acks = 500 }, 0},
		{"one with fewer", func(n *counts) { n.acks = 499 }, 10},
		{"none with a thousand waiting", func(n *counts) { n.waiting = 1000 }, 0},
		{"none with 64 MiB waiting", func(n *counts) { n.bytes = 64 << 20 }, 0},
		{"one message while something is down", func(n *counts) { n.condition = Down }, 1},
		{"no second one before it was tried", func(n *counts) { n.condition, n.untried, n.running = Down, 1, 1 }, 0},
		{"no second one while it is tried", func(n *counts) { n.condition, n.probing, n.running = Down, true, 1 }, 0},
		{"no second poll either", func(n *counts) { n.condition, n.polls, n.reserved = Down, 1, 1 }, 0},
		{"another one after it", func(n *counts) { n.condition, n.running = Down, 49 }, 1},
		{"none while something is closed", func(n *counts) { n.condition = Closed }, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := busy
			test.change(&n)
			if got := n.nextPoll(); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestACopyKeepsToTheLimits(t *testing.T) {
	long := strings.Repeat("é", 5000)
	d := Disposition{Reason: "rejected", Err: fmt.Errorf("%s\x00", long), Attempts: 4}
	for attributes := range 11 {
		for _, left := range []int{0, 14, 40, 60, 90, 130, 200, 500, 5000} {
			m := Message{ID: "0d9e5f8e-1111-2222-3333-444455556666", Attributes: map[string]types.MessageAttributeValue{}}
			size := 0
			for i := range attributes {
				name := fmt.Sprint("a", i)
				m.Attributes[name] = text("x")
				size += attributeBytes(name, m.Attributes[name])
			}
			m.Body = strings.Repeat("b", maxMessageBytes-size-left)
			result, ok := copyAttributes(m, "order\x00-17", d)
			room := len(AttrReason) + len("String") + len("rejected")
			if want := attributes < 10 && left >= room; ok != want {
				t.Fatalf("%d attributes, %d bytes left: %v, want %v", attributes, left, ok, want)
			}
			if !ok {
				continue
			}
			if len(result) > maxAttributes || len(m.Body)+attributesBytes(result) > maxMessageBytes {
				t.Errorf("%d attributes, %d bytes left: %d attributes, %d bytes", attributes, left, len(result), len(m.Body)+attributesBytes(result))
			}
			for name, v := range result {
				if !utf8.ValidString(*v.StringValue) || strings.ContainsRune(*v.StringValue, 0) || *v.StringValue == "" || len(*v.StringValue) > 2*maxErrorBytes {
					t.Errorf("%s = %q", name, *v.StringValue)
				}
			}
			reason := *result[AttrReason].StringValue
			if !strings.HasPrefix(reason, "rejected") {
				t.Errorf("reason %q", reason)
			}
			if packed := strings.Contains(reason, "original-id: "+m.ID); packed != (attributes >= 8 && left >= 200) && left != 130 {
				t.Errorf("%d attributes, %d bytes left: reason %q", attributes, left, reason)
			}
		}
	}
}

func TestACopyForgetsAnEarlierTrip(t *testing.T) {
	m := Message{ID: "new", Attributes: map[string]types.MessageAttributeValue{
		AttrReason: text("old"), AttrError: text("old"), AttrAttempts: text("9"), AttrOriginalID: text("old"), AttrName: text("kept"),
	}}
	result, _ := copyAttributes(m, "other", Disposition{Reason: "stopped", Attempts: 1})
	got := map[string]string{}
	for name, v := range result {
		got[name] = *v.StringValue
	}
	want := map[string]string{AttrReason: "stopped", AttrAttempts: "1", AttrOriginalID: "new", AttrName: "kept"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBatchAnswersAreReadByPosition(t *testing.T) {
	c := &Consumer{}
	c.cfg = Config{Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	bad := func(id string) types.BatchResultErrorEntry {
		code := "X"
		return types.BatchResultErrorEntry{Id: &id, Code: &code}
	}
	// Ids that were never sent, and an entry without an answer.
	got := c.answers("op", time.Now(), 4, []string{"0", "3", "7", "-1", "x"}, []types.BatchResultErrorEntry{bad("1"), bad("9"), bad("y")})
	for i, failed := range []bool{false, true, true, false} {
		if (got[i].Err != nil) != failed {
			t.Errorf("entry %d: %v", i, got[i].Err)
		}
	}
}

func TestTheSurfaceIsSmall(t *testing.T) {
	files, err := parser.ParseDir(token.NewFileSet(), ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files["consumer"].Files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names = append(names, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() {
						names = append(names, s.Name.Name)
					}
				}
			}
		}
	}
	if len(names) < 10 || len(names) > 20 {
		t.Errorf("%d exported functions and types: %v", len(names), names)
	}
}

func FuzzRedrivePolicy(f *testing.F) {
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:dlq","maxReceiveCount":"3"}`)
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:dlq","maxReceiveCount":3}`)
	f.Add(`{"maxReceiveCount":{}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, policy string) {
		arn, most, err := parseRedrive(policy)
		if err == nil && (arn == "" || most < 1) {
			t.Errorf("%q: %q, %d", policy, arn, most)
		}
		arnAccount(arn)
	})
}

// isGranted reports whether a turn has its slot.
func isGranted(t *turn) bool {
	select {
	case <-t.granted():
		return true
	default:
		return false
	}
}

func TestAPollThatIsAboutToGoAsksForMore(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*counts)
		want   int
	}{
		"up to ten":                         {func(*counts) {}, 7},
		"no more than is free":              {func(n *counts) { n.running = 45 }, 2},
		"nothing when who waits needs it":   {func(n *counts) { n.queued = 47 }, 0},
		"nothing at a stop":                 {func(n *counts) { n.stopping = true }, 0},
		"nothing while paused":              {func(n *counts) { n.paused = true }, 0},
		"nothing while something is down":   {func(n *counts) { n.condition = Down }, 0},
		"nothing while something is closed": {func(n *counts) { n.condition = Closed }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := counts{slots: 50, begun: true, polls: 1, reserved: 3}
			test.change(&n)
			if got := n.more(3); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

// What was tried while all was well does not stand in the way of a probe.
func TestAProbeIsFetchedWhenAllThatIsHereWasTried(t *testing.T) {
	var f floor
	f.init(10, func() {})
	f.open()
	n := f.planPoll()
	tried := &turn{fresh: true}
	f.answered(n, []*turn{tried}, false)
	if f.enter(true); f.untried != 0 {
		t.Errorf("%d are untried after the only one was tried", f.untried)
	}
	f.report("store", Down)
	if n := f.nextPoll(); n != 1 {
		t.Errorf("the next poll is for %d, want a probe", n)
	}
}

func TestWhoWaitsHereGoesAheadOfWhatAPollBrings(t *testing.T) {
	var f floor
	f.init(1, func() {})
	f.open()
	if n := f.planPoll(); n != 1 {
		t.Fatalf("a poll for %d", n)
	}
	first := f.ask(false)
	if !isGranted(first) {
		t.Error("a slot that is promised to a poll was kept from who waits here")
	}
	fresh := &turn{fresh: true}
	f.answered(1, []*turn{fresh}, false)
	second := f.ask(false)
	if isGranted(fresh) || isGranted(second) {
		t.Fatal("one slot was given to two")
	}
	f.release()
	if isGranted(fresh) || !isGranted(second) {
		t.Error("what the poll has brought was first")
	}
	if f.planPoll() != 0 {
		t.Error("a poll although somebody waits for a slot")
	}
	f.release()
	f.release()
	if !isGranted(fresh) || f.running != 0 || f.queued != 0 || f.untried != 1 {
		t.Errorf("in the end: %+v", f.counts)
	}
}
