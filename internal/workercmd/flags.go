package workercmd

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/buildinfo"
)

// cli is the command line. Every flag can also be set by the environment variable SQSONCE_ + its
// name, unless its env tag says otherwise.
type cli struct {
	Run     running          `cmd:"" default:"withargs" help:"Run the worker. This is the default command. To try it without AWS: worker --local. Other commands: worker check (health of a running worker; --ready: its readiness), worker drain (stop a running worker), worker doctor (check the worker's assumptions about AWS), worker try (show how a message would be handled), worker --version. Each flag can also be set by the environment variable shown beside it."`
	Check   check            `cmd:"" help:"Ask a running worker whether it is healthy, and print the state of each queue. Exits with 0 if it is healthy. For container health checks. With --config it checks a file of queues instead, with the worker's flags and environment, and prints the queues."`
	Drain   drain            `cmd:"" help:"Make a running worker stop as on SIGTERM, and return at once. For stop hooks in images without a shell."`
	Doctor  examination      `cmd:"" help:"Check the worker's assumptions about AWS against the real queue and table, and print a table. Exits with 0 if all of them hold. It writes records of the scope sqsonce-doctor-... and removes them. It asks before it sends a message."`
	Try     trial            `cmd:"" help:"Show how the worker would handle a message: its name, scope, fingerprint and group, and the request to the target. Takes the worker's flags. Reads the message from standard input (a body, or the output of aws sqs receive-message) or from the queue (--from-queue). Sends, claims and deletes nothing. Exits with 2 if a message has no name."`
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

// running holds the settings of "worker run".
type running struct {
	Config string `placeholder:"FILE" help:"YAML file that describes several queues; replaces --queue-url. Its list queues has an entry for each queue, whose fields are the flags of a queue without the dashes. Flags and environment variables are the defaults of each queue."`

	ConfigText string `placeholder:"YAML" help:"Text of such a file, in place of --config, for containers without files. Secrets do not belong there: the text is on the command line or in the environment."`
	queueSettings
}

// check holds the settings of "worker check". Without Config it uses only the admin address of the
// worker's settings.
type check struct {
	Config string `placeholder:"FILE" env:"-" help:"Check this file of queues. No worker is contacted."`
	Ready  bool   `env:"-" help:"Ask for readiness (/readyz) instead of health. A worker that is starting or draining is not ready."`
	queueSettings

	parsed config // the content of Config
}

// drain holds the settings of "worker drain".
type drain struct {
	AdminAddr      string `default:"127.0.0.1:9090" help:"Admin address of the running worker."`
	AdminToken     string `help:"Admin token of the running worker. Not needed on the same machine."`
	AdminTokenFile string `help:"File that holds the admin token."`
}

// examination holds the settings of "worker doctor".
type examination struct {
	QueueURL string        `name:"queue-url" required:"" help:"URL of the queue."`
	DLQURL   string        `name:"dlq-url" help:"URL of the dead-letter queue. Default: the target of the queue's redrive policy."`
	Table    string        `required:"" help:"Name of the table."`
	TTL      string        `name:"ttl-attribute" env:"SQSONCE_TTL_ATTRIBUTE" default:"expires_at" placeholder:"NAME" help:"Time-to-live attribute of the table; the same as the worker's."`
	Skew     time.Duration `default:"2s" help:"Largest difference between the clocks of the workers."`
	Send     string        `default:"ask" enum:"ask,yes,no" help:"Send one message to the dead-letter queue and delete it (${enum}). To find it, other messages in that queue are received too; they become visible again after a second."`

	ScheduleRole  string `placeholder:"ARN" help:"The producer's role for delayed messages. If it is set, schedules are checked too: a few are created, due in a year, and deleted. Default: not checked."`
	ScheduleGroup string `placeholder:"NAME" help:"The producer's schedule group. Default: the account's default group."`
	ScheduleDLQ   string `name:"schedule-dlq" placeholder:"ARN" help:"The producer's queue for delayed messages that could not be sent. Default: none."`
}

// config holds the settings of a worker process and of each of its queues. The flags describe one
// queue.
type config struct {
	processConfig
	Queues []queueConfig
}

// queues returns the settings of each queue together with those of the process.
func (c config) queues() []queueSettings {
	all := make([]queueSettings, len(c.Queues))
	for i, q := range c.Queues {
		all[i] = queueSettings{processConfig: c.processConfig, queueConfig: q}
	}
	return all
}

// queueSettings holds the settings of one queue and of its process.
type queueSettings struct {
	queueConfig
	processConfig
}

// queueConfig holds the settings of one queue.
type queueConfig struct {
	// Weight is the queue's share of --slots, relative to the other queues'. 0: the queue has its own
	// slots. Only the file of --config sets it.
	Weight int `kong:"-"`

	QueueURL string `name:"queue-url" help:"URL of the SQS queue."`
	DLQURL   string `name:"dlq-url" help:"URL of the dead-letter queue. Default: the target of the queue's redrive policy."`
	Table    string `help:"DynamoDB table that holds one record per name."`
	TTL      string `name:"ttl-attribute" env:"SQSONCE_TTL_ATTRIBUTE" default:"expires_at" placeholder:"NAME" help:"Time-to-live attribute of the table, in which records keep their expiry. Set it for a table that uses another attribute, such as Powertools' expiration."`

	powertoolsConfig `embed:""`

	Scope       string        `help:"Prefix of every name in the table. Default: the queue's name."`
	Key         string        `default:"name" help:"Place of the name in a message: a JMESPath over the body, @attribute:NAME, @message-id, or @dedup-id. The message attribute sqsonce.name takes precedence."`
	Unwrap      string        `default:"none" enum:"none,sns,eventbridge,base64,auto" help:"Envelopes to open before the name is read: SNS notifications, EventBridge events, JSON in base64 (as Celery sends it), or all of these (${enum})."`
	S3Payloads  bool          `name:"s3-payloads" env:"SQSONCE_S3_PAYLOADS" help:"Fetch the payload of a message that points to S3, as the extended client libraries write it, before the name is read. Needs s3:GetObject, and s3:ListBucket to distinguish a missing object from a denied one."`
	S3Max       int64         `name:"s3-max" env:"SQSONCE_S3_MAX" default:"16777216" help:"Largest payload in bytes (--s3-payloads), from 1024 to 1073741824. All payloads in memory together take at most 64 MiB, or this value if it is larger."`
	Unnamed     string        `default:"dead-letter" enum:"dead-letter,run,ignore" help:"Treatment of a message without a name (${enum}): dead-letter it, run it under its message id, or delete and count it."`
	Ignore      string        `placeholder:"JMESPATH" help:"JMESPath over the body. A message for which it is true is no work: it is deleted and counted. Default: none."`
	LongNames   string        `default:"refuse" enum:"refuse,hash" help:"Treatment of a name of more than 1,024 bytes (${enum}): dead-letter the message, or shorten the name to its beginning and its SHA-256."`
	Fingerprint string        `help:"JMESPath over the body, whose value must be the same in all messages of one name; 'off' compares nothing. Default: the whole body, including timestamps."`
	OnMismatch  string        `default:"dead-letter" enum:"dead-letter,suppress" help:"Treatment of a message whose name was used with another payload (${enum}): dead-letter it, or suppress it as a duplicate. With suppress nothing is compared."`
	Window      time.Duration `default:"720h" help:"Time for which a name is remembered after its last write; more than 0."`
	Lease       time.Duration `default:"30s" help:"Time for which a claim holds a name unless it is renewed. --lease plus --skew must fit into --visibility less one heartbeat and 5s."`
	Skew        time.Duration `default:"2s" help:"Largest difference between the clocks of the workers; at least 0."`
	MaxAttempts int           `default:"5" help:"Attempts at a name before it is rejected; at least 1."`
	OnUnknown   string        `default:"rerun" enum:"rerun,hold" help:"Treatment of an attempt whose outcome is unknown (${enum}): run it again, or hold the name as UNKNOWN for an operator."`

	Visibility  time.Duration `default:"60s" help:"Visibility timeout set on each receive. The heartbeat extends it while the message is in the worker."`
	Concurrency int           `default:"50" help:"Messages handled at a time; at least 1."`
	Rate        float64       `default:"0" help:"Messages started per second, at most; 0: no limit."`

	GroupConcurrency int     `default:"0" help:"Messages of one group (tenant) that this process handles at a time, at most; 0: no limit. Up to 1,000 further messages wait in the worker without taking a slot."`
	GroupRate        float64 `default:"0" help:"Messages of one group that this process starts per second, at most; 0: no limit."`
	GroupBy          string  `help:"Place of the group in a message: a JMESPath over the body, or @attribute:NAME. A message without a group has no limit. Default: the message group id."`

	MaxWaitingBytes int `default:"67108864" help:"Bytes of message bodies that wait in the worker, at most: held in an outage, refused, parked, or behind other messages of their FIFO group. At least 1048576."`

	TargetURL         string        `name:"target-url" help:"HTTP target that gets each message as a POST (http, https, h2c or unix:///socket). Required unless --local or --handler log is set."`
	Handler           string        `default:"target" enum:"target,log" help:"Handler of each message (${enum}): the HTTP target, or the log. log writes each message at INFO, with the first 8 KiB of its body, and completes it."`
	PathPrefix        []string      `placeholder:"PATH" help:"Paths, separated by commas, below which a message may choose the method and path of its request to the target, as the producer's --path-prefix mirrors them. A message that asks for another path is dead-lettered. Default: none."`
	TargetTimeout     time.Duration `default:"30s" help:"Timeout of one request to the target; more than 0, at most 11h. A shutdown aborts requests that run longer than --drain-timeout."`
	TargetBatch       int           `default:"0" help:"Messages in one POST to the target, at most, as a JSON array. The answer lists failed messages as batchItemFailures, like a Lambda function's. At most --concurrency. 0: one message in each POST, without an array."`
	TargetBatchWait   time.Duration `default:"100ms" help:"Time for which the first message of a batch waits for others (--target-batch); more than 0, at most a quarter of --lease."`
	TargetHealth      string        `help:"Path at the target, such as /healthz, that must answer 2xx before messages are received. Default: none."`
	SuspectAfter      int           `default:"5" help:"Failed messages in a row, without a success between, after which the target is suspect; a 4xx answer counts as a failure, and each message counts once. Failures at a suspect target do not count against messages. 0: never suspect."`
	TargetSecret      string        `help:"Secret that signs requests to the target (Standard Webhooks). Default: unsigned."`
	TargetSecretFile  string        `help:"File that holds the target secret."`
	TargetToken       string        `help:"Bearer token sent to the target. Default: none."`
	TargetTokenFile   string        `help:"File that holds the target token."`
	Sqsd              bool          `help:"Behave like the daemon of Elastic Beanstalk's worker environments: its User-Agent and headers, the path of a periodic task, completion by 200 alone, no status that rejects a message. Sets --key @message-id and --target-timeout 299s unless they are set."`
	MaxResult         int           `default:"4096" help:"Bytes of the target's answer recorded as the result, from 4096 to 307200. Of a longer answer, size and SHA-256 are recorded."`
	Result            string        `default:"full" enum:"full,hash,none" help:"Part of the target's answer to record (${enum}): all of it up to --max-result, its size and SHA-256, or nothing."`
	PermanentStatuses []int         `default:"400,410,413,415,422" help:"Statuses of the target, from 400 to 599 and separated by commas, that reject the message."`
}

// powertoolsConfig locates the records that Powertools for AWS Lambda has written.
type powertoolsConfig struct {
	PowertoolsPrefix    string `placeholder:"TEXT" help:"Read the records of Powertools' idempotency utility before a name's first attempt: completed work is not run again, work in progress is waited for. The value is the part of its keys before '#', such as orders.app.process_order. Default: none are read."`
	PowertoolsLanguage  string `default:"" enum:",python,typescript" placeholder:"NAME" help:"Language of the Powertools that wrote the records: python or typescript. Required with --powertools-prefix."`
	PowertoolsKey       string `placeholder:"JMESPATH" help:"JMESPath of Powertools' key over the SQS record, such as messageId or powertools_json(body).order_id. Required with --powertools-prefix."`
	PowertoolsTable     string `placeholder:"NAME" help:"Table of Powertools' records. Default: --table."`
	PowertoolsHash      string `default:"md5" enum:"md5,sha1,sha256,sha384,sha512" help:"Hash function of Powertools' keys (${enum})."`
	PowertoolsSortKey   string `placeholder:"NAME" help:"Sort-key attribute of Powertools' table, if the keys are stored there. Default: none."`
	PowertoolsPartition string `placeholder:"TEXT" help:"Value of the partition key with --powertools-sort-key. Default: idempotency# and the function's name."`
}

// processConfig holds the settings of the process.
type processConfig struct {
	Local     bool     `help:"Run everything in this process: in-memory queue and table, producer API and SQS endpoint. Needs no AWS account; all data is lost when it stops."`
	Addr      string   `default:"127.0.0.1:8080" help:"Address of the producer API (--local). An address beyond loopback needs --auth-token."`
	AuthToken []string `placeholder:"TOKEN" help:"Bearer tokens of the producer API (--local), separated by commas; beyond loopback of at least 16 characters. Without a token every client may send and read, and only this machine may forget, resolve or redrive."`
	QueueAddr string   `help:"Address of the SQS endpoint (--local). It must be a loopback address, because the endpoint checks no token. Default: 127.0.0.1:4566, or a free port if that is taken."`

	Slots  int    `help:"Messages handled at a time by the queues of --config that set no concurrency. Each queue has a share by its weight and lends the slots that it does not use. 0: each queue has its own --concurrency."`
	Create bool   `help:"Create a missing queue, dead-letter queue and table. For local servers: refused unless an endpoint override (AWS_ENDPOINT_URL...) is set."`
	Batch  string `default:"on" enum:"on,off" help:"Combine reads and writes of the table into batch calls (${enum})."`

	DrainTimeout time.Duration `default:"25s" help:"Time that handlers have to finish in a shutdown; more than 0. The platform's own stop timeout must be 5s longer."`
	WaitAtStart  time.Duration `default:"10m" help:"Time to wait at the start for a queue or table that cannot be reached, at most; /readyz answers 503 meanwhile. 0: do not wait. Wrong settings end the worker at once."`
	StopTimeout  time.Duration `env:"SQSONCE_STOP_TIMEOUT,ECS_CONTAINER_STOP_TIMEOUT" help:"Time after which the platform kills a process that it has told to stop. --drain-timeout is checked against it. 0: not checked."`

	AdminAddr      string   `default:"127.0.0.1:9090" help:"Address of the admin server: /healthz, /readyz, /metrics, /config, the console, and POST /pause, /resume, /drain, /believe, /concurrency."`
	AdminToken     string   `help:"Bearer token for POST requests to the admin server; beyond loopback of at least 16 characters. Requests from this machine need none. Default: none."`
	AdminTokenFile string   `help:"File that holds the admin token."`
	MetricsAddr    string   `placeholder:"HOST:PORT" help:"Address of a second server with only /healthz, /readyz and /metrics, for probes and scrapers. It checks no token, shows no names of messages and takes no commands. Default: none; --admin-addr serves them too."`
	AdminHosts     []string `placeholder:"NAME" help:"Host names, separated by commas, under which a proxy on this machine forwards requests to the console, if it keeps the Host header. No addresses, not localhost. Requests under these names need the admin token to act."`
	Metrics        string   `default:"none" enum:"none,emf" help:"Metrics to write to the log, in addition to /metrics (${enum}). emf: once a minute in CloudWatch's embedded metric format, which CloudWatch Logs turns into metrics."`
	LogFormat      string   `default:"auto" enum:"auto,json,text,pretty" help:"Log format (${enum}); auto is pretty on a terminal and JSON elsewhere."`
	Debug          bool     `help:"Log at debug level."`
}

// helpShown is the panic value of kong's exit, after help or the version was printed. It is the
// exit code.
type helpShown int

// parse reads the command line and the environment. It returns the settings of the chosen command:
// a config, check, examination, trial or drain, or a helpShown.
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
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		args = []string{"run", "--help"} // the flags are there
	}
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, &awsenv.SettingsError{Problems: []string{err.Error()}}
	}
	if parsed.Selected() != nil {
		switch parsed.Selected().Name {
		case "check":
			return c.Check.settings(parsed.Flags())
		case "doctor":
			return c.Doctor, nil
		case "try":
			return c.Try.settings(parsed.Flags())
		case "drain":
			if problems := readSecret("--admin-token", c.Drain.AdminTokenFile, &c.Drain.AdminToken); len(problems) > 0 {
				return nil, &awsenv.SettingsError{Problems: problems}
			}
			return c.Drain, nil
		}
	}
	return c.Run.settings(parsed.Flags())
}

