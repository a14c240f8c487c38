package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the way in which messages of a workload repeat names.
type Kind int

// The kinds.
const (
	Distinct Kind = iota // every message has its own name
	Half                 // each name occurs twice
	Finished             // nine of ten messages have a finished name, the others a new one
	Lone                 // distinct, and each is sent after the previous one is deleted
)

// Workload is the work of a subject.
type Workload struct {
	Name        string
	Kind        Kind
	Messages    int
	Size        int // bytes of a body
	Workers     int // processes
	Concurrency int // of each process
	Fingerprint bool
	Target      bool // each message is posted to an HTTP server
	Canned      bool // distinct messages, with canned answers to repeated calls
	Paced       bool // canned answers take as long as those of AWS
}

// backlogs returns the bodies of successive backlogs. The last one is measured.
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

// Bodies returns n bodies of size bytes, whose names cycle through names different ones.
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

// Measurement holds the cost of a workload for a subject.
type Measurement struct {
	Tally
	Subject  string
	Workload Workload
	CPU      time.Duration   // user and system, of all processes
	Mallocs  int             // of all processes; 0: not known
	Redis    int             // commands sent to Redis
	Took     time.Duration   // from the first receive to the last delete
	Held     []time.Duration // from receive to delete, by message, sorted
	PeakRSS  int             // bytes, of the largest process
	Trouble  error           // lost answers; nil: none
}

// PerMessage divides a figure by the number of messages.
func (m Measurement) PerMessage(figure int) float64 {
	return float64(figure) / float64(m.Workload.Messages)
}

// Percentile returns the time that p of 100 messages are held at most.
func (m Measurement) Percentile(p int) time.Duration {
	if len(m.Held) == 0 {
		return 0
	}
	return m.Held[min(len(m.Held)-1, len(m.Held)*p/100)]
}
