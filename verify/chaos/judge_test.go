package chaos

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	t.Run("violations are found", testViolationsAreFound)
	t.Run("pauses at once", testPausesAtOnce)
}

func testPausesAtOnce(t *testing.T) {
	harm := func(process int, kind string, from, to int64) Harm {
		return Harm{Process: process, Kind: kind, From: time.Unix(from, 0), To: time.Unix(to, 0)}
	}
	for name, tc := range map[string]struct {
		second Harm
		pairs  int
	}{
		"for longer than a lease": {harm(2, "pause", 105, 130), 1},
		"for a lease":             {harm(2, "pause", 110, 130), 0},
		"one after the other":     {harm(2, "pause", 121, 150), 0},
		"the same process":        {harm(1, "pause", 100, 120), 0},
		"another harm":            {harm(2, "kill", 100, 120), 0},
	} {
		if got := together([]Harm{harm(1, "pause", 100, 120), tc.second}, 10*time.Second); got != tc.pairs {
			t.Errorf("%s: %d pairs, want %d", name, got, tc.pairs)
		}
	}
}

// Judge must find violations; otherwise every run would succeed.
func testViolationsAreFound(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	call := func(fence int64, from, to float64, status int) Call {
		return Call{Name: "n", Fence: fence, Start: at(from), End: at(to), Status: status}
	}
	pause := []Harm{{Kind: "pause", From: at(0.5), To: at(30)}}
	for name, tc := range map[string]struct {
		before, after                  Call
		harms                          []Harm
		unexplained, regress, overlaps int
	}{
		"a failure is tried again":                  {before: call(1, 0, 1, 500), after: call(2, 5, 6, 200)},
		"a broken connection is tried again":        {before: call(1, 0, 1, 0), after: call(2, 5, 6, 200)},
		"done twice":                                {before: call(1, 0, 1, 200), after: call(2, 5, 6, 200), unexplained: 1},
		"done twice, killed between":                {before: call(1, 0, 1, 200), after: call(2, 5, 6, 200), harms: []Harm{{Kind: "kill", From: at(1)}}},
		"done twice, another one killed":            {before: call(1, 0, 1, 200), after: call(2, 5, 6, 200), harms: []Harm{{Kind: "kill", Process: 1, From: at(1)}}, unexplained: 1},
		"done twice, on its way at the kill":        {before: call(1, 0, 1, 200), after: call(2, 5, 6, 200), harms: []Harm{{Kind: "kill", From: at(-0.1)}}},
		"done twice, killed after":                  {before: call(1, 0, 1, 200), after: call(2, 5, 6, 200), harms: []Harm{{Kind: "kill", From: at(7)}}, unexplained: 1},
		"two at a time":                             {before: call(1, 0, 9, 0), after: call(2, 5, 6, 200), overlaps: 1},
		"two at a time, the first paused":           {before: call(1, 0, 9, 200), after: call(2, 5, 6, 200), harms: pause},
		"two at a time, the first paused and ahead": {before: call(3, 0, 9, 200), after: call(2, 5, 6, 200), harms: pause, regress: 1, overlaps: 1},
		"a fence that falls":                        {before: call(2, 0, 1, 500), after: call(1, 5, 6, 200), regress: 1},
		"a fence twice":                             {before: call(2, 0, 1, 500), after: call(2, 5, 6, 200), regress: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var r Report
			r.Judge(map[string][]Call{"n": {tc.before, tc.after}}, tc.harms, 4*time.Second)
			if len(r.Unexplained) != tc.unexplained || len(r.FenceRegressions) != tc.regress || len(r.Overlaps) != tc.overlaps {
				t.Errorf("unexplained %v, regressions %v, overlaps %v", r.Unexplained, r.FenceRegressions, r.Overlaps)
			}
		})
	}
}

func TestCheckResult(t *testing.T) {
	for name, tc := range map[string]struct {
		told  map[string]any
		wrong int
	}{
		"its own answer":      {map[string]any{"status": "COMPLETED", "fence": 7.0, "result": map[string]any{"fence": 7.0}}, 0},
		"another's answer":    {map[string]any{"status": "COMPLETED", "fence": 8.0, "result": map[string]any{"fence": 7.0}}, 1},
		"text":                {map[string]any{"status": "COMPLETED", "fence": 7.0, "result": `{"fence":7}`}, 1},
		"none":                {map[string]any{"status": "COMPLETED", "fence": 7.0}, 1},
		"no record":           {map[string]any{"status": 404.0}, 0},
		"rejected":            {map[string]any{"status": "REJECTED", "fence": 7.0}, 0},
		"no fence, no result": {map[string]any{"status": "COMPLETED"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var r Report
			if r.checkResult("n", tc.told); len(r.Differences) != tc.wrong || len(r.Failed()) != tc.wrong {
				t.Errorf("differences %q", r.Differences)
			}
		})
	}
}
