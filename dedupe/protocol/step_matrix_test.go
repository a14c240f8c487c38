package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The matrix is the protocol as a table: status by event by time. A cell is the verdict and, if a
// record is written, ">" and its status. The columns are the times of the event. The record is that
// of alice's first attempt, whose lease and window begin at t0:
//
//	live: within the lease      end: at its end           margin: at the end of the skew margin
//	lapsed: 1 ms after that     window: 1 ms before the record expires     gone: when it expires
//
// For a record without a lease the first four are times within its window.

var matrixTimes = []string{"live", "end", "margin", "lapsed", "window", "gone"}

func matrixTime(r Record, column string) time.Time {
	end := t0.Add(terms.Lease)
	expires := r.ExpiresAt
	if expires.IsZero() {
		expires = t0.Add(terms.Window)
	}
	return map[string]time.Time{
		"live": t0.Add(time.Second), "end": end, "margin": end.Add(terms.Skew), "lapsed": end.Add(terms.Skew + time.Millisecond),
		"window": expires.Add(-time.Millisecond), "gone": expires,
	}[column]
}

// matrixRecords returns the records that the events are applied to. "last" has no attempt left,
// "ordered" was reopened by message m9.
func matrixRecords() map[string]Record {
	records := map[string]Record{"absent": {}}
	for _, s := range []Status{InProgress, Completed, Retrying, Rejected, Unknown, Forgotten} {
		records[string(s)] = at(s, 1)
	}
	forgotten, _ := Step(at(Completed, 1), Forget{Now: t0, Terms: terms})
	records[string(Forgotten)] = forgotten
	for _, s := range []Status{InProgress, Retrying} {
		records[string(s)+" last"] = at(s, terms.MaxAttempts)
	}
	ordered := at(Rejected, 1)
	ordered.ReopenedBy = "m9"
	records["REJECTED ordered"] = ordered
	newer := at(InProgress, 1)
	newer.Format++
	records["newer format"] = newer
	return records
}

// matrixEvents returns the events. The record belongs to alice.
func matrixEvents(now time.Time) map[string]Event {
	claim := func(change func(*Claim)) Claim {
		c := claimBy(bob, now)
		change(&c)
		return c
	}
	return map[string]Event{
		"claim":            claim(func(*Claim) {}),
		"claim own":        claim(func(c *Claim) { c.Owner = alice }),
		"claim hold":       claim(func(c *Claim) { c.Terms = hold }),
		"claim other body": claim(func(c *Claim) { c.Fingerprint = fpB }),
		"claim other way":  claim(func(c *Claim) { c.Fingerprint = fpX }),
		"claim by order":   claim(func(c *Claim) { c.RedriveOrder, c.MessageID = true, "m9" }),
		"claim order body": claim(func(c *Claim) { c.RedriveOrder, c.MessageID, c.Fingerprint = true, "m9", fpB }),
		"renew":            Renew{Now: now, Owner: alice, Terms: terms},
		"renew other":      Renew{Now: now, Owner: bob, Terms: terms},
		"complete":         Complete{Now: now, Owner: alice, Terms: terms, Result: []byte(`2`)},
		"complete other":   Complete{Now: now, Owner: bob, Terms: terms},
		"complete unowned": Complete{Now: now, Terms: terms},
		"fail":             Fail{Now: now, Owner: alice, Terms: terms},
		"fail other":       Fail{Now: now, Owner: bob, Terms: terms},
		"fail permanent":   Fail{Now: now, Owner: alice, Terms: terms, Kind: FailPermanent},
		"fail unknown":     Fail{Now: now, Owner: alice, Terms: terms, Kind: FailUnknown},
		"fail last":        Fail{Now: now, Owner: alice, Terms: terms, LastDelivery: true},
		"release":          Release{Now: now, Owner: alice, Terms: terms},
		"release other":    Release{Now: now, Owner: bob, Terms: terms},
		"leave":            Leave{Now: now, Owner: alice, Terms: terms, Number: 1, Until: now.Add(time.Minute), Counted: true, Error: "timeout"},
		"leave other":      Leave{Now: now, Owner: bob, Terms: terms, Number: 1, Until: now.Add(time.Minute)},
		"leave stopped":    Leave{Now: now, Owner: alice, Terms: terms, Number: 1, Until: now.Add(time.Minute)},
		"reopen":           Reopen{Now: now, Terms: terms},
		"resolve":          Resolve{Now: now, Terms: terms, Result: []byte(`3`)},
		"import":           Import{Now: now, Terms: terms, ID: "q#n", Name: "n"},
		"forget":           Forget{Now: now, Terms: terms},
		"forget force":     Forget{Now: now, Terms: terms, Force: true},
	}
}

