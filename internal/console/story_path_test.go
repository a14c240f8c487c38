package console

import (
	"fmt"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestPath(t *testing.T) {
	t.Run("path is read off the record", testThePathIsReadOffTheRecord)
	t.Run("result is shown as text or not at all", testAResultIsShownAsTextOrNotAtAll)
	t.Run("time to drain is told only when something was done", testTimeToDrainIsToldOnlyWhenSomethingWasDone)
}

func testThePathIsReadOffTheRecord(t *testing.T) {
	attempt := protocol.Token{1}
	for name, tc := range map[string]struct {
		record protocol.Record
		want   string
	}{
		"no record":          {protocol.Record{}, "[]"},
		"at its first run":   {protocol.Record{Status: protocol.InProgress, Attempts: 1, Owner: attempt}, "[{NEW IN_PROGRESS 1}]"},
		"at its third run":   {protocol.Record{Status: protocol.InProgress, Attempts: 3, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS RETRYING 2} {RETRYING IN_PROGRESS 2}]"},
		"done at once":       {protocol.Record{Status: protocol.Completed, Attempts: 1, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS COMPLETED 1}]"},
		"done after a retry": {protocol.Record{Status: protocol.Completed, Attempts: 2, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS RETRYING 1} {RETRYING IN_PROGRESS 1} {IN_PROGRESS COMPLETED 1}]"},
		"failed twice":       {protocol.Record{Status: protocol.Retrying, Attempts: 2, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS RETRYING 2} {RETRYING IN_PROGRESS 1}]"},
		"released":           {protocol.Record{Status: protocol.Retrying, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS RETRYING 1}]"},
		"rejected":           {protocol.Record{Status: protocol.Rejected, Attempts: 1, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS REJECTED 1}]"},
		"unknown":            {protocol.Record{Status: protocol.Unknown, Attempts: 1, Owner: attempt}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS UNKNOWN 1}]"},
		"resolved by hand":   {protocol.Record{Status: protocol.Completed, Attempts: 1}, "[{NEW IN_PROGRESS 1} {IN_PROGRESS UNKNOWN 1} {UNKNOWN COMPLETED 1}]"},
		"redriven": {
			protocol.Record{Status: protocol.Completed, Attempts: 1, Owner: attempt, MessageID: "m", ReopenedBy: "m"},
			"[{NEW IN_PROGRESS 1} {REJECTED IN_PROGRESS 1} {IN_PROGRESS COMPLETED 1}]",
		},
	} {
		if got := fmt.Sprint(pathOf(tc.record)); got != tc.want {
			t.Errorf("%s: path is %s, want %s", name, got, tc.want)
		}
	}
}

func testAResultIsShownAsTextOrNotAtAll(t *testing.T) {
	for name, tc := range map[string]struct {
		record     protocol.Record
		text, kind string
	}{
		"nothing":   {protocol.Record{}, "", ""},
		"JSON":      {protocol.Record{Result: []byte(`{"a":1}`)}, `{"a":1}`, ""},
		"text":      {protocol.Record{Result: []byte("<b>done</b>"), ResultType: "text/html"}, "<b>done</b>", "text/html"},
		"bytes":     {protocol.Record{Result: []byte{0xff, 0xfe}, ResultType: "image/png"}, "", "image/png"},
		"bad JSON":  {protocol.Record{Result: []byte(`{"a":`)}, `{"a":`, ""},
		"bad bytes": {protocol.Record{Result: []byte{0xff}}, "", ""},
	} {
		if text, kind := resultText(tc.record); text != tc.text || kind != tc.kind {
			t.Errorf("%s is shown as %q of type %q", name, text, kind)
		}
	}
}

func testTimeToDrainIsToldOnlyWhenSomethingWasDone(t *testing.T) {
	for name, tc := range map[string]struct {
		depths  Depths
		rate    float64
		backlog int64
		seconds float64 // -1: not known
	}{
		"not known":      {Depths{}, 5, -1, -1},
		"empty":          {Depths{Visible: new(int64(0)), Delayed: new(int64(0))}, 0, 0, 0},
		"at work":        {Depths{Visible: new(int64(90)), Delayed: new(int64(10))}, 5, 100, 20},
		"standing still": {Depths{Visible: new(int64(90))}, 0, 90, -1},
	} {
		backlog, seconds := toDrain(tc.depths, tc.rate)
		got, took := orUnknown(backlog), -1.0
		if seconds != nil {
			took = *seconds
		}
		if got != tc.backlog || took != tc.seconds {
			t.Errorf("%s: backlog %d, %g s", name, got, took)
		}
	}
}
