package workercmd

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/mirror"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/names"
)

const (
	callDeadline = 5 * time.Second // timeout of one call to SQS
	// stopReserve is the longest part of a shutdown after the drain: 4 s for cancelled handlers and
	// the settling of outcomes (see [consumer.Config.StopTime]), then the servers and the telemetry.
	stopReserve = 4*time.Second + 2*serverGrace + leastFlush
	serverGrace = 250 * time.Millisecond // for requests under way, and again for aborted ones
	leastFlush  = 250 * time.Millisecond // least time for the last telemetry
	// longestTarget leaves time to settle a message before its visibility timeout ends, which SQS
	// limits to 12 hours after the receive.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
	longestTarget = 11 * time.Hour
	// A shutdown waits for the current long poll. With --local a short poll costs nothing.
	localPollWait = time.Second
)

// Bounds of --s3-max, in bytes. Memory holds several copies of a payload while it is handled.
const (
	leastS3Max = 1 << 10
	mostS3Max  = 1 << 30
)

// Bounds of --max-result, in bytes. A DynamoDB item is limited to 400 KB, and also holds the name,
// the error of an attempt and the owner.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
const (
	leastMaxResult = 4 << 10
	mostMaxResult  = 300 << 10
)

// sqsdTimeout is the default timeout of Elastic Beanstalk's daemon for an answer
// (InactivityTimeout).
// https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-general.html#command-options-general-elasticbeanstalksqsd
const sqsdTimeout = 299 * time.Second

// presets applies --sqsd to the flags that have their default values.
func (c *queueSettings) presets() {
	if c.PermanentStatuses == nil {
		c.PermanentStatuses = []int{} // set to nothing: no status rejects the message
	}
	if !c.Sqsd {
		return
	}
	if c.Key == "name" {
		c.Key = "@message-id"
	}
	if c.TargetTimeout == 30*time.Second {
		c.TargetTimeout = sqsdTimeout
	}
}

// readSecrets sets the secrets that are given as files, and returns the problems.
func (c *queueSettings) readSecrets() (problems []string) {
	for _, s := range []struct {
		flag, file string
		value      *string
	}{
		{"--target-secret", c.TargetSecretFile, &c.TargetSecret},
		{"--target-token", c.TargetTokenFile, &c.TargetToken},
		{"--admin-token", c.AdminTokenFile, &c.AdminToken},
	} {
		problems = append(problems, readSecret(s.flag, s.file, s.value)...)
	}
	return problems
}

// readSecret sets the secret of a flag from file, unless file is empty, and returns the problems.
func readSecret(flag, file string, value *string) (problems []string) {
	if file == "" {
		return nil
	}
	if *value != "" {
		return []string{flag + " and " + flag + "-file: set only one of them"}
	}
	text, err := awsenv.ReadSecret(file)
	if err != nil {
		return []string{fmt.Sprintf("%s-file: %v", flag, err)}
	}
	if *value = text; *value == "" {
		return []string{fmt.Sprintf("%s-file %s: is empty", flag, file)}
	}
	return nil
}

// problems returns all problems of the settings.
func (c queueSettings) problems() []string {
	problems := c.processProblems()
	if c.Local && (c.QueueURL != "" || c.Table != "") {
		problems = append(problems, "--local has its own queue and table: leave out --queue-url and --table, or --local")
	}
	return append(problems, c.queueProblems(len(problems) == 0)...)
}

