package workercmd

import (
	"cmp"
	"context"
	"errors"
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
	callDeadline = 5 * time.Second // of one call to SQS
	// What a stop takes beyond the drain at most: a grace for cancelled handlers
	// and the settling of outcomes (4 s, see [consumer.Config.StopTime]), then the
	// servers, then the last telemetry.
	stopReserve = 4*time.Second + 2*serverGrace + leastFlush
	serverGrace = 250 * time.Millisecond // for requests under way, and again for those cut short
	leastFlush  = 250 * time.Millisecond // for the last telemetry, however long the rest took
	// SQS takes a message back 12 hours after its receive, and its end has to be
	// settled before.
	longestTarget = 11 * time.Hour
	// A stop waits for the long poll that is out. In this process none can
	// lose its answer, so a short one costs nothing.
	localPollWait = time.Second
)

// Bounds of --s3-max, in bytes. A payload is held several times over while it is
// handled.
const (
	leastS3Max = 1 << 10
	mostS3Max  = 1 << 30
)

// Bounds of --max-result, in bytes. DynamoDB takes items of 400 KB, and an item holds
// the name, the error of an attempt and the owner besides.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
const (
	leastMaxResult = 4 << 10
	mostMaxResult  = 300 << 10
)

// sqsdTimeout is how long Elastic Beanstalk's daemon waits for an answer by
// default (InactivityTimeout).
// https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-general.html#command-options-general-elasticbeanstalksqsd
const sqsdTimeout = 299 * time.Second

// presets sets what --sqsd sets, unless a flag says something else than its
// default.
func (c *queueSettings) presets() {
	if c.PermanentStatuses == nil {
		c.PermanentStatuses = []int{} // set to nothing: no status blames the message
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

// readSecrets fills in the secrets that are given as files, and returns what
// is wrong with them.
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

// readSecret fills in the secret of a flag from file, if there is one, and returns
// what is wrong with it.
func readSecret(flag, file string, value *string) (problems []string) {
	if file == "" {
		return nil
	}
	if *value != "" {
		return []string{flag + " and " + flag + "-file: only one of them can be given"}
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

// problems returns everything that is wrong with c.
func (c queueSettings) problems() []string {
	problems := c.processProblems()
	if c.Local && (c.QueueURL != "" || c.Table != "") {
		problems = append(problems, "--local brings its own queue and table: leave out --queue-url and --table, or --local")
	}
	return append(problems, c.queueProblems(len(problems) == 0)...)
}

// processProblems returns what is wrong with the settings of the process.
func (c queueSettings) processProblems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.Local && c.Create {
		bad("--create has nothing to do with --local")
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
		bad("--queue-addr %q: must be a loopback address, because the SQS endpoint of --local asks nobody for a token", c.QueueAddr)
	}
	if c.DrainTimeout <= 0 {
		bad("--drain-timeout %s: must be positive", c.DrainTimeout)
	}
	if c.WaitAtStart < 0 {
		bad("--wait-at-start %s: must not be negative", c.WaitAtStart)
	}
	if c.StopTimeout > 0 && c.DrainTimeout+stopReserve >= c.StopTimeout {
		bad("--drain-timeout %s: with %s for settling it must be less than --stop-timeout %s, after which the platform kills the process",
			c.DrainTimeout, stopReserve, c.StopTimeout)
	}
	for _, host := range c.AdminHosts {
		if err := console.CheckHost(host); err != nil {
			bad("--admin-hosts %v", err)
		}
	}
	return problems
}

// queueProblems returns what is wrong with the settings of the queue. All of them is whether
// problems that may follow from others are wanted.
func (c queueSettings) queueProblems(all bool) []string {
	problems := c.handlerProblems()
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
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
	// Zero would mean the library's default; who writes it means zero.
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
		return problems // what follows would only repeat it
	}
	for _, err := range c.partProblems() {
		problems = append(problems, leaves(err)...)
	}
	return append(problems, c.timeProblems()...)
}

// handlerProblems asks whether a message that is completed was handled.
func (c queueSettings) handlerProblems() []string {
	switch {
	case c.Handler == logHandler && c.TargetURL != "":
		return []string{"--handler log: there is --target-url, too; leave out one of them"}
	case c.Handler != logHandler && c.TargetURL == "" && !c.Local:
		return []string{"--target-url (SQSONCE_TARGET_URL) is missing: every message would be completed, and nothing done; " +
			"--handler log (SQSONCE_HANDLER=log) asks for that, and logs each message"}
	}
	return nil
}

// partProblems asks the parts what they say to their share of the settings.
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

// messageProblems asks the parts that look at messages, and that hand them on.
func (c queueSettings) messageProblems(queueName string) []error {
	var errs []error
	if c.OnMismatch == "suppress" && c.Fingerprint != "" && c.Fingerprint != names.Off {
		errs = append(errs, fmt.Errorf("--fingerprint %q: --on-mismatch suppress compares nothing", c.Fingerprint))
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
		errs = append(errs, errors.New("--path-prefix: there is no --target-url"))
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
		errs = append(errs, fmt.Errorf("--target-health %q: there is no --target-url", c.TargetHealth))
	}
	return errs
}

// batchProblems looks at --target-batch.
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
		bad("--target-batch %d: there is no --target-url", c.TargetBatch)
	case len(c.PathPrefix) > 0:
		bad("--target-batch %d: there is --path-prefix, too; a message with a request of its own is in no batch", c.TargetBatch)
	case c.Sqsd:
		bad("--target-batch %d: there is --sqsd, too, which hands on single messages", c.TargetBatch)
	}
	return errs
}

