package producercmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/buildinfo"
)

// cli is the command line. Every flag can also be set by the environment variable SQSONCE_ + its
// name, unless its env tag says otherwise.
type cli struct {
	Serve  serveCmd  `cmd:"" help:"Serve the HTTP API: POST / puts a message on the queue, GET /messages/NAME returns its outcome."`
	Send   sendCmd   `cmd:"" help:"Send one message, or many as lines of JSON from standard input."`
	Replay replayCmd `cmd:"" help:"Send duplicates on purpose, wait for their outcomes, and report how often each name was handled."`
	Status statusCmd `cmd:"" help:"Print the status and outcome of a name."`
	Cancel cancelCmd `cmd:"" help:"Cancel a scheduled message (send --delay). Fails after the message was sent."`

	Console consoleCmd `cmd:"" help:"Serve the console for the queue, its dead-letter queue and the table, with your AWS credentials. It shows stuck names and messages with their reasons, and settles them."`
	Import  importCmd  `cmd:"" help:"Record names as completed before a switch-over: one name per line of standard input. A name that has a record already keeps it."`
	Ls      lsCmd      `cmd:"" help:"List the names that need attention: UNKNOWN, REJECTED or RETRYING."`
	Resolve resolveCmd `cmd:"" help:"Settle a stuck name: its work was done, or may run again."`
	Forget  forgetCmd  `cmd:"" help:"Forget a name, as if it had never been seen."`
	DLQ     dlqCmd     `cmd:"" name:"dlq" help:"List, show, redrive or delete messages of the dead-letter queue."`

	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`

	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

// Exit codes beyond those of [awsenv.Exit], which are 0, 1 and 2.
const (
	exitRepeated = 3 // a name was attempted again after it was completed
	exitNotFinal = 4 // a name has no final status (in time)
	exitRejected = 5 // a name is REJECTED or UNKNOWN
)

const description = `Sends named messages to an SQS queue and reports their outcomes.

Commands other than serve call a running API (--url), or use AWS directly (--queue-url and --table). A flag can also be set by its environment variable, such as SQSONCE_QUEUE_URL for --queue-url.

Exit codes: 0 success; 1 failure; 2 bad usage or settings; 3 a name was attempted again after it was completed; 4 a name has no final status (in time); 5 a name is REJECTED or UNKNOWN.`

// helpShown is the panic value of kong's exit, after help or the version was printed. It is the
// exit code.
type helpShown int

// parse reads the command line and the environment, and returns the chosen command. It is nil after
// help or the version was printed. The error of bad settings is a [*awsenv.SettingsError].
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
		return nil, &awsenv.SettingsError{Problems: []string{err.Error() + " (see producer --help)"}}
	}
	chosen, ok := parsed.Selected().Target.Addr().Interface().(command)
	if !ok {
		return nil, fmt.Errorf("command line: %q cannot be run", parsed.Command())
	}
	return chosen, chosen.check()
}

// newParser returns the parser of the command line.
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

// problems lists violations in the settings.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// err returns a [*awsenv.SettingsError]; nil without problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &awsenv.SettingsError{Problems: p}
}

// exitError ends the program with an exit code.
type exitError struct {
	code int
	text string // empty: print nothing
}

// Error implements error.
func (e *exitError) Error() string { return e.text }

// exitCode returns the exit code for the error of a command.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return awsenv.Exit(err)
}

// version returns the version of the build.
func version() string { return buildinfo.Version() }
