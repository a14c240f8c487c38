//go:build mixed

package chaos

import (
	"os"
	"testing"
	"time"
)

// envOther is the root of another release's module: make chaos-mixed sets it.
const envOther = "SQSONCE_OTHER_RELEASE"

// Workers of two releases share a queue and a table while the fleet is upgraded, rolled back and
// upgraded again, with all faults.
func TestTwoReleases(t *testing.T) {
	dir := os.Getenv(envOther)
	if dir == "" {
		t.Fatalf("%s is not set: run make chaos-mixed", envOther)
	}
	cfg := config(t)
	cfg.Workers, cfg.Messages, cfg.Chaos, cfg.Harm = 3, 1500, 20*time.Second, 3*time.Second
	if os.Getenv(envChaos) != "" {
		lengthen(t, &cfg)
	}
	here, err := Build(t.Context(), "../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other, err := Build(t.Context(), dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Binary, cfg.Producer, cfg.Other = here.Worker, here.Producer, &other
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d\n%s", cfg.Seed, report)
	for _, what := range report.Failed() {
		t.Error(what)
	}
	showsPauses(t, cfg, report)
	if report.Batches < 20 || report.Changes < 3*cfg.Workers || report.Compared < report.Names || report.Statuses["COMPLETED"] < report.Names/2 {
		t.Errorf("%d batches, %d changes of release, %d of %d names compared: this run shows nothing",
			report.Batches, report.Changes, report.Compared, report.Names)
	}
}