// processProblems returns the problems of the settings of the process.
func (c queueSettings) processProblems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.Local && c.Create {
		bad("--create: cannot be used with --local")
	}
	if c.Local && !awsenv.Loopback(c.Addr) && len(c.AuthToken) == 0 {
		bad("--addr %q: listening beyond loopback needs --auth-token (SQSONCE_AUTH_TOKEN)", c.Addr)
	}
	if c.Local {
		problems = append(problems, awsenv.CheckTokens("--auth-token (SQSONCE_AUTH_TOKEN)", c.Addr, c.AuthToken)...)
	}
	if c.AdminToken != "" {
		problems = append(problems, awsenv.CheckTokens("--admin-token (SQSONCE_ADMIN_TOKEN)", c.AdminAddr, []string{c.AdminToken})...)
	}
	if c.Local && !awsenv.Loopback(c.QueueAddr) {
		bad("--queue-addr %q: must be a loopback address, because the SQS endpoint of --local checks no token", c.QueueAddr)
	}
	if c.DrainTimeout <= 0 {
		bad("--drain-timeout %s: must be positive", c.DrainTimeout)
	}
	if c.Slots < 0 || c.Slots > mostSlots {
		bad("--slots %d: must be from 0 to %d", c.Slots, mostSlots)
	}
	if c.WaitAtStart < 0 {
		bad("--wait-at-start %s: must not be negative", c.WaitAtStart)
	}
	if c.StopTimeout > 0 && c.DrainTimeout+stopReserve >= c.StopTimeout {
		bad("--drain-timeout %s: plus %s for settling it must be less than --stop-timeout %s, after which the platform kills the process",
			c.DrainTimeout, stopReserve, c.StopTimeout)
	}
	for _, host := range c.AdminHosts {
		if err := console.CheckHost(host); err != nil {
			bad("--admin-hosts %v", err)
		}
	}
	return problems
}

// queueProblems returns the problems of the settings of the queue. Without all it stops at the
// first kind of problem, because later checks could repeat it.
func (c queueSettings) queueProblems(all bool) []string {
	problems := c.handlerProblems()
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
	case !c.Local && c.QueueURL == "" && c.Table == "":
		bad("--queue-url and --table (SQSONCE_QUEUE_URL, SQSONCE_TABLE) are missing; to try the worker without AWS set --local")
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
	// The library takes zero for its default, so the program refuses it.
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"--lease", c.Lease}, {"--window", c.Window}, {"--visibility", c.Visibility},
		{"--target-timeout", c.TargetTimeout},
	} {
		if d.value <= 0 {
			bad("%s %s: must be positive", d.flag, d.value)
		}
	}
	if c.Skew < 0 {
		bad("--skew %s: must not be negative", c.Skew)
	}
	if c.SuspectAfter < 0 {
		bad("--suspect-after %d: must not be negative", c.SuspectAfter)
	}
	problems = append(problems, c.sizeProblems()...)
	problems = append(problems, c.powertoolsProblems()...)
	if c.MaxAttempts == 0 {
		bad("--max-attempts 0: must be at least 1")
	}
	if c.Concurrency == 0 {
		bad("--concurrency 0: must be at least 1")
	}
	if len(problems) > 0 || !all {
		return problems // the checks below would repeat them
	}
	for _, err := range c.partProblems() {
		problems = append(problems, joinedTexts(err)...)
	}
	return append(problems, c.timeProblems()...)
}

// handlerProblems requires exactly one handler: the target, or the log on demand. Without a target
// messages would be completed unhandled.
func (c queueSettings) handlerProblems() []string {
	switch {
	case c.Handler == logHandler && c.TargetURL != "":
		return []string{"--handler log: cannot be used with --target-url"}
	case c.Handler != logHandler && c.TargetURL == "" && !c.Local:
		return []string{"--target-url (SQSONCE_TARGET_URL) is missing: messages would be completed without being handled; " +
			"to log and complete each message set --handler log (SQSONCE_HANDLER=log)"}
	}
	return nil
}

// partProblems returns the errors of the guard, the pool and the parts of messageProblems about
// their settings.
func (c queueSettings) partProblems() []error {
	queueURL := cmp.Or(c.QueueURL, localQueue)
	scope, err := c.scope(queueURL)
	errs := []error{err}
	_, err = dedupe.New[dedupe.Payload](memstore.New(), c.guardConfig(scope, nil))
	errs = append(errs, err)
	_, err = consumer.New(nil, unused, c.poolConfig(backend{queueURL: queueURL, dlqURL: c.DLQURL}, nil))
	errs = append(errs, err)
	errs = append(errs, c.messageProblems(scope)...)
	return errs
}