// newParser returns the parser of the command line.
func newParser(c *cli, stdout, stderr io.Writer) (*kong.Kong, error) {
	parser, err := kong.New(c,
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
	return parser, nil
}

// settings returns the settings of a worker, or a [*awsenv.SettingsError] with all problems.
func (r *running) settings(flags []*kong.Flag) (any, error) {
	switch {
	case r.Config != "" && r.ConfigText != "":
		return nil, &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--config %q: --config-text is set, too; leave out one of them", r.Config)}}
	case r.Config != "":
		return readConfig(r.Config, flags, &r.queueSettings)
	case r.ConfigText != "":
		return readConfigText(r.ConfigText, flags, &r.queueSettings)
	}
	r.presets()
	problems := r.readSecrets()
	problems = append(problems, r.problems()...)
	if r.Slots != 0 {
		problems = append(problems, fmt.Sprintf("--slots %d: needs --config or --config-text; for one queue set --concurrency", r.Slots))
	}
	if len(problems) > 0 {
		return nil, &awsenv.SettingsError{Problems: problems}
	}
	return config{processConfig: r.processConfig, Queues: []queueConfig{r.queueConfig}}, nil
}

// settings returns the settings of the check, with those of the file in Config.
func (c *check) settings(flags []*kong.Flag) (_ any, err error) {
	if c.Config != "" {
		c.parsed, err = readConfig(c.Config, flags, &c.queueSettings)
	}
	return *c, err
}

// version returns the version of the build.
func version() string { return buildinfo.Version() }

// exitCode returns 0, 1 (failed) or 2 (bad usage or settings, or a message without a name).
func exitCode(err error) int {
	switch {
	case errors.Is(err, errUnhealthy), errors.Is(err, errUnready):
		return 1
	case errors.Is(err, errNoName):
		return 2
	}
	return awsenv.Exit(err)
}
