package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is the result of a run.
type Report struct {
	Took                    time.Duration
	Messages, Names, Calls  int
	Starts                  int            // processes
	Batches                 int            // calls of DynamoDB with several writes
	Harms, Faults, Statuses map[string]int // by kind
	DeadLetters             map[string]int // by reason; "(moved by SQS)" without one

	Repeats map[string]int // calls beyond the first of their name, by the allowed cause

	Changes, Compared int // changes of a worker to another release; names read by both releases

	// Must be zero.
	Unexplained, FenceRegressions, Overlaps, Lost, Stranded []string
	Mismatches, Differences                                 []string // false payload mismatches; answers in which two releases differ

	// PausedOverlaps is the number of calls with a higher fence beside a call of a paused worker.
	// These are allowed.
	PausedOverlaps int

	PausedTogether int // pairs of processes that were paused at once for longer than a lease
}

// Failed returns the violations.
func (r *Report) Failed() []string {
	return slices.Concat(r.Unexplained, r.FenceRegressions, r.Overlaps, r.Lost, r.Stranded, r.Mismatches, r.Differences)
}

// String prints the report.
func (r *Report) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("%s: %d messages, %d names, %d calls by %d processes", r.Took.Round(time.Second), r.Messages, r.Names, r.Calls, r.Starts)
	line("batches of writes:             %d", r.Batches)
	line("harm to processes:             %s", counts(r.Harms))
	line("faults of the network:         %s", counts(r.Faults))
	line("records:                       %s", counts(r.Statuses))
	line("dead letters:                  %s", counts(r.DeadLetters))
	line("repeated calls, and why:       %s", counts(r.Repeats))
	line("pairs paused at once:          %d", r.PausedTogether)
	line("overlaps while paused:         %d (each with a higher fence)", r.PausedOverlaps)
	line("repeats without a reason:      %d", len(r.Unexplained))
	line("fence regressions:             %d", len(r.FenceRegressions))
	line("overlaps within live leases:   %d", len(r.Overlaps))
	line("lost:                          %d", len(r.Lost))
	line("stranded:                      %d", len(r.Stranded))
	line("mismatches:                    %d", len(r.Mismatches))
	if r.Compared > 0 {
		line("changes of release:            %d", r.Changes)
		line("told differently by releases:  %d of %d names", len(r.Differences), r.Compared)
	}
	return b.String()
}

func counts(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// Judge finds the cause of each repeated call. lease bounds the time for which a worker may act on
// its lease after losing its connection.
func (r *Report) Judge(calls map[string][]Call, harms []Harm, lease time.Duration) {
	r.Repeats = make(map[string]int)
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		of := calls[name]
		r.Calls += len(of)
		for i := 1; i < len(of); i++ {
			r.judge(of[i-1], of[i], harms, lease)
		}
	}
}

// judge compares a call with the one before it.
func (r *Report) judge(before, after Call, harms []Harm, lease time.Duration) {
	what := fmt.Sprintf("%s: fence %d by process %d at %s, then fence %d by process %d at %s", before.Name,
		before.Fence, before.Process, before.Start.Format(time.StampMilli), after.Fence, after.Process, after.Start.Format(time.StampMilli))
	harm := harmed(before, after.Start, harms, lease)
	if after.Fence <= before.Fence {
		r.FenceRegressions = append(r.FenceRegressions, what)
	}
	if before.End.IsZero() || before.End.After(after.Start) {
		if harm == "pause" && after.Fence > before.Fence {
			r.PausedOverlaps++
		} else {
			r.Overlaps = append(r.Overlaps, what)
		}
	}
	switch {
	case before.Status >= 400:
		r.Repeats["it had failed"]++
	case harm != "":
		r.Repeats["its worker met a "+harm]++
	case before.Status == 0:
		r.Repeats["its connection broke"]++
	default:
		r.Unexplained = append(r.Unexplained, what)
	}
}

// together counts the pairs of processes that were paused at once for longer than lease.
func together(harms []Harm, lease time.Duration) (pairs int) {
	for i, a := range harms {
		for _, b := range harms[i+1:] {
			if a.Kind != "pause" || b.Kind != "pause" || a.Process == b.Process {
				continue
			}
			from, to := a.From, a.To
			if b.From.After(from) {
				from = b.From
			}
			if b.To.Before(to) {
				to = b.To
			}
			if to.Sub(from) > lease {
				pairs++
			}
		}
	}
	return pairs
}

// harmed returns the kind of harm to the process of a call that may have affected the call, before
// the next call. The target may see a request after its process was killed, because it was in
// flight.
func harmed(c Call, next time.Time, harms []Harm, lease time.Duration) string {
	for _, h := range harms {
		if h.Process != c.Process || h.From.After(next) {
			continue
		}
		switch {
		case h.Kind == "kill",
			h.Kind == "stop" && h.From.After(c.Start.Add(-drain)),
			h.Kind == "pause" && (h.To.IsZero() || h.To.After(c.Start.Add(-lease))):
			return h.Kind
		}
	}
	return ""
}