// messageProblems checks the settings for names, envelopes, groups and the target.
func (c queueSettings) messageProblems(queueName string) []error {
	var errs []error
	if c.OnMismatch == "suppress" && c.Fingerprint != "" && c.Fingerprint != names.Off {
		errs = append(errs, fmt.Errorf("--fingerprint %q: cannot be used with --on-mismatch suppress, which compares nothing", c.Fingerprint))
	}
	_, err := names.New(c.keyConfig())
	errs = append(errs, err)
	for _, prefix := range c.PathPrefix {
		if err := mirror.CheckPrefix(prefix); err != nil {
			errs = append(errs, fmt.Errorf("--path-prefix %w", err))
		}
	}
	errs = append(errs, c.batchProblems()...)
	errs = append(errs, c.groupProblems()...)
	if len(c.PathPrefix) > 0 && c.TargetURL == "" && !c.Local {
		errs = append(errs, fmt.Errorf("--path-prefix %s: needs --target-url", strings.Join(c.PathPrefix, ",")))
	}
	if c.TargetURL != "" {
		_, err = target.New(c.targetConfig(queueName))
		errs = append(errs, err)
		if c.TargetHealth != "" {
			if err := target.CheckHealthPath(c.TargetHealth); err != nil {
				errs = append(errs, fmt.Errorf("--target-health: %w", err))
			}
		}
	} else if c.TargetHealth != "" {
		errs = append(errs, fmt.Errorf("--target-health %q: needs --target-url", c.TargetHealth))
	}
	return errs
}

// batchProblems checks --target-batch and --target-batch-wait.
func (c queueSettings) batchProblems() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if most := c.Lease / 4; c.TargetBatchWait <= 0 || c.TargetBatchWait > most {
		bad("--target-batch-wait %s: must be positive, and at most %s, a quarter of --lease %s", c.TargetBatchWait, most, c.Lease)
	}
	if c.TargetBatch == 0 {
		return errs
	}
	if c.TargetBatch < 0 || c.TargetBatch > c.Concurrency {
		bad("--target-batch %d: must be from 1 to --concurrency %d, since each message of a batch takes a slot", c.TargetBatch, c.Concurrency)
	}
	switch {
	case c.TargetURL == "":
		bad("--target-batch %d: needs --target-url", c.TargetBatch)
	case len(c.PathPrefix) > 0:
		bad("--target-batch %d: cannot be used with --path-prefix, because a message with its own request cannot be in a batch", c.TargetBatch)
	case c.Sqsd:
		bad("--target-batch %d: cannot be used with --sqsd, which posts single messages", c.TargetBatch)
	}
	return errs
}

// groupProblems checks --group-by.
func (c queueSettings) groupProblems() []error {
	if c.GroupBy == "" {
		return nil
	}
	if c.GroupConcurrency == 0 && c.GroupRate == 0 {
		return []error{fmt.Errorf("--group-by %q: needs --group-concurrency or --group-rate", c.GroupBy)}
	}
	if _, err := sqsonce.GroupBy(c.GroupBy, c.Unwrap); err != nil {
		return []error{fmt.Errorf("--group-by: %w", err)}
	}
	return nil
}

// sizeProblems checks --s3-max and --max-result.
func (c queueSettings) sizeProblems() (problems []string) {
	if c.S3Max < leastS3Max || c.S3Max > mostS3Max {
		problems = append(problems, fmt.Sprintf("--s3-max %d: must be from %d to %d bytes", c.S3Max, leastS3Max, mostS3Max))
	}
	if c.MaxResult < leastMaxResult || c.MaxResult > mostMaxResult {
		problems = append(problems, fmt.Sprintf("--max-result %d: must be from %d to %d bytes", c.MaxResult, leastMaxResult, mostMaxResult))
	}
	return problems
}