// groupProblems looks at --group-by.
func (c queueSettings) groupProblems() []error {
	if c.GroupBy == "" {
		return nil
	}
	if c.GroupConcurrency == 0 && c.GroupRate == 0 {
		return []error{fmt.Errorf("--group-by %q: there is neither --group-concurrency nor --group-rate", c.GroupBy)}
	}
	if _, err := sqsonce.GroupBy(c.GroupBy, c.Unwrap); err != nil {
		return []error{fmt.Errorf("--group-by: %w", err)}
	}
	return nil
}

// sizeProblems looks at bounds in bytes.
func (c queueSettings) sizeProblems() (problems []string) {
	if c.S3Max < leastS3Max || c.S3Max > mostS3Max {
		problems = append(problems, fmt.Sprintf("--s3-max %d: must be from %d to %d bytes", c.S3Max, leastS3Max, mostS3Max))
	}
	if c.MaxResult < leastMaxResult || c.MaxResult > mostMaxResult {
		problems = append(problems, fmt.Sprintf("--max-result %d: must be from %d to %d bytes", c.MaxResult, leastMaxResult, mostMaxResult))
	}
	return problems
}

// unused is the handler of a pool that is only asked about its settings.
func unused(context.Context, consumer.Message) error { return nil }

// timeProblems looks at the times that have to agree with each other.
func (c queueSettings) timeProblems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.TargetTimeout > longestTarget {
		bad("--target-timeout %s: must not exceed %s, because SQS leaves a message with one receiver for 12h at most", c.TargetTimeout, longestTarget)
	}
	// A crashed worker's message must come back to a name that is free again.
	room := c.Visibility - c.poolConfig(backend{}, nil).Heartbeat() - callDeadline
	if c.Lease+c.Skew > room {
		bad("--lease %s + --skew %s: must not exceed %s, what --visibility %s leaves after a heartbeat",
			c.Lease, c.Skew, max(room, 0).Truncate(100*time.Millisecond), c.Visibility)
	}
	return problems
}

// level is the least level that is logged. Who tries it out wants to see what
// becomes of a message.
func (c processConfig) level() slog.Level {
	if c.Debug || c.Local {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// queueName is the name of the queue; validated before.
func (c queueSettings) queueName() string {
	name, _ := awsenv.QueueName(cmp.Or(c.QueueURL, localQueue))
	return name
}

// leaves lists the errors that are joined in err, one string each.
func leaves(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, leaves(e)...)
		}
		return all
	}
	return strings.Split(err.Error(), "\n")
}

// scope is the prefix of names for the given queue.
func (c queueSettings) scope(queueURL string) (string, error) {
	name, err := awsenv.QueueName(queueURL)
	return cmp.Or(c.Scope, name), err
}

func (c queueSettings) guardConfig(scope string, log *slog.Logger) dedupe.Config {
	skew := c.Skew
	if skew == 0 {
		skew = -1 // no margin at all, as opposed to the default
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
		c.Fingerprint = names.Off // a duplicate is known by its name alone
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
