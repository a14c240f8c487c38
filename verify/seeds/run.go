package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sqsonce/sqsonce/verify/lateclock"
)

// runner runs the chunks of one mode.
type runner struct {
	mode   mode
	name   string // of the mode
	dir    string // temporary
	file   string // record file
	stdout io.Writer

	binary       string // the tests of package sim
	commit, code string
}

// prepare builds the tests, so that later edits do not change the run, and identifies the code.
func (r *runner) prepare(ctx context.Context) (err error) {
	r.binary = filepath.Join(r.dir, "sim.test")
	args := []string{"test", "-c", "-vet=off", "-o", r.binary}
	var tags []string
	if r.mode.late {
		overlay, err := lateclock.Overlay(ctx, r.dir)
		if err != nil {
			return err
		}
		tags = []string{lateclock.Tag}
		args = append(args, "-tags", lateclock.Tag, "-overlay", overlay)
	}
	build := exec.CommandContext(ctx, "go", append(args, "./sim")...) //nolint:gosec // fixed arguments
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build ./sim: %w\n%s", err, out)
	}
	if r.code, err = codeOf(ctx, tags...); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--abbrev=9", "--exclude=*").Output()
	if err != nil {
		return fmt.Errorf("git describe: %w", err)
	}
	r.commit = strings.TrimSpace(string(out))
	return nil
}

// runAll runs ranges in chunks, and returns the number of failed chunks.
func (r *runner) runAll(ctx context.Context, ranges []span, size int) (failed int, err error) {
	for _, s := range split(ranges, size) {
		c, output, err := r.run(ctx, s)
		if err := errors.Join(ctx.Err(), err); err != nil {
			return failed, err // an unfinished chunk is not recorded
		}
		if c.result != "pass" {
			failed++
			log, err := saveOutput(c, output)
			if err != nil {
				return failed, err
			}
			_, _ = fmt.Fprintf(r.stdout, "output in %s\n", log)
		}
		if err := appendChunk(r.file, c); err != nil {
			return failed, err
		}
		_, _ = io.WriteString(r.stdout, c.String())
	}
	return failed, nil
}

// run runs one chunk.
func (r *runner) run(ctx context.Context, s span) (c chunk, output []byte, err error) {
	artifacts := filepath.Join("..", "dist", "seeds")
	if err := os.MkdirAll(artifacts, 0o750); err != nil {
		return chunk{}, nil, fmt.Errorf("run chunk: %w", err)
	}
	outputs, err := filepath.Abs(artifacts)
	if err != nil {
		return chunk{}, nil, fmt.Errorf("run chunk: %w", err)
	}
	cmd := exec.CommandContext(ctx, r.binary, "-test.v", "-test.timeout=0", "-test.run", r.mode.test, "-test.artifacts", "-test.outputdir", outputs) //nolint:gosec // our own binary
	cmd.Dir = "sim"
	cmd.Env = append(os.Environ(), fmt.Sprintf("SQSONCE_FROM=%d", s.first), fmt.Sprintf("SQSONCE_SEEDS=%d", s.last-s.first+1), "SQSONCE_SEED=", "GOGC=1600")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	start := time.Now()
	output, err = cmd.CombinedOutput()
	c = chunk{date: start.UTC().Format(time.DateOnly), mode: r.name, seeds: s, commit: r.commit, code: r.code, seconds: int(time.Since(start).Seconds()), result: "pass"}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return chunk{}, nil, fmt.Errorf("run chunk: %w", err)
	}
	if err != nil {
		c.result = strings.TrimSpace("FAIL " + strings.Join(seedsIn(output), ","))
	} else if bytes.Contains(output, []byte("no tests to run")) {
		return chunk{}, nil, fmt.Errorf("%s selects no test", r.mode.test)
	}
	return c, output, nil
}

var badSeed = regexp.MustCompile(`seed (\d+) \(live`)

// seedsIn lists the seeds with violations in the output of a chunk.
func seedsIn(output []byte) (seeds []string) {
	for _, m := range badSeed.FindAllSubmatch(output, -1) {
		if s := string(m[1]); !slices.Contains(seeds, s) {
			seeds = append(seeds, s)
		}
	}
	return seeds
}

// saveOutput saves the output of a failed chunk and returns its path.
func saveOutput(c chunk, output []byte) (path string, err error) {
	path = filepath.Join("..", "dist", "seeds", fmt.Sprintf("%s-%d.log", c.mode, c.seeds.first))
	return path, os.WriteFile(path, output, 0o600)
}
