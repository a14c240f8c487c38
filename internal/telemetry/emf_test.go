package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
)

// emfText is a line as CloudWatch reads it.
type emfText struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	Queue, Kind, Outcome          string
	Duplicates, Attempts, Workers float64
	Takeovers, Held, Down         float64
	Received, AwsCalls            float64
	HandleTime, Dwell             *struct {
		Values, Counts []float64
		Max, Min, Sum  float64
		Count          int
	}
}

func emfTexts(t *testing.T, out *bytes.Buffer) (lines []emfText) {
	t.Helper()
	for line := range strings.Lines(out.String()) {
		var text emfText
		if err := json.Unmarshal([]byte(line), &text); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, text)
	}
	out.Reset()
	return lines
}

func TestEMF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		tele, err := New(t.Context(), Config{EMF: &out})
		if err != nil {
			t.Fatal(err)
		}
		q := tele.Queue("jobs")
		stats := consumer.Stats{State: consumer.Running, Held: 3, Down: []string{"store"}}
		if err := q.Watch(func() consumer.Stats { return stats }, "store", "target"); err != nil {
			t.Fatal(err)
		}
		hooks := q.DedupeHooks()
		for range 2 {
			hooks.Replayed(dedupe.Attempt{}, "cached")
		}
		hooks.TookOver(dedupe.Attempt{})
		hooks.Settled(dedupe.Attempt{}, "completed", time.Second, nil)
		q.is.work.Record(t.Context(), 0.02, q.labels.with().record...)
		q.is.work.Record(t.Context(), 7, q.labels.with().record...)

		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		lines := emfTexts(t, &out)
		byKind := make(map[string]emfText)
		for _, l := range lines {
			byKind[l.Kind+l.Outcome] = l
			if at := time.UnixMilli(l.AWS.Timestamp); !at.Equal(at.Truncate(time.Minute)) || l.Queue != "jobs" {
				t.Errorf("line of %s about queue %q", at, l.Queue)
			}
			of := l.AWS.CloudWatchMetrics[0]
			if of.Namespace != EMFNamespace || of.Dimensions[0][0] != emfQueue || len(of.Metrics) == 0 {
				t.Errorf("it declares %+v", of)
			}
		}
		if len(lines) != 3 || byKind["cached"].Duplicates != 2 || byKind["completed"].Attempts != 1 {
			t.Errorf("lines are %+v", lines)
		}
		own := byKind[""]
		if own.Workers != 1 || own.Held != 3 || own.Down != 1 || own.Takeovers != 1 {
			t.Errorf("the worker's line is %+v", own)
		}
		if h := own.HandleTime; h == nil || h.Count != 2 || h.Min != 0.02 || h.Max != 7 || len(h.Values) != 2 || h.Values[0] > 0.025 || h.Values[1] < 5 {
			t.Errorf("times are %+v", own.HandleTime)
		}

		// Earlier counts are not written again, and the rest is written at the end.
		hooks.Replayed(dedupe.Attempt{}, "cached")
		if err := tele.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		rest := emfTexts(t, &out)
		if len(rest) == 0 || rest[0].Duplicates != 1 || rest[0].Takeovers != 0 {
			t.Errorf("the last lines are %+v", rest)
		}
	})
}

func TestEmf(t *testing.T) {
	t.Run("e m f reports values that cannot be written", testEMFReportsValuesThatCannotBeWritten)
}

func testEMFReportsValuesThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tele, err := New(t.Context(), Config{EMF: full{}})
		if err != nil {
			t.Fatal(err)
		}
		tele.Queue("jobs").DedupeHooks().TookOver(dedupe.Attempt{})
		if err := tele.Shutdown(context.WithoutCancel(t.Context())); !errors.Is(err, errFull) {
			t.Errorf("error is %v", err)
		}
	})
}

var errFull = errors.New("full")

// full takes no line.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
