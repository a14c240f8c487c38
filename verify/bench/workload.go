package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind says how the messages of a workload repeat each other.
type Kind int

// The kinds.
const (
	Distinct Kind = iota // every message has a name of its own
	Half                 // each name comes twice
	Finished             // nine of ten messages have a name that was finished before, the rest are new
	Lone                 // distinct, and each is sent when the one before it is gone
)

// Workload is what a subject is given to do.
type Workload struct {
	Name        string
	Kind        Kind
	Messages    int
	Size        int // bytes of a body
	Workers     int // processes
	Concurrency int // of each process
	Fingerprint bool
	Target      bool // each message is POSTed to an HTTP server
	Canned      bool // distinct messages, and what is called again and again is answered at once
}

// backlogs are the bodies, one backlog after the other; the last is measured.
func (w Workload) backlogs() [][]string {
	switch w.Kind {
	case Half:
		return [][]string{Bodies("half", w.Messages, w.Messages/2, w.Size)}
	case Finished:
		again := Bodies("old", w.Messages-w.Messages/10, w.Messages/10, w.Size)
		for i, body := range Bodies("new", w.Messages/10, w.Messages/10, w.Size) {
			again = slices.Insert(again, i*10, body)
		}
		return [][]string{Bodies("old", w.Messages/10, w.Messages/10, w.Size), again}
	default:
		return [][]string{Bodies("one", w.Messages, w.Messages, w.Size)}
	}
}

// Bodies are n messages of size bytes with names names, in turn.
func Bodies(prefix string, n, names, size int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = body(prefix, i%names, size)
	}
	return bodies
}

func body(prefix string, name, size int) string {
	start := fmt.Sprintf(`{"name":"%s-%d","pad":"`, prefix, name)
	return start + strings.Repeat("x", max(0, size-len(start)-2)) + `"}`
}

// Measurement is what a subject took for a workload.
type Measurement struct {
	Tally
	Subject  string
	Workload Workload
	CPU      time.Duration   // user and system, of all processes
	Mallocs  int             // of all processes
	Took     time.Duration   // from the first receive to the last delete
	Held     []time.Duration // from receive to delete, by message, sorted
	PeakRSS  int             // bytes, of the largest process
	Trouble  error           // answers that were lost on their way; nil: none
}

// PerMessage is a figure divided by the messages.
func (m Measurement) PerMessage(figure int) float64 {
	return float64(figure) / float64(m.Workload.Messages)
}

// Percentile is how long p of 100 messages are in hand at most.
func (m Measurement) Percentile(p int) time.Duration {
	if len(m.Held) == 0 {
		return 0
	}
	return m.Held[min(len(m.Held)-1, len(m.Held)*p/100)]
}