var verdictNames = map[Verdict]string{
	VerdictApply: "apply", VerdictReplay: "replay", VerdictWait: "wait", VerdictLost: "lost", VerdictMismatch: "mismatch",
	VerdictRejected: "rejected", VerdictExhausted: "exhausted", VerdictUnknown: "unknown", VerdictUnreadable: "unreadable",
}

func TestStepMatrix(t *testing.T) {
	t.Run("matrix of status event and time", testTheMatrixOfStatusEventAndTime)
}

func testTheMatrixOfStatusEventAndTime(t *testing.T) {
	records := matrixRecords()
	seen := 0
	for line := range strings.Lines(matrix) {
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) < 3 {
			continue
		}
		r, ok := records[cells[0]]
		wide := widths[len(cells)-2]
		if !ok || wide == nil {
			t.Fatalf("line %q is not understood", line)
		}
		var wants []string
		for i, n := range wide {
			wants = append(wants, slices.Repeat(cells[2+i:3+i], n)...)
		}
		for i, column := range matrixTimes {
			now := matrixTime(r, column)
			e, ok := matrixEvents(now)[cells[1]]
			if !ok {
				t.Fatalf("line %q: no such event", line)
			}
			next, verdict := Step(r, e)
			got := verdictNames[verdict]
			if next.Version != r.Version {
				got += ">" + string(next.Status)
				checkStep(t, r, next, now)
			} else if fmt.Sprint(next) != fmt.Sprint(r) {
				t.Errorf("%s, %s, %s: the record changes, its version does not", cells[0], cells[1], column)
			}
			if want := wants[i]; got != want {
				t.Errorf("%s, %s, %s: %s, want %s", cells[0], cells[1], column, got, want)
			}
			seen++
		}
	}
	if want := len(records) * len(matrixEvents(t0)) * len(matrixTimes); seen != want {
		t.Errorf("the matrix has %d cells, want %d", seen, want)
	}
}

// widths gives the number of columns that each cell of a line covers, by the number of cells: all
// columns; all but "gone", and "gone"; lease live, lease lapsed, and "gone".
var widths = map[int][]int{1: {6}, 2: {5, 1}, 3: {3, 2, 1}}

