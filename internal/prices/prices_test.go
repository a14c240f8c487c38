package prices

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the tables into the documents")

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestUse(t *testing.T) {
	for name, c := range map[string]struct {
		use  Use
		want float64
	}{
		"nothing":       {Use{}, 0},
		"on demand":     {Use{Requests: 3, Writes: 2, Reads: 4}, 3*StandardMillion + 2*WriteMillion + 4*ReadMillion},
		"FIFO":          {Use{Requests: 3, FIFO: true}, 3 * FIFOMillion},
		"fully used":    {Use{Writes: 3600, Reads: 3600, Provisioned: 1}, million * (WriteCapacityHour + ReadCapacityHour)},
		"half used":     {Use{Writes: 3600, Provisioned: 0.5}, 2 * million * WriteCapacityHour},
		"storage":       {Use{Record: 1000, Days: Hours / 24.0}, StorageGigabyte},
		"with recovery": {Use{Record: 1000, Days: Hours / 24.0, Recovery: true}, StorageGigabyte + RecoveryGigabyte},
		"a task":        {Use{Daily: 24, Tasks: Tasks{Count: 1, CPU: 2, Memory: 3}}, 2*CPUHourARM + 3*MemoryHourARM},
		"on x86, Spot":  {Use{Daily: 24, Tasks: Tasks{Count: 2, CPU: 1, X86: true, Spot: true}}, 2 * CPUHourX86 * SpotShare},
		"endpoints":     {Use{Daily: 12, Tasks: Tasks{EndpointZones: 3, Traffic: 1000}}, 2*3*EndpointHour + EndpointGigabyte},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.use.Million(); !near(got, c.want) {
				t.Errorf("%+v costs %f, want %f", c.use, got, c.want)
			}
		})
	}
}

func TestWays(t *testing.T) {
	for _, w := range Ways() {
		if w.Saved() <= 0 || w.Saved() >= 1 || w.Name == "" || w.How == "" {
			t.Errorf("%+v saves %f", w, w.Saved())
		}
	}
	if w := Halved(); w.Saved() < 0.5 {
		t.Errorf("%s saves %f, want half", w.Name, w.Saved())
	}
}

// The documents have the tables that are computed here: go test ./internal/prices -rewrite.
func TestTable(t *testing.T) {
	const file, begin, end = "../../BENCHMARKS.md", "<!-- ways -->\n\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no section ways", file)
	}
	want := Table() + "\n"
	switch {
	case old == want:
	case *rewrite:
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another table; go test ./internal/prices -rewrite writes\n%s", file, want)
	}
}

func TestDaily(t *testing.T) {
	const file = "../../docs/deploy.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), Daily()) {
		t.Errorf("%s does not have the table\n%s", file, Daily())
	}
}
