package producercmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/buildinfo"
)

// cli is the command line. Every flag can also be set by the environment
// variable SQSONCE_ + its name.
type cli struct {
	Serve  serveCmd  `cmd:"" help:"Serve the HTTP API: POST / puts a message on the queue, GET /messages/NAME says what became of it."`
	Send   sendCmd   `cmd:"" help:"Send one message, or many as lines of JSON from standard input."`
	Replay replayCmd `cmd:"" help:"Send duplicates on purpose, wait, and report how often each name was handled."`
	Status statusCmd `cmd:"" help:"Say what became of a name."`
	Cancel cancelCmd `cmd:"" help:"Cancel a message that is scheduled (send --delay). Fails once it is sent."`

	Console consoleCmd `cmd:"" help:"Serve the console over the queue, its dead-letter queue and the table, with your AWS credentials: what is stuck and why, and what becomes of it."`
	Import  importCmd  `cmd:"" help:"Mark names as done before a switch-over: one name a line on standard input. Names of which something is known stay as they are."`
	Ls      lsCmd      `cmd:"" help:"List the names that wait for something: UNKNOWN, REJECTED or RETRYING."`
	Resolve resolveCmd `cmd:"" help:"Settle a name that is stuck: its work was done, or may run again."`
	Forget  forgetCmd  `cmd:"" help:"Let a name count as never seen."`
	DLQ     dlqCmd     `cmd:"" name:"dlq" help:"Look into the dead-letter queue, let messages be tried again, delete them."`

	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`

	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

// Exit codes beyond those of [awsenv.Exit], which are 0, 1 and 2.
const (
	exitRepeated = 3 // a name was attempted again after it was completed
	exitNotFinal = 4 // a name has no final status (in time)
	exitRejected = 5 // a name is REJECTED or UNKNOWN
)

const description = `Puts named messages on an SQS queue and says what became of them.

Commands other than serve talk to a running API (--url), or do its work themselves (--queue-url and --table). Every flag can be set by the environment: --queue-url is SQSONCE_QUEUE_URL.

Exit codes: 0 done, 1 failed, 2 bad usage or settings, 3 a name was attempted again after it was completed, 4 a name is not final (in time), 5 a name is REJECTED or UNKNOWN.`

// helpShown is what parse panics with when help or the version was printed.
type helpShown int

// parse reads the command line and the environment, and returns the command
// that was chosen. It is nil when there is nothing left to do.
func parse(args []string, stdout, stderr io.Writer) (chosen command, err error) {
	defer func() {
		if p := recover(); p != nil {
			code, ok := p.(helpShown)
			if !ok {
				panic(p)
			}
			chosen, err = nil, nil
			if code != 0 {
				err = &exitError{code: int(code)}
			}
		}
	}()
	var c cli
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		_, _ = parser.Parse([]string{"--help"}) // panics
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, &awsenv.SettingsError{Problems: []string{err.Error() + " (producer --help says more)"}}
	}
	chosen, ok := parsed.Selected().Target.Addr().Interface().(command)
	if !ok {
		return nil, fmt.Errorf("command line: %q cannot be run", parsed.Command())
	}
	return chosen, chosen.check()
}

// newParser makes the parser of the command line.
func newParser(c *cli, stdout, stderr io.Writer) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Name("producer"),
		kong.Description(description),
		kong.DefaultEnvars("SQSONCE"),
		kong.Vars{"version": version(), "default_url": defaultURL},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.Exit(func(code int) { panic(helpShown(code)) }),
	)
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	return parser, nil
}

// problems gathers what is wrong with the settings.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// err is nil when nothing is wrong.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &awsenv.SettingsError{Problems: p}
}

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	text string // empty: everything has been said
}

// Error implements error.
func (e *exitError) Error() string { return e.text }

// exitCode is the code for what run returned.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return awsenv.Exit(err)
}

// version is what the build says it is.
func version() string { return buildinfo.Version() }