const matrix = `
absent           | claim            | apply>IN_PROGRESS
absent           | claim own        | apply>IN_PROGRESS
absent           | claim hold       | apply>IN_PROGRESS
absent           | claim other body | apply>IN_PROGRESS
absent           | claim other way  | apply>IN_PROGRESS
absent           | claim by order   | apply>IN_PROGRESS
absent           | claim order body | apply>IN_PROGRESS
absent           | renew            | lost
absent           | renew other      | lost
absent           | complete         | lost
absent           | complete other   | lost
absent           | complete unowned | lost
absent           | fail             | lost
absent           | fail other       | lost
absent           | fail permanent   | lost
absent           | fail unknown     | lost
absent           | fail last        | lost
absent           | release          | lost
absent           | release other    | lost
absent           | leave            | lost
absent           | leave other      | lost
absent           | leave stopped    | lost
absent           | reopen           | lost
absent           | resolve          | lost
absent           | import           | apply>COMPLETED
absent           | forget           | apply
absent           | forget force     | apply
IN_PROGRESS      | claim            | wait | apply>IN_PROGRESS | apply>IN_PROGRESS
IN_PROGRESS      | claim own        | apply
IN_PROGRESS      | claim hold       | wait | unknown>UNKNOWN | apply>IN_PROGRESS
IN_PROGRESS      | claim other body | mismatch | apply>IN_PROGRESS
IN_PROGRESS      | claim other way  | wait | apply>IN_PROGRESS | apply>IN_PROGRESS
IN_PROGRESS      | claim by order   | wait>IN_PROGRESS | apply>IN_PROGRESS | apply>IN_PROGRESS
IN_PROGRESS      | claim order body | mismatch>IN_PROGRESS | apply>IN_PROGRESS
IN_PROGRESS      | renew            | apply>IN_PROGRESS
IN_PROGRESS      | renew other      | lost
IN_PROGRESS      | complete         | apply>COMPLETED
IN_PROGRESS      | complete other   | lost
IN_PROGRESS      | complete unowned | lost
IN_PROGRESS      | fail             | apply>RETRYING
IN_PROGRESS      | fail other       | lost
IN_PROGRESS      | fail permanent   | apply>REJECTED
IN_PROGRESS      | fail unknown     | apply>UNKNOWN
IN_PROGRESS      | fail last        | apply>REJECTED
IN_PROGRESS      | release          | apply>RETRYING
IN_PROGRESS      | release other    | lost
IN_PROGRESS      | leave            | apply>IN_PROGRESS
IN_PROGRESS      | leave other      | lost
IN_PROGRESS      | leave stopped    | apply>IN_PROGRESS
IN_PROGRESS      | reopen           | wait | apply>RETRYING | lost
IN_PROGRESS      | resolve          | wait | apply>COMPLETED | lost
IN_PROGRESS      | import           | wait | apply>COMPLETED
IN_PROGRESS      | forget           | wait | apply>FORGOTTEN | apply>FORGOTTEN
IN_PROGRESS      | forget force     | apply>FORGOTTEN
IN_PROGRESS last | claim            | wait | exhausted>REJECTED | apply>IN_PROGRESS
IN_PROGRESS last | claim own        | apply
IN_PROGRESS last | claim hold       | wait | unknown>UNKNOWN | apply>IN_PROGRESS
IN_PROGRESS last | claim other body | mismatch | apply>IN_PROGRESS
IN_PROGRESS last | claim other way  | wait | exhausted>REJECTED | apply>IN_PROGRESS
IN_PROGRESS last | claim by order   | wait>IN_PROGRESS | exhausted>REJECTED | apply>IN_PROGRESS
IN_PROGRESS last | claim order body | mismatch>IN_PROGRESS | apply>IN_PROGRESS
IN_PROGRESS last | renew            | apply>IN_PROGRESS
IN_PROGRESS last | renew other      | lost
IN_PROGRESS last | complete         | apply>COMPLETED
IN_PROGRESS last | complete other   | lost
IN_PROGRESS last | complete unowned | lost
IN_PROGRESS last | fail             | apply>REJECTED
IN_PROGRESS last | fail other       | lost
IN_PROGRESS last | fail permanent   | apply>REJECTED
IN_PROGRESS last | fail unknown     | apply>UNKNOWN
IN_PROGRESS last | fail last        | apply>REJECTED
IN_PROGRESS last | release          | apply>RETRYING
IN_PROGRESS last | release other    | lost
IN_PROGRESS last | leave            | apply>IN_PROGRESS
IN_PROGRESS last | leave other      | lost
IN_PROGRESS last | leave stopped    | apply>IN_PROGRESS
IN_PROGRESS last | reopen           | wait | apply>RETRYING | lost
IN_PROGRESS last | resolve          | wait | apply>COMPLETED | lost
IN_PROGRESS last | import           | wait | apply>COMPLETED
IN_PROGRESS last | forget           | wait | apply>FORGOTTEN | apply>FORGOTTEN
IN_PROGRESS last | forget force     | apply>FORGOTTEN
RETRYING         | claim            | apply>IN_PROGRESS
RETRYING         | claim own        | apply>IN_PROGRESS
RETRYING         | claim hold       | apply>IN_PROGRESS
RETRYING         | claim other body | mismatch | apply>IN_PROGRESS
RETRYING         | claim other way  | apply>IN_PROGRESS
RETRYING         | claim by order   | apply>IN_PROGRESS
RETRYING         | claim order body | mismatch>RETRYING | apply>IN_PROGRESS
RETRYING         | renew            | lost
RETRYING         | renew other      | lost
RETRYING         | complete         | lost
RETRYING         | complete other   | lost
RETRYING         | complete unowned | lost
RETRYING         | fail             | apply
RETRYING         | fail other       | lost
RETRYING         | fail permanent   | lost
RETRYING         | fail unknown     | lost
RETRYING         | fail last        | lost
RETRYING         | release          | apply
RETRYING         | release other    | lost
RETRYING         | leave            | lost
RETRYING         | leave other      | lost
RETRYING         | leave stopped    | lost
RETRYING         | reopen           | apply | lost
RETRYING         | resolve          | lost
RETRYING         | import           | wait | apply>COMPLETED
RETRYING         | forget           | apply>FORGOTTEN
RETRYING         | forget force     | apply>FORGOTTEN
RETRYING last    | claim            | exhausted>REJECTED | apply>IN_PROGRESS
RETRYING last    | claim own        | exhausted>REJECTED | apply>IN_PROGRESS
RETRYING last    | claim hold       | exhausted>REJECTED | apply>IN_PROGRESS
RETRYING last    | claim other body | mismatch | apply>IN_PROGRESS
RETRYING last    | claim other way  | exhausted>REJECTED | apply>IN_PROGRESS
RETRYING last    | claim by order   | exhausted>REJECTED | apply>IN_PROGRESS
RETRYING last    | claim order body | mismatch>RETRYING | apply>IN_PROGRESS
RETRYING last    | renew            | lost
RETRYING last    | renew other      | lost
RETRYING last    | complete         | lost
RETRYING last    | complete other   | lost
RETRYING last    | complete unowned | lost
RETRYING last    | fail             | lost
RETRYING last    | fail other       | lost
RETRYING last    | fail permanent   | lost
RETRYING last    | fail unknown     | lost
RETRYING last    | fail last        | lost
RETRYING last    | release          | apply
RETRYING last    | release other    | lost
RETRYING last    | leave            | lost
RETRYING last    | leave other      | lost
RETRYING last    | leave stopped    | lost
RETRYING last    | reopen           | apply | lost
RETRYING last    | resolve          | lost
RETRYING last    | import           | wait | apply>COMPLETED
RETRYING last    | forget           | apply>FORGOTTEN
RETRYING last    | forget force     | apply>FORGOTTEN
COMPLETED        | claim            | replay | apply>IN_PROGRESS
COMPLETED        | claim own        | replay | apply>IN_PROGRESS
COMPLETED        | claim hold       | replay | apply>IN_PROGRESS
COMPLETED        | claim other body | mismatch | apply>IN_PROGRESS
COMPLETED        | claim other way  | replay | apply>IN_PROGRESS
COMPLETED        | claim by order   | replay>COMPLETED | apply>IN_PROGRESS
COMPLETED        | claim order body | mismatch>COMPLETED | apply>IN_PROGRESS
COMPLETED        | renew            | lost
COMPLETED        | renew other      | lost
COMPLETED        | complete         | apply
COMPLETED        | complete other   | lost
COMPLETED        | complete unowned | lost
COMPLETED        | fail             | replay
COMPLETED        | fail other       | lost
COMPLETED        | fail permanent   | replay
COMPLETED        | fail unknown     | replay
COMPLETED        | fail last        | replay
COMPLETED        | release          | replay
COMPLETED        | release other    | lost
COMPLETED        | leave            | replay
COMPLETED        | leave other      | lost
COMPLETED        | leave stopped    | replay
COMPLETED        | reopen           | replay | lost
COMPLETED        | resolve          | apply | lost
COMPLETED        | import           | replay | apply>COMPLETED
COMPLETED        | forget           | apply>FORGOTTEN
COMPLETED        | forget force     | apply>FORGOTTEN
REJECTED         | claim            | rejected | apply>IN_PROGRESS
REJECTED         | claim own        | rejected | apply>IN_PROGRESS
REJECTED         | claim hold       | rejected | apply>IN_PROGRESS
REJECTED         | claim other body | mismatch | apply>IN_PROGRESS
REJECTED         | claim other way  | rejected | apply>IN_PROGRESS
REJECTED         | claim by order   | apply>IN_PROGRESS
REJECTED         | claim order body | apply>IN_PROGRESS
REJECTED         | renew            | lost
REJECTED         | renew other      | lost
REJECTED         | complete         | lost
REJECTED         | complete other   | lost
REJECTED         | complete unowned | lost
REJECTED         | fail             | lost
REJECTED         | fail other       | lost
REJECTED         | fail permanent   | apply
REJECTED         | fail unknown     | lost
REJECTED         | fail last        | apply
REJECTED         | release          | lost
REJECTED         | release other    | lost
REJECTED         | leave            | lost
REJECTED         | leave other      | lost
REJECTED         | leave stopped    | lost
REJECTED         | reopen           | apply>RETRYING | lost
REJECTED         | resolve          | rejected | lost
REJECTED         | import           | wait | apply>COMPLETED
REJECTED         | forget           | apply>FORGOTTEN
REJECTED         | forget force     | apply>FORGOTTEN
REJECTED ordered | claim            | rejected | apply>IN_PROGRESS
REJECTED ordered | claim own        | rejected | apply>IN_PROGRESS
REJECTED ordered | claim hold       | rejected | apply>IN_PROGRESS
REJECTED ordered | claim other body | mismatch | apply>IN_PROGRESS
REJECTED ordered | claim other way  | rejected | apply>IN_PROGRESS
REJECTED ordered | claim by order   | rejected | apply>IN_PROGRESS
REJECTED ordered | claim order body | mismatch | apply>IN_PROGRESS
REJECTED ordered | renew            | lost
REJECTED ordered | renew other      | lost
REJECTED ordered | complete         | lost
REJECTED ordered | complete other   | lost
REJECTED ordered | complete unowned | lost
REJECTED ordered | fail             | lost
REJECTED ordered | fail other       | lost
REJECTED ordered | fail permanent   | apply
REJECTED ordered | fail unknown     | lost
REJECTED ordered | fail last        | apply
REJECTED ordered | release          | lost
REJECTED ordered | release other    | lost
REJECTED ordered | leave            | lost
REJECTED ordered | leave other      | lost
REJECTED ordered | leave stopped    | lost
REJECTED ordered | reopen           | apply>RETRYING | lost
REJECTED ordered | resolve          | rejected | lost
REJECTED ordered | import           | wait | apply>COMPLETED
REJECTED ordered | forget           | apply>FORGOTTEN
REJECTED ordered | forget force     | apply>FORGOTTEN
UNKNOWN          | claim            | unknown | apply>IN_PROGRESS
UNKNOWN          | claim own        | unknown | apply>IN_PROGRESS
UNKNOWN          | claim hold       | unknown | apply>IN_PROGRESS
UNKNOWN          | claim other body | mismatch | apply>IN_PROGRESS
UNKNOWN          | claim other way  | unknown | apply>IN_PROGRESS
UNKNOWN          | claim by order   | unknown>UNKNOWN | apply>IN_PROGRESS
UNKNOWN          | claim order body | mismatch>UNKNOWN | apply>IN_PROGRESS
UNKNOWN          | renew            | lost
UNKNOWN          | renew other      | lost
UNKNOWN          | complete         | apply>COMPLETED
UNKNOWN          | complete other   | lost
UNKNOWN          | complete unowned | lost
UNKNOWN          | fail             | lost
UNKNOWN          | fail other       | lost
UNKNOWN          | fail permanent   | lost
UNKNOWN          | fail unknown     | apply
UNKNOWN          | fail last        | lost
UNKNOWN          | release          | lost
UNKNOWN          | release other    | lost
UNKNOWN          | leave            | lost
UNKNOWN          | leave other      | lost
UNKNOWN          | leave stopped    | lost
UNKNOWN          | reopen           | apply>RETRYING | lost
UNKNOWN          | resolve          | apply>COMPLETED | lost
UNKNOWN          | import           | wait | apply>COMPLETED
UNKNOWN          | forget           | apply>FORGOTTEN
UNKNOWN          | forget force     | apply>FORGOTTEN
FORGOTTEN        | claim            | apply>IN_PROGRESS
FORGOTTEN        | claim own        | apply>IN_PROGRESS
FORGOTTEN        | claim hold       | apply>IN_PROGRESS
FORGOTTEN        | claim other body | apply>IN_PROGRESS
FORGOTTEN        | claim other way  | apply>IN_PROGRESS
FORGOTTEN        | claim by order   | apply>IN_PROGRESS
FORGOTTEN        | claim order body | apply>IN_PROGRESS
FORGOTTEN        | renew            | lost
FORGOTTEN        | renew other      | lost
FORGOTTEN        | complete         | lost
FORGOTTEN        | complete other   | lost
FORGOTTEN        | complete unowned | lost
FORGOTTEN        | fail             | lost
FORGOTTEN        | fail other       | lost
FORGOTTEN        | fail permanent   | lost
FORGOTTEN        | fail unknown     | lost
FORGOTTEN        | fail last        | lost
FORGOTTEN        | release          | lost
FORGOTTEN        | release other    | lost
FORGOTTEN        | leave            | lost
FORGOTTEN        | leave other      | lost
FORGOTTEN        | leave stopped    | lost
FORGOTTEN        | reopen           | lost
FORGOTTEN        | resolve          | lost
FORGOTTEN        | import           | apply>COMPLETED
FORGOTTEN        | forget           | apply
FORGOTTEN        | forget force     | apply
newer format     | claim            | unreadable
newer format     | claim own        | unreadable
newer format     | claim hold       | unreadable
newer format     | claim other body | unreadable
newer format     | claim other way  | unreadable
newer format     | claim by order   | unreadable
newer format     | claim order body | unreadable
newer format     | renew            | unreadable
newer format     | renew other      | unreadable
newer format     | complete         | unreadable
newer format     | complete other   | unreadable
newer format     | complete unowned | unreadable
newer format     | fail             | unreadable
newer format     | fail other       | unreadable
newer format     | fail permanent   | unreadable
newer format     | fail unknown     | unreadable
newer format     | fail last        | unreadable
newer format     | release          | unreadable
newer format     | release other    | unreadable
newer format     | leave            | unreadable
newer format     | leave other      | unreadable
newer format     | leave stopped    | unreadable
newer format     | reopen           | unreadable
newer format     | resolve          | unreadable
newer format     | import           | unreadable
newer format     | forget           | unreadable
newer format     | forget force     | unreadable
`
