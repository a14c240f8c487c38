// Command counts prints measures of the code: lines and exported names of each package, the largest
// types, functions that are too long, and the requirements of the root module.
//
//	go run ./counts [ROOT]
//
// ROOT is the repository's root (default: the parent folder).
package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

const (
	longFunction = 70 // lines of a function, from "func" to the closing brace
	largeType    = 15 // methods
)

func main() {
	root := ".."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "counts: %v\n", err)
		os.Exit(1)
	}
}

// run counts the packages below root and prints them.
func run(root string, out io.Writer) error {
	packages, err := count(root)
	if err != nil {
		return err
	}
	modules, err := requirements(root, packages)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "package\tlines\ttest lines\texported\ttypes\tfuncs\tmethods\tvalues")
	var sum pkg
	for _, p := range packages {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", p.dir, p.lines, p.testLines,
			p.exported(), p.types, p.funcs, p.methods, p.values)
		sum.lines, sum.testLines = sum.lines+p.lines, sum.testLines+p.testLines
	}
	_, _ = fmt.Fprintf(table, "all\t%d\t%d\n", sum.lines, sum.testLines)
	if err := table.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\ntypes with more than %d methods:\n", largeType)
	for _, p := range packages {
		for _, name := range p.largeTypes() {
			_, _ = fmt.Fprintf(out, "  %s.%s: %d\n", p.dir, name, p.methodsOf[name])
		}
	}
	for _, tests := range []bool{false, true} {
		_, _ = fmt.Fprintf(out, "\nfunctions over %d lines%s:\n", longFunction, map[bool]string{true: " in tests"}[tests])
		for _, p := range packages {
			for _, f := range p.long {
				if f.test == tests {
					_, _ = fmt.Fprintf(out, "  %s: %s: %d\n", f.file, f.name, f.lines)
				}
			}
		}
	}
	var shipped, tests []string
	for _, m := range modules {
		if m.testOnly {
			tests = append(tests, m.path)
		} else {
			shipped = append(shipped, m.path)
		}
	}
	_, _ = fmt.Fprintf(out, "\ndirect requirements of the root module: %d\n", len(modules))
	_, _ = fmt.Fprintf(out, "  of code: %d\n  of tests alone: %d %v\n", len(shipped), len(tests), tests)
	return nil
}
