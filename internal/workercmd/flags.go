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

// cli is the command line. Every flag can also be set by the environment
// variable SQSONCE_ + its name.
type cli struct {
	Run     running          `cmd:"" default:"withargs" help:"Run the worker (the default command). To try it: worker --local. Others: worker check asks a running worker whether it is healthy (--ready: whether it works on its queues), worker drain tells it to stop, worker doctor checks what is assumed of AWS, worker try shows what becomes of a message, worker --version prints the version. Every flag can be set by the environment variable shown with it."`
	Check   check            `cmd:"" help:"Ask a running worker whether it is healthy, and print the state of each queue: exit 0 when it is. For container health checks. With --config: check a file of queues instead, with the worker's flags and environment, and print its queues."`
	Drain   drain            `cmd:"" help:"Tell a running worker to stop as SIGTERM does, and exit at once. For stop hooks in images without a shell."`
	Doctor  examination      `cmd:"" help:"Check, against the real queue and table, what the worker assumes of AWS, and print it as a table: exit 0 when all of it holds. It writes records of the scope sqsonce-doctor-... and removes them, and asks before it sends a message."`
	Try     trial            `cmd:"" help:"Show what the worker would do with a message: its name, scope, fingerprint and group, and the request that the target would get. Takes the worker's flags. The message comes from standard input: a body, or what aws sqs receive-message prints; or from the queue (--from-queue). Nothing is sent, claimed or deleted. Exit 2 when a message has no name."`
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

// running is the settings of "worker run".
type running struct {
	Config string `placeholder:"FILE" help:"YAML file that describes several queues, in place of --queue-url: a list queues, whose fields are the flags about a queue, without the dashes. Flags and environment are the defaults of each queue."`
	queueSettings
}

// check is the settings of "worker check": of the settings of a worker only the admin address
// is used, and with Config all of them.
type check struct {
	Config string `placeholder:"FILE" env:"-" help:"Check this file of queues, and ask no worker."`
	Ready  bool   `env:"-" help:"Ask whether it works on its queues (/readyz), which a worker that starts or drains does not."`
	queueSettings

	parsed config // of Config
}

// drain is the settings of "worker drain".
type drain struct {
	AdminAddr      string `default:"127.0.0.1:9090" help:"Admin address of the running worker."`
	AdminToken     string `help:"Admin token of the running worker; not needed on the same machine."`
	AdminTokenFile string `help:"File that holds the admin token."`
}

// examination is the settings of "worker doctor".
type examination struct {
	QueueURL string        `name:"queue-url" required:"" help:"URL of the queue."`
	DLQURL   string        `name:"dlq-url" help:"URL of the dead-letter queue. Default: the one of the queue's redrive policy."`
	Table    string        `required:"" help:"Name of the table."`
	TTL      string        `name:"ttl-attribute" env:"SQSONCE_TTL_ATTRIBUTE" default:"expires_at" placeholder:"NAME" help:"Attribute of the table's time to live; the worker's own."`
	Skew     time.Duration `default:"2s" help:"By how much the clocks of the workers may differ."`
	Send     string        `default:"ask" enum:"ask,yes,no" help:"Whether one message may be sent to the dead-letter queue, and removed (${enum}). To find it, others in that queue are received, and visible again after a second."`
}

// config is the settings of a worker process: those of the process and those of
// each of its queues. The flags describe one queue.
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

// queueSettings are the settings of one queue and of the process that works on
// it.
type queueSettings struct {
	queueConfig
	processConfig
}

// queueConfig is what is set for each queue.
type queueConfig struct {
	// Weight is the queue's share of --slots; 0: its slots are its own. Only a file sets it.
	Weight int `kong:"-"`

	QueueURL string `name:"queue-url" help:"URL of the queue to work on."`
	DLQURL   string `name:"dlq-url" help:"URL of the dead-letter queue. Default: the one of the queue's redrive policy."`
	Table    string `help:"DynamoDB table that holds one record per name."`
	TTL      string `name:"ttl-attribute" env:"SQSONCE_TTL_ATTRIBUTE" default:"expires_at" placeholder:"NAME" help:"Attribute of the table's time to live, in which records keep their expiry. For a table whose time to live is on another attribute, such as Powertools' expiration."`

	powertoolsConfig `embed:""`

	Scope       string        `help:"Prefix of every name in the table. Default: the queue's name."`
	Key         string        `default:"name" help:"Where the name is: a JMESPath over the body, @attribute:NAME, @message-id, or @dedup-id. The message attribute sqsonce.name wins."`
	Unwrap      string        `default:"none" enum:"none,sns,eventbridge,base64,auto" help:"Envelopes to open before the key is looked for: SNS notifications, EventBridge events, JSON in base64 (as Celery sends it), or all of these (${enum})."`
	S3Payloads  bool          `name:"s3-payloads" env:"SQSONCE_S3_PAYLOADS" help:"Fetch the payload of a message that is a pointer to S3, as the extended client libraries write it, before the key is looked for. Needs s3:GetObject, and s3:ListBucket to tell a missing object from a denied one."`
	S3Max       int64         `name:"s3-max" env:"SQSONCE_S3_MAX" default:"16777216" help:"Bytes of a payload at most (--s3-payloads), from 1024 to 1073741824. All payloads at work have 64 MiB together, or this if it is more."`
	Unnamed     string        `default:"dead-letter" enum:"dead-letter,run,ignore" help:"What becomes of a message without a name: dead-lettered, run under its message id, or deleted and counted (${enum})."`
	Ignore      string        `placeholder:"JMESPATH" help:"Messages that are no work: a JMESPath over the body that is true for them. They are deleted and counted."`
	LongNames   string        `default:"refuse" enum:"refuse,hash" help:"What becomes of a name of more than 1,024 bytes: the message is dead-lettered, or the name's beginning and its SHA-256 are the name (${enum})."`
	Fingerprint string        `help:"What of the body tells two messages of one name apart: a JMESPath, or 'off'. Default: the whole body, time stamps in it included."`
	OnMismatch  string        `default:"dead-letter" enum:"dead-letter,suppress" help:"What becomes of a message whose name was used with another payload: dead-lettered, or taken for a duplicate, and nothing is compared (${enum})."`
	Window      time.Duration `default:"720h" help:"How long a name is remembered after its last write."`
	Lease       time.Duration `default:"30s" help:"How long a claim holds a name unless renewed."`
	Skew        time.Duration `default:"2s" help:"By how much the clocks of the workers may differ."`
	MaxAttempts int           `default:"5" help:"Attempts on a name before it is rejected."`
	OnUnknown   string        `default:"rerun" enum:"rerun,hold" help:"What to do with an attempt of unknown outcome: run it again, or hold it as UNKNOWN for an operator (${enum})."`

	Visibility  time.Duration `default:"60s" help:"Visibility timeout set on each receive and kept up by the heartbeat."`
	Concurrency int           `default:"50" help:"Messages handled at a time."`
	Rate        float64       `default:"0" help:"Messages started a second at most; 0 means no limit."`

	GroupConcurrency int     `default:"0" help:"Messages of one group (tenant) handled at a time by this process; 0 means no limit. Others wait in the worker without taking a slot, at most 1,000."`
	GroupRate        float64 `default:"0" help:"Messages of one group started a second at most by this process; 0 means no limit."`
	GroupBy          string  `help:"Where the group of a message is: a JMESPath over the body, or @attribute:NAME. A message without one has no limit. Default: the message group id."`

	MaxWaitingBytes int `default:"67108864" help:"Bytes of message bodies that may wait in the worker without being handled: held in an outage, refused, parked, or behind others of their FIFO group. At least 1048576."`

	TargetURL         string        `name:"target-url" help:"HTTP target to POST each message to (http, https, h2c or unix:///socket). Needed, unless --local or --handler log."`
	Handler           string        `default:"target" enum:"target,log" help:"What handles a message: the target, or the log: each message is logged at INFO with the beginning of its body, and completed (${enum})."`
	PathPrefix        []string      `placeholder:"PATH" help:"Paths below which a message may choose method and path of the request at the target, separated by commas, as the producer's --path-prefix mirrors them. A message that asks for another path is dead-lettered. Default: none."`
	TargetTimeout     time.Duration `default:"30s" help:"How long the target may take for one message, at most 11h. What takes longer than --drain-timeout is cut short by a stop."`
	TargetBatch       int           `default:"0" help:"Messages that one POST may bring to the target at most, as a JSON array; the answer names those that failed as batchItemFailures, as a Lambda function does. At most --concurrency. Default: one message in each POST."`
	TargetBatchWait   time.Duration `default:"100ms" help:"How long the first message of a batch waits for others (--target-batch); at most a quarter of --lease."`
	TargetHealth      string        `help:"Path at the target that has to answer 2xx before anything is received, such as /healthz. Default: none."`
	SuspectAfter      int           `default:"5" help:"How many different messages in a row the target may fail, or blame by a 4xx, with no success between, before nothing is counted against messages; 0: every answer is believed."`
	TargetSecret      string        `help:"Secret with which requests to the target are signed (Standard Webhooks)."`
	TargetSecretFile  string        `help:"File that holds the target secret."`
	TargetToken       string        `help:"Bearer token sent to the target."`
	TargetTokenFile   string        `help:"File that holds the target token."`
	Sqsd              bool          `help:"Behave as the daemon of Elastic Beanstalk's worker environments: its User-Agent and headers, the path of a periodic task, only 200 means done and no answer blames the message; --key @message-id and --target-timeout 299s unless set."`
	MaxResult         int           `default:"4096" help:"Bytes of the target's answer that are recorded as the result, from 4096 to 307200; of a longer one size and SHA-256 are."`
	Result            string        `default:"full" enum:"full,hash,none" help:"What is recorded of the target's answer: all of it, up to --max-result; its size and SHA-256; or nothing (${enum})."`
	PermanentStatuses []int         `default:"400,410,413,415,422" help:"Answers of the target that mean: this message is bad."`
}

// powertoolsConfig says where Powertools for AWS Lambda keeps the records of earlier work.
type powertoolsConfig struct {
	PowertoolsPrefix    string `placeholder:"TEXT" help:"Read the records of Powertools' idempotency utility before a name's first attempt: work that it has completed is answered, not run, and work in progress there is waited for. The beginning of its keys, up to '#', such as orders.app.process_order."`
	PowertoolsLanguage  string `default:"" enum:",python,typescript" placeholder:"NAME" help:"Language of the Powertools that wrote the records: python or typescript."`
	PowertoolsKey       string `placeholder:"JMESPATH" help:"JMESPath of Powertools' key over the SQS record, such as messageId or powertools_json(body).order_id."`
	PowertoolsTable     string `placeholder:"NAME" help:"Table of Powertools' records. Default: --table."`
	PowertoolsHash      string `default:"md5" enum:"md5,sha1,sha256,sha384,sha512" help:"Hash function of Powertools' keys (${enum})."`
	PowertoolsSortKey   string `placeholder:"NAME" help:"Sort key of Powertools' table, which then has the key. Default: none."`
	PowertoolsPartition string `placeholder:"TEXT" help:"Value of the partition key with --powertools-sort-key. Default: idempotency# and the function's name."`
}

// processConfig is what is set once for the process.
type processConfig struct {
	Local     bool     `help:"Run everything in this process: in-memory queue and store, producer API, SQS endpoint. Nothing to install, nothing kept."`
	Addr      string   `default:"127.0.0.1:8080" help:"Address of the producer API (--local). Beyond loopback it needs --auth-token."`
	AuthToken []string `placeholder:"TOKEN" help:"Bearer tokens of the producer API (--local), separated by commas; beyond loopback of at least 16 characters. Without one everybody may send and read, and only this machine may forget, resolve or redrive over it."`
	QueueAddr string   `help:"Address of the SQS endpoint (--local): a loopback address, as it lets everybody in. Default: 127.0.0.1:4566, or a free port when that is taken."`

	Slots  int    `help:"Messages handled at a time by the queues of --config that set no concurrency. Each has a share of them by its weight, and lends what it does not use. Default: each queue has its own --concurrency."`
	Create bool   `help:"Create a missing queue, dead-letter queue and table. For local servers: refused unless an endpoint override (AWS_ENDPOINT_URL...) is set."`
	Batch  string `default:"on" enum:"on,off" help:"Whether reads and writes of the table may share a call (${enum})."`

	DrainTimeout time.Duration `default:"25s" help:"How long handlers may finish after a stop; leave 5s to the platform's own stop timeout."`
	WaitAtStart  time.Duration `default:"10m" help:"How long a worker whose queue or table cannot be reached waits at the start, /readyz at 503; 0 means not at all. Wrong settings end it at once."`
	StopTimeout  time.Duration `env:"SQSONCE_STOP_TIMEOUT,ECS_CONTAINER_STOP_TIMEOUT" help:"After which time the platform kills a process it has told to stop; --drain-timeout is checked against it. Default: not checked."`

	AdminAddr      string   `default:"127.0.0.1:9090" help:"Address of the admin server: /healthz, /readyz, /metrics, /config; POST /pause, /resume, /drain, /believe, /concurrency."`
	AdminToken     string   `help:"Bearer token that POSTs to the admin server need, except from this machine; beyond loopback of at least 16 characters."`
	AdminTokenFile string   `help:"File that holds the admin token."`
	MetricsAddr    string   `placeholder:"HOST:PORT" help:"Address of a second server with /healthz, /readyz and /metrics alone, for probes and scrapers: no token, no names of messages, no verbs. Default: none; --admin-addr has them too."`
	AdminHosts     []string `placeholder:"NAME" help:"Names under which a proxy on this machine may call the console, separated by commas; for one that keeps the Host header. No addresses, not localhost. Who comes by one needs the admin token to act."`
	Metrics        string   `default:"none" enum:"none,emf" help:"Metrics in the log, beside those at /metrics (${enum}). emf: once a minute in CloudWatch's embedded metric format, of which CloudWatch Logs makes metrics."`
	LogFormat      string   `default:"auto" enum:"auto,json,text,pretty" help:"Log format (${enum}); auto is pretty on a terminal and JSON elsewhere."`
	Debug          bool     `help:"Log at debug level."`
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
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		args = []string{"run", "--help"} // what one looks for is there
	}
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

// settings returns the settings of a worker, or all that is wrong with them.
func (r *running) settings(flags []*kong.Flag) (any, error) {
	if r.Config != "" {
		return readConfig(r.Config, flags, &r.queueSettings)
	}
	r.presets()
	problems := r.readSecrets()
	problems = append(problems, r.problems()...)
	if r.Slots != 0 {
		problems = append(problems, fmt.Sprintf("--slots %d: is for the queues of --config; one queue has --concurrency", r.Slots))
	}
	if len(problems) > 0 {
		return nil, &awsenv.SettingsError{Problems: problems}
	}
	return config{processConfig: r.processConfig, Queues: []queueConfig{r.queueConfig}}, nil
}

// settings reads the file, if there is one.
func (c *check) settings(flags []*kong.Flag) (_ any, err error) {
	if c.Config != "" {
		c.parsed, err = readConfig(c.Config, flags, &c.queueSettings)
	}
	return *c, err
}

// version is what the build says it is.
func version() string { return buildinfo.Version() }

// exitCode is 0, 1 (failed) or 2 (bad usage or settings, or a message without a name).
func exitCode(err error) int {
	switch {
	case errors.Is(err, errUnhealthy), errors.Is(err, errUnready):
		return 1
	case errors.Is(err, errNoName):
		return 2
	}
	return awsenv.Exit(err)
}
