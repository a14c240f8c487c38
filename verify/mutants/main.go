// Command mutants breaks the code on purpose, one line at a time, and reports
// whether the tests notice.
//
//	go run ./verify/mutants [-run REGEXP] [-v] LIST...
//
// A list is a text file of mutants:
//
//	== the owner's token is ignored
//	file: dedupe/step.go
//	test: ./dedupe -run TestStep
//	-	if r.Owner != e.Owner {
//	+	if false {
//
// The lines after "-" must be found exactly once in the file, and are replaced
// by those after "+" (none: removed). "test" is what "go test" is given; it has
// to pass on the code as it is, and to fail on the mutant. The files themselves
// are not touched: the compiler is told to read others in their place.
//
// It prints which test caught each mutant, and caught/total. It fails when one
// escapes, does not compile, or no longer fits the code.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, goTest))
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, test tester) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("run", "", "only mutants whose name matches this expression")
	verbose := flags.Bool("v", false, "print what the tests say of a mutant that is not caught")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "mutants: -run %q: %v\n", *only, err)
		return 2
	}
	var all []mutant
	for _, path := range flags.Args() {
		list, err := read(path)
		if err != nil {
			_, _ = fmt.Fprintf(stderr, "mutants: %v\n", err)
			return 2
		}
		for _, m := range list {
			if match.MatchString(m.name) {
				all = append(all, m)
			}
		}
	}
	if len(all) == 0 {
		_, _ = fmt.Fprintln(stderr, "mutants: none to try")
		return 2
	}
	caught := 0
	sound := map[string]result{} // what the tests say of the code as it is
	for _, m := range all {
		res := try(ctx, m, sound, test)
		if res.verdict == caughtIt {
			caught++
		}
		_, _ = fmt.Fprintf(stdout, "%-13s %s: %s\n", res.verdict, m.name, res.detail)
		if *verbose && res.verdict != caughtIt {
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