// unused is the handler of a pool that only checks its settings.
func unused(context.Context, consumer.Message) error { return nil }

// timeProblems checks durations against each other.
func (c queueSettings) timeProblems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.TargetTimeout > longestTarget {
		bad("--target-timeout %s: must not exceed %s, because a visibility timeout ends at most 12h after the receive", c.TargetTimeout, longestTarget)
	}
	// When the message of a crashed worker becomes visible again, the lease must have ended.
	room := c.Visibility - c.poolConfig(backend{}, nil).Heartbeat() - callDeadline
	if c.Lease+c.Skew > room {
		bad("--lease %s + --skew %s: must not exceed %s, which is --visibility %s less a heartbeat and a call",
			c.Lease, c.Skew, max(room, 0).Truncate(100*time.Millisecond), c.Visibility)
	}
	return problems
}

// level returns the lowest level that is logged: debug with --local, so that every message shows.
func (c processConfig) level() slog.Level {
	if c.Debug || c.Local {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// queueName returns the name of the queue. The URL is validated before.
func (c queueSettings) queueName() string {
	name, _ := awsenv.QueueName(cmp.Or(c.QueueURL, localQueue))
	return name
}

// joinedTexts returns the texts of the errors that are joined in err.
func joinedTexts(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, joinedTexts(e)...)
		}
		return all
	}
	return strings.Split(err.Error(), "\n")
}

// scope returns the prefix of names for a queue.
func (c queueSettings) scope(queueURL string) (string, error) {
	name, err := awsenv.QueueName(queueURL)
	return cmp.Or(c.Scope, name), err
}

func (c queueSettings) guardConfig(scope string, log *slog.Logger) dedupe.Config {
	skew := c.Skew
	if skew == 0 {
		skew = -1 // no margin; 0 would mean the default
	}
	return dedupe.Config{
		Scope: scope, Lease: c.Lease, Skew: skew, Window: c.Window,
		MaxAttempts: c.MaxAttempts, Hold: c.OnUnknown == "hold", MaxResult: c.MaxResult, Logger: log,
	}
}

func (c queueSettings) poolConfig(back backend, log *slog.Logger) consumer.Config {
	cfg := consumer.Config{
		QueueURL: back.queueURL, DLQURL: back.dlqURL,
		Concurrency: c.Concurrency, Visibility: c.Visibility, Rate: c.Rate, MaxWaitingBytes: c.MaxWaitingBytes,
		GroupConcurrency: c.GroupConcurrency, GroupRate: c.GroupRate,
		DrainTimeout: c.DrainTimeout, Logger: log,
	}
	if c.Local {
		cfg.PollWait = localPollWait
	}
	return cfg
}

func (c queueSettings) batchConfig() consumer.BatchConfig {
	return consumer.BatchConfig{Size: c.TargetBatch, Wait: c.TargetBatchWait, Lease: c.Lease}
}

func (c queueSettings) storeConfig(log *slog.Logger) dynamo.Config {
	cfg := dynamo.Config{Table: c.Table, TTLAttribute: c.TTL, Logger: log}
	if c.Batch == "off" {
		cfg.Batch = dynamo.BatchOff
	}
	return cfg
}

func (c queueSettings) keyConfig() names.Config {
	if c.OnMismatch == "suppress" {
		c.Fingerprint = names.Off // the name alone makes a duplicate
	}
	return names.Config{
		Key: c.Key, Fingerprint: c.Fingerprint, LongNames: c.LongNames, Unwrap: c.Unwrap, Ignore: c.Ignore, Unnamed: c.Unnamed,
	}
}

func (c queueSettings) targetConfig(queueName string) target.Config {
	return target.Config{
		URL: c.TargetURL, Timeout: c.TargetTimeout, PermanentStatuses: c.PermanentStatuses, MaxResult: c.MaxResult,
		Queue: queueName, Token: c.TargetToken, Secret: c.TargetSecret, Sqsd: c.Sqsd, Version: strings.Trim(strings.Fields(version())[0], "()"),
	}
}
