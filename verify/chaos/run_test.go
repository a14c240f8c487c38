package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Environment variables for long runs; see Makefile.d/sim.mk.
const (
	envChaos = "SQSONCE_CHAOS" // duration of the faults, such as 5m
	envSoak  = "SQSONCE_SOAK"  // duration of a steady load
	envPlot  = "SQSONCE_PLOT"  // file that a soak's plot is written to
)

// binary builds the worker.
func binary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "worker")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", file, "./cmd/worker")
	build.Dir = filepath.Join("..", "..") // the module of the binaries
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	return file
}

// config returns the configuration of a short run.
func config(t *testing.T) Config {
	t.Helper()
	log, err := os.Create(filepath.Join(t.ArtifactDir(), "workers.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return Config{
		Binary: binary(t), SQS: emulators.SQS(t), DynamoDB: emulators.DynamoDB(t),
		Name: fmt.Sprintf("chaos-%d", time.Now().UnixNano()), Seed: uint64(time.Now().UnixNano()),
		Workers: 3, Messages: 300, Duplicates: 0.3, Chaos: 4 * time.Second, Settle: time.Minute,
		Visibility: 14 * time.Second, Lease: 3 * time.Second, Skew: 700 * time.Millisecond,
		Harm: time.Second, MinPause: 2 * time.Second, MaxPause: 8 * time.Second, Slow: 3 * time.Second,
		Network: Rates{Cut: 0.02, Drop: 0.02, Throttle: 0.02, Delay: 0.03, MaxDelay: 2 * time.Second},
		Log:     log,
	}
}

// duration reads an environment variable, and fails the test if it is no duration.
func duration(t *testing.T, env string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv(env))
	if err != nil {
		t.Fatalf("%s=%q: want a duration such as 5m", env, os.Getenv(env))
	}
	return d
}

// lengthen makes a run as long as the environment variable says. Its pauses and calls outlast
// leases.
func lengthen(t *testing.T, cfg *Config) {
	t.Helper()
	cfg.Chaos = duration(t, envChaos)
	cfg.Messages, cfg.Settle = int(cfg.Chaos.Seconds()*70), 20*time.Minute
	cfg.Visibility, cfg.Lease, cfg.Skew = 30*time.Second, 10*time.Second, time.Second
	cfg.Harm, cfg.MinPause, cfg.MaxPause, cfg.Slow = 3*time.Second, 5*time.Second, 40*time.Second, 28*time.Second
}

// showsPauses fails a long run whose pauses have shown nothing.
func showsPauses(t *testing.T, cfg Config, report *Report) {
	t.Helper()
	if cfg.Chaos >= 5*time.Minute && (report.PausedTogether == 0 || report.PausedOverlaps == 0) {
		t.Error("no two workers were paused at once, or no call ran beside that of a paused worker")
	}
}

func TestRun(t *testing.T) {
	t.Run("chaos", testChaos)
	t.Run("steady load", testSteadyLoad)
}

func testChaos(t *testing.T) {
	cfg := config(t)
	if os.Getenv(envChaos) != "" {
		cfg.Workers = 4
		lengthen(t, &cfg)
	}
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d\n%s", cfg.Seed, report)
	for _, what := range report.Failed() {
		t.Error(what)
	}
	if report.Calls < report.Names/2 {
		t.Errorf("%d calls for %d names: this run shows nothing", report.Calls, report.Names)
	}
	showsPauses(t, cfg, report)
}

// The resources of healthy workers do not grow under a steady load. The medians of memory,
// goroutines, threads and open files in the last quarter of the time are at most a quarter above
// those in the second quarter. The median latency from sending to the target is at most twice that
// of the second quarter, or a second.
func testSteadyLoad(t *testing.T) {
	cfg := config(t)
	cfg.Workers, cfg.Harm, cfg.Network = 2, 0, Rates{}
	cfg.Messages, cfg.Slow = 600, 200*time.Millisecond
	if os.Getenv(envSoak) != "" {
		cfg.Chaos = duration(t, envSoak)
		cfg.Messages = int(cfg.Chaos.Seconds() * 100)
	}
	var samples []Sample
	cfg.Sample = func(s *Sample) { samples = append(samples, *s) }
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range report.Failed() {
		t.Error(what)
	}
	t.Logf("%s", report)
	if file := os.Getenv(envPlot); file != "" {
		if err := os.WriteFile(file, Plot(samples), 0o600); err != nil {
			t.Error(err)
		}
	}
	if len(samples) < 60 {
		return // too short to show growth
	}
	early, latest := samples[len(samples)/4:len(samples)/2], samples[len(samples)*3/4:]
	quarterMore := func(before int64) int64 { return before + before/4 }
	for _, figure := range []struct {
		name  string
		of    func(Sample) int64
		bound func(before int64) int64
	}{
		{"memory, bytes", func(s Sample) int64 { return s.MemoryBytes }, quarterMore},
		{"goroutines", func(s Sample) int64 { return int64(s.Goroutines) }, quarterMore},
		{"threads", func(s Sample) int64 { return int64(s.Threads) }, quarterMore},
		{"files", func(s Sample) int64 { return int64(s.Files) }, quarterMore},
		{
			"median from sending to the target, ms", func(s Sample) int64 { return s.Latency.Milliseconds() },
			func(before int64) int64 { return max(2*before, 1000) },
		},
	} {
		before, after := median(early, figure.of), median(latest, figure.of)
		t.Logf("%s: %d early, %d late, at most %d", figure.name, before, after, figure.bound(before))
		if before == 0 || after > figure.bound(before) {
			t.Errorf("%s: from %d to %d", figure.name, before, after)
		}
	}
}

func TestReadTable(t *testing.T) {
	t.Run("silent", func(t *testing.T) { testReadTableTooSlow(t, silent{}) })
	t.Run("slow", func(t *testing.T) { testReadTableTooSlow(t, slow{}) })
}

// A server that is too slow ends the run with a clear error.
func testReadTableTooSlow(t *testing.T, server dynamodb.ScanAPIClient) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		records, err := readTable(t.Context(), server, "table")
		if err == nil || !strings.Contains(err.Error(), "the table could not be read within 10m0s") {
			t.Errorf("got %d records, %v", len(records), err)
		}
		if took := time.Since(start); took != readTimeout {
			t.Errorf("gave up after %s", took)
		}
	})
}

// silent is a server that never answers.
type silent struct{}

func (silent) Scan(ctx context.Context, _ *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// slow is a server that takes ten seconds for each page, of which there is no last.
type slow struct{}

func (slow) Scan(ctx context.Context, _ *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	wait(ctx, 10*time.Second)
	key := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: time.Now().String()}}
	return &dynamodb.ScanOutput{Items: []map[string]types.AttributeValue{key}, LastEvaluatedKey: key}, ctx.Err()
}

func median(samples []Sample, of func(Sample) int64) int64 {
	var all []int64
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
