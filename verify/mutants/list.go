package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// mutant is one breakage.
type mutant struct {
	name     string
	file     string   // to break, relative to the module's root
	test     []string // arguments of go test
	old, new string
}

// read reads a list, or says which line is wrong.
func read(path string) (list []mutant, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if list, err = add(list, lines.Text()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	for _, m := range list {
		if m.file == "" || m.old == "" || len(m.test) == 0 {
			return nil, fmt.Errorf("%s: %q lacks its file, its test or its text", path, m.name)
		}
	}
	return list, nil
}

// add takes one more line into a list.
func add(list []mutant, line string) ([]mutant, error) {
	if name, ok := strings.CutPrefix(line, "== "); ok {
		return append(list, mutant{name: name}), nil
	}
	if line == "" || strings.HasPrefix(line, "#") {
		return list, nil
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%q stands before the first mutant", line)
	}
	m := &list[len(list)-1]
	switch what, rest := line[:1], line[1:]; {
	case what == "-":
		m.old += rest + "\n"
	case what == "+":
		m.new += rest + "\n"
	case strings.HasPrefix(line, "file: "):
		m.file = strings.TrimPrefix(line, "file: ")
	case strings.HasPrefix(line, "test: "):
		m.test = strings.Fields(strings.TrimPrefix(line, "test: "))
	default:
		return nil, fmt.Errorf("%q is not understood", line)
	}
	return list, nil
}

// apply returns src broken by m.
func (m mutant) apply(src string) (string, error) {
	switch n := strings.Count(src, m.old); n {
	case 1:
		return strings.Replace(src, m.old, m.new, 1), nil
	default:
		return "", fmt.Errorf("its text is %d times in %s, want once", n, m.file)
	}
}
