package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// The heartbeat is a third of the visibility timeout, give or take a tenth of
// itself, and one of its calls may take this long.
const (
	heartbeatShare  = 3
	heartbeatJitter = 10
	callDeadline    = 5 * time.Second
)

// cli is the command line. Every flag can also be set by the environment
// variable SQSONCE_ + its name.
type cli struct {
	Run     config           `cmd:"" default:"withargs" help:"Run the worker (the default)."`
	Check   check            `cmd:"" help:"Ask a running worker whether it is healthy: exit 0 when it is. For container health checks."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// check is the settings of "worker check".
type check struct {
	AdminAddr string `default:"127.0.0.1:9090" help:"Admin address of the running worker."`
}

// config is the settings of "worker run".
type config struct {
	Local     bool   `help:"Run everything in this process: in-memory queue and store, producer API, SQS endpoint. Nothing to install, nothing kept."`
	Addr      string `default:"127.0.0.1:8080" help:"Address of the producer API (--local)."`
	QueueAddr string `help:"Address of the SQS endpoint (--local). Default: 127.0.0.1:4566, or a free port when that is taken."`

	QueueURL string `name:"queue-url" help:"URL of the queue to work on."`
	DLQURL   string `name:"dlq-url" help:"URL of the dead-letter queue. Default: the one of the queue's redrive policy."`
	Table    string `help:"DynamoDB table that holds one record per name."`
	Create   bool   `help:"Create a missing queue, dead-letter queue and table. For local servers: refused unless an endpoint override (AWS_ENDPOINT_URL...) is set."`

	Scope       string        `help:"Prefix of every name in the table. Default: the queue's name."`
	Key         string        `default:"name" help:"Where the name is: a JMESPath over the body, @attribute:NAME, @message-id, or @dedup-id. The message attribute sqsonce.name wins."`
	Fingerprint string        `help:"What of the body tells two messages of one name apart: a JMESPath, or 'off'. Default: the whole body."`
	Window      time.Duration `default:"720h" help:"How long a name is remembered after its last write."`
	Lease       time.Duration `default:"30s" help:"How long a claim holds a name unless renewed."`
	Skew        time.Duration `default:"2s" help:"By how much the clocks of the workers may differ."`
	MaxAttempts int           `default:"5" help:"Attempts on a name before it is rejected."`
	OnUnknown   string        `default:"rerun" enum:"rerun,hold" help:"What to do with an attempt of unknown outcome: run it again, or hold it as UNKNOWN for an operator (${enum})."`

	Visibility   time.Duration `default:"60s" help:"Visibility timeout set on each receive and kept up by the heartbeat."`
	Concurrency  int           `default:"50" help:"Messages handled at a time."`
	Rate         float64       `default:"0" help:"Messages started a second at most; 0 means no limit."`
	DrainTimeout time.Duration `default:"25s" help:"How long handlers may finish after a stop; leave 4s to the platform's own stop timeout."`

	TargetURL         string        `name:"target-url" help:"HTTP target to POST each message to (http, https or unix:///socket). Without it the built-in handler logs the message."`
	TargetTimeout     time.Duration `default:"30s" help:"How long the target may take for one message."`
	TargetSecret      string        `help:"Secret with which requests to the target are signed (Standard Webhooks)."`
	TargetToken       string        `help:"Bearer token sent to the target."`
	PermanentStatuses []int         `default:"400,410,413,415,422" help:"Answers of the target that mean: this message is bad."`

	AdminAddr string `default:"127.0.0.1:9090" help:"Address of the admin server: /healthz, /readyz."`
	LogFormat string `default:"auto" enum:"auto,json,text" help:"Log format (${enum}); auto is text on a terminal and JSON elsewhere."`
	Debug     bool   `help:"Log at debug level."`
}

// helpShown is what parse panics with when help or the version was printed.
type helpShown int

// parse reads the command line and the environment. It returns the chosen
// command's settings: a config or a check.
func parse(args []string, stdout, stderr io.Writer) (settings any, err error) {
	defer func() {
		if p := recover(); p != nil {
			code, ok := p.(helpShown)
			if !ok {
				panic(p)
			}
			settings, err = code, nil
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("worker"),
		kong.Description("Handles every named SQS message once."),
		kong.DefaultEnvars("SQSONCE"),
		kong.Vars{"version": version()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(helpShown(code)) }),
	)
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, &awsenv.SettingsError{Problems: []string{err.Error()}}
	}
	if parsed.Selected() != nil && parsed.Selected().Name == "check" {
		return c.Check, nil
	}
	return c.Run, c.Run.validate()
}

// validate reports everything that is wrong with c at once.
func (c config) validate() error {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
	case c.Local && (c.QueueURL != "" || c.Table != ""):
		bad("--local brings its own queue and table: leave out --queue-url and --table, or --local")
	case c.Local && c.Create:
		bad("--create has nothing to do with --local")
	case !c.Local && c.QueueURL == "" && c.Table == "":
		bad("nothing to work on: give --local to try it without AWS, or --queue-url and --table (SQSONCE_QUEUE_URL, SQSONCE_TABLE) with AWS credentials")
	case !c.Local && c.QueueURL == "":
		bad("--queue-url (SQSONCE_QUEUE_URL) is missing")
	case !c.Local && c.Table == "":
		bad("--table (SQSONCE_TABLE) is missing")
	}
	if c.QueueURL != "" {
		if _, err := awsenv.QueueName(c.QueueURL); err != nil {
			bad("--queue-url: %v", err)
		}
	}
	if c.Scope != "" {
		if err := dedupe.CheckScope(c.Scope); err != nil {
			bad("--scope: %v", err)
		}
	}
	if c.TargetURL != "" {
		if u, err := url.Parse(c.TargetURL); err != nil || u.Scheme == "" {
			bad("--target-url %q: not a URL", c.TargetURL)
		}
	}
	if c.Rate < 0 {
		bad("--rate %g: must not be negative", c.Rate)
	}
	if c.Concurrency < 1 {
		bad("--concurrency %d: must be at least 1", c.Concurrency)
	}
	if c.DrainTimeout <= 0 {
		bad("--drain-timeout %s: must be positive", c.DrainTimeout)
	}
	// A crashed worker's message must come back to a name that is free again.
	heartbeat := c.Visibility / heartbeatShare
	room := c.Visibility - heartbeat - heartbeat/heartbeatJitter - callDeadline
	if c.Lease+c.Skew > room {
		bad("--lease %s + --skew %s: must not exceed %s, what --visibility %s leaves after a heartbeat",
			c.Lease, c.Skew, room.Truncate(time.Second), c.Visibility)
	}
	if len(problems) > 0 {
		return &awsenv.SettingsError{Problems: problems}
	}
	return nil
}

// scope is the prefix of names for the given queue.
func (c config) scope(queueURL string) (string, error) {
	name, err := awsenv.QueueName(queueURL)
	return cmp.Or(c.Scope, name), err
}

// version is what the build says it is.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := cmp.Or(info.Main.Version, "(devel)")
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v
}

// exitCode is 0, 1 (failed) or 2 (bad usage or settings).
func exitCode(err error) int {
	if errors.Is(err, errUnhealthy) {
		return 1
	}
	return awsenv.Exit(err)
}
