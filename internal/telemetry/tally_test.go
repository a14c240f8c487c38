package telemetry

import (
	"sync"
	"testing"

	"github.com/sqsonce/sqsonce/consumer"
)

func TestATallyCountsWhatIsAddedByItsValues(t *testing.T) {
	tele, _ := newTelemetry(t)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 100 {
				tele.is.handled.add("delete", "")
				tele.is.handled.add("dead-letter", "rejected")
				tele.is.settled.add("completed")
			}
		})
	}
	all.Wait()
	for range 2 { // read again it is the same
		metrics := scrape(t, tele)
		for name, want := range map[string]map[string]float64{
			"sqsonce_handled_total":  {"delete": 1000, "dead-letter": 1000},
			"sqsonce_attempts_total": {"completed": 1000},
		} {
			got := make(map[string]float64)
			for _, series := range metrics[name] {
				got[series.Labels["outcome"]] = series.Value
			}
			for value, n := range want {
				if got[value] != n || len(got) != len(want) {
					t.Errorf("%s of %s is %v, want %v, of %v", name, value, got[value], n, got)
				}
			}
		}
	}
}

// What a message adds to.
func BenchmarkTally(b *testing.B) {
	tele, err := New(b.Context(), Config{Queue: "jobs"})
	if err != nil {
		b.Fatal(err)
	}
	hooks := tele.ConsumerHooks()
	b.ReportAllocs()
	for b.Loop() {
		hooks.Handled(consumer.Message{}, consumer.Disposition{Action: consumer.Delete}, 0)
	}
}
