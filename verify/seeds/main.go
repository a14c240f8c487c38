// Command seeds runs seeds of the simulation in chunks and records each chunk, so that a long run
// can be stopped and resumed.
//
//	go -C verify run ./seeds -mode safety -from 1 -count 1000000
//	go -C verify run ./seeds -sum
//
// After each chunk it appends a line to the record file (verify/sim/seeds.txt). It skips the seeds
// that the file has for the same mode and code, and refuses a range without any other seeds. The
// code is a hash of the sources that are compiled into the simulation, without comments, together
// with the versions of their libraries. A commit that leaves these as they were needs no new run.
//
// A chunk with a violation is recorded as failed, with its seeds, and its output is in dist/seeds.
// The exit code is then 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the program in the module verify and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("seeds", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("mode", "", "mode of the simulation: "+strings.Join(modeNames(), ", "))
	from := flags.Int("from", 1, "first seed")
	count := flags.Int("count", 5000, "number of seeds")
	size := flags.Int("chunk", 0, "seeds of a chunk; 0: 5000, on DynamoDB 250")
	file := flags.String("record", filepath.Join("sim", "seeds.txt"), "file that records the chunks; empty: none")
	sum := flags.Bool("sum", false, "print the recorded seeds of each mode and code, and run nothing")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	fail := func(code int, format string, args ...any) int {
		_, _ = fmt.Fprintf(stderr, "seeds: "+format+"\n", args...)
		return code
	}
	done, err := readRecord(*file)
	if err != nil {
		return fail(2, "%v", err)
	}
	if *sum {
		_, _ = io.WriteString(stdout, summary(done))
		return 0
	}
	m, ok := modes[*name]
	switch {
	case !ok:
		return fail(2, "-mode %q: want one of %s", *name, strings.Join(modeNames(), ", "))
	case *from < 0 || *count < 1 || *size < 0:
		return fail(2, "-from %d -count %d -chunk %d: want at least 0, 1 and 0", *from, *count, *size)
	}
	if *size == 0 {
		*size = m.chunk
	}
	dir, err := os.MkdirTemp("", "seeds")
	if err != nil {
		return fail(2, "%v", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := runner{mode: m, name: *name, dir: dir, file: *file, stdout: stdout}
	if err := r.prepare(ctx); err != nil {
		return fail(2, "%v", err)
	}
	left := without(span{*from, *from + *count - 1}, done, *name, r.code)
	if len(left) == 0 {
		return fail(1, "%s %d to %d: all recorded for this code (%s) in %s", *name, *from, *from+*count-1, r.code, *file)
	}
	failed, err := r.runAll(ctx, left, *size)
	switch {
	case ctx.Err() != nil:
		return fail(1, "stopped; the same command resumes")
	case err != nil:
		return fail(2, "%v", err)
	case failed > 0:
		return fail(1, "%d chunks failed", failed)
	}
	return 0
}

// mode is a mode of the simulation.
type mode struct {
	test  string // of package sim
	late  bool   // needs lateclock
	chunk int    // default number of seeds of a chunk
}

var modes = map[string]mode{
	"safety":            {test: "TestRun$/^safety$", chunk: 5000},
	"liveness":          {test: "TestRun$/^liveness$", chunk: 5000},
	"trouble":           {test: "TestProgress$/^seeds$", chunk: 5000},
	"batches-safety":    {test: "TestRun$/^batches_and_groups,_safety$", chunk: 5000},
	"batches-liveness":  {test: "TestRun$/^batches_and_groups,_liveness$", chunk: 5000},
	"batches-trouble":   {test: "TestProgress$/^seeds,_batches_and_groups$", chunk: 5000},
	"late":              {test: "TestLate", late: true, chunk: 500},
	"same":              {test: "TestRun$/^same_trace$", chunk: 1000},
	"dynamodb-safety":   {test: "TestRunOnDynamoDB$/^safety$", chunk: 250},
	"dynamodb-liveness": {test: "TestRunOnDynamoDB$/^liveness$", chunk: 250},
}
