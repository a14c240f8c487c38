package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// chunk is a line of the record file.
type chunk struct {
	date, mode   string
	seeds        span
	commit, code string
	seconds      int
	result       string // "pass", or "FAIL" and the first seeds with a violation
}

// span is a range of seeds, both ends included.
type span struct{ first, last int }

const header = "# date mode first last commit code seconds result\n"

// String returns the line of c.
func (c chunk) String() string {
	return fmt.Sprintf("%s %s %d %d %s %s %d %s\n", c.date, c.mode, c.seeds.first, c.seeds.last, c.commit, c.code, c.seconds, c.result)
}

// readRecord reads a record file. There may be none.
func readRecord(path string) (all []chunk, err error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "#") || lines.Text() == "" {
			continue
		}
		c, err := parseChunk(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		all = append(all, c)
	}
	return all, lines.Err()
}

func parseChunk(line string) (chunk, error) {
	fields := strings.SplitN(line, " ", 8)
	if len(fields) < 8 {
		return chunk{}, fmt.Errorf("%q has %d fields, want 8: %s", line, len(fields), strings.TrimSpace(header))
	}
	c := chunk{date: fields[0], mode: fields[1], commit: fields[4], code: fields[5], result: fields[7]}
	for i, to := range map[int]*int{2: &c.seeds.first, 3: &c.seeds.last, 6: &c.seconds} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return chunk{}, fmt.Errorf("field %d of %q: %w", i+1, line, err)
		}
		*to = n
	}
	if _, ok := modes[c.mode]; !ok {
		return chunk{}, fmt.Errorf("%q: there is no mode %q", line, c.mode)
	}
	return c, nil
}

// appendChunk adds a line to the record file. Several processes may write to it.
func appendChunk(path string, c chunk) error {
	if path == "" {
		return nil
	}
	text := c.String()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		text = header + text
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // a file of the repository
	if err != nil {
		return fmt.Errorf("record chunk: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// without returns the parts of a range that are not recorded for a mode and code.
func without(all span, done []chunk, mode, code string) []span {
	left := []span{all}
	for _, c := range done {
		if c.mode != mode || c.code != code {
			continue
		}
		var rest []span
		for _, s := range left {
			if before := (span{s.first, min(s.last, c.seeds.first-1)}); before.first <= before.last {
				rest = append(rest, before)
			}
			if after := (span{max(s.first, c.seeds.last+1), s.last}); after.first <= after.last {
				rest = append(rest, after)
			}
		}
		left = rest
	}
	return left
}

// split cuts ranges into chunks of at most size seeds.
func split(ranges []span, size int) (chunks []span) {
	for _, s := range ranges {
		for first := s.first; first <= s.last; first += size {
			chunks = append(chunks, span{first, min(first+size-1, s.last)})
		}
	}
	return chunks
}

// summary returns a line for each mode and code.
func summary(done []chunk) string {
	type key struct{ mode, code string }
	type sum struct {
		seeds, seconds, chunks, failed int
		last                           string
	}
	sums := make(map[key]sum)
	for _, c := range done {
		s := sums[key{c.mode, c.code}]
		s.seeds += c.seeds.last - c.seeds.first + 1
		s.seconds += c.seconds
		s.chunks++
		s.last = c.date
		if c.result != "pass" {
			s.failed++
		}
		sums[key{c.mode, c.code}] = s
	}
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b key) int { return strings.Compare(a.mode+a.code, b.mode+b.code) }) {
		s := sums[k]
		fmt.Fprintf(&b, "%-17s code %s: %d seeds in %d chunks and %d s, %d failed, the last on %s\n", k.mode, k.code, s.seeds, s.chunks, s.seconds, s.failed, s.last)
	}
	return b.String()
}

func modeNames() []string { return slices.Sorted(maps.Keys(modes)) }
