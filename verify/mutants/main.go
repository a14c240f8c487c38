// Command mutants breaks a few lines of the code at a time and reports whether the tests fail.
//
//	go -C verify build -o ../bin/mutants ./mutants
//	bin/mutants [-run REGEXP] [-v] [-check | -refresh] PATH...
//
// A path is a patch, or a folder of patches (*.patch). A patch is a unified diff below its name and
// its test:
//
//	the owner's token is ignored
//	test: ./dedupe -run TestStep
//
//	--- a/dedupe/step.go
//	+++ b/dedupe/step.go
//	@@ -10,3 +10,3 @@
//	 ...
//	-	if r.Owner != e.Owner {
//	+	if false {
//	 ...
//
// Files and packages are relative to the repository's root; go test runs in the module of the
// package. The test must pass on the unchanged code and fail on the mutant. The files are not
// modified: the go commands, also those that a test starts, compile the broken ones by -overlay.
//
// mutants prints the test that caught each mutant, and caught/total. It fails if a mutant escapes,
// does not compile, or no longer fits the code. -check only reports whether all patches fit.
// -refresh updates patches whose surrounding lines have changed, if the lines that they change
// still exist.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := findRoot(".")
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "mutants: %v\n", err)
		os.Exit(2)
	}
	os.Exit(run(ctx, root, os.Args[1:], os.Stdout, os.Stderr, goTest))
}

// run runs the program and returns the exit code.
func run(ctx context.Context, root string, args []string, stdout, stderr io.Writer, test tester) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("run", "", "only mutants whose name matches this expression")
	verbose := flags.Bool("v", false, "print what the tests say of a mutant that is not caught")
	check := flags.Bool("check", false, "only say whether the mutants fit the code")
	refresh := flags.Bool("refresh", false, "write patches again whose surrounding lines have changed")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "mutants: -run %q: %v\n", *only, err)
		return 2
	}
	all, err := readAll(flags.Args())
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "mutants: %v\n", err)
		return 2
	}
	all = slices.DeleteFunc(all, func(p patch) bool { return !match.MatchString(p.name) })
	if len(all) == 0 {
		_, _ = fmt.Fprintln(stderr, "mutants: none to try")
		return 2
	}
	switch {
	case *refresh:
		return refreshAll(ctx, root, all, stdout)
	case *check:
		return checkAll(ctx, root, all, stdout)
	default:
		return tryAll(ctx, root, all, stdout, test, *verbose)
	}
}

// tryAll runs the test of every mutant.
func tryAll(ctx context.Context, root string, all []patch, stdout io.Writer, test tester, verbose bool) int {
	caught := 0
	sound := map[string]result{} // results of the tests on the unchanged code
	for _, p := range all {
		res := try(ctx, root, p, sound, test)
		if res.verdict == caughtIt {
			caught++
		}
		_, _ = fmt.Fprintf(stdout, "%-13s %s: %s\n", res.verdict, p.name, res.detail)
		if verbose && res.verdict != caughtIt {
			_, _ = fmt.Fprintln(stdout, res.output)
		}
		if ctx.Err() != nil {
			return 1
		}
	}
	_, _ = fmt.Fprintf(stdout, "%d/%d caught\n", caught, len(all))
	if caught < len(all) {
		return 1
	}
	return 0
}

// checkAll reports the mutants that do not fit the code.
func checkAll(ctx context.Context, root string, all []patch, stdout io.Writer) int {
	fit := 0
	for _, p := range all {
		if err := p.check(ctx, root); err != nil {
			_, _ = fmt.Fprintf(stdout, "%-13s %s: %v\n", unfit, p.name, err)
			continue
		}
		fit++
	}
	_, _ = fmt.Fprintf(stdout, "%d/%d fit\n", fit, len(all))
	if fit < len(all) {
		return 1
	}
	return 0
}

// refreshAll updates the patches whose surrounding lines have changed.
func refreshAll(ctx context.Context, root string, all []patch, stdout io.Writer) (code int) {
	written := 0
	for _, p := range all {
		changed, err := p.refresh(ctx, root)
		if err != nil {
			_, _ = fmt.Fprintf(stdout, "%-13s %s: %v\n", unfit, p.name, err)
			code = 1
		}
		if changed {
			_, _ = fmt.Fprintf(stdout, "%-13s %s\n", "written", p.path)
			written++
		}
	}
	_, _ = fmt.Fprintf(stdout, "%d/%d written again\n", written, len(all))
	return code
}
