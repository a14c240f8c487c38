package producercmd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/names"
)

// defaultURL is where "worker --local" and "producer serve" listen.
const defaultURL = "http://127.0.0.1:8080"

// queueFlags describe the queue and the table, with the workers' settings for names.
type queueFlags struct {
	QueueURL    string `name:"queue-url" placeholder:"URL" group:"Queue and table" help:"URL of the SQS queue."`
	DLQURL      string `name:"dlq-url" placeholder:"URL" group:"Queue and table" help:"URL of the dead-letter queue. Default: the target of the queue's redrive policy."`
	Table       string `placeholder:"NAME" group:"Queue and table" help:"DynamoDB table that holds one record per name."`
	TTL         string `name:"ttl-attribute" env:"SQSONCE_TTL_ATTRIBUTE" default:"expires_at" placeholder:"NAME" group:"Queue and table" help:"Time-to-live attribute of the table, in which records keep their expiry; the same as the workers'."`
	Scope       string `placeholder:"TEXT" group:"Queue and table" help:"Prefix of every name in the table, the same as the workers'. Default: the queue's name."`
	Key         string `default:"name" group:"Queue and table" help:"Place of the name in a message, the same as the workers': a JMESPath over the body, @attribute:NAME, @message-id, or @dedup-id. With the last three each message needs an Idempotency-Key."`
	Unwrap      string `default:"none" enum:"none,sns,eventbridge,base64,auto" group:"Queue and table" help:"Envelopes to open around messages of the dead-letter queue, the same as the workers' (${enum})."`
	S3Payloads  bool   `name:"s3-payloads" env:"SQSONCE_S3_PAYLOADS" group:"Queue and table" help:"Fetch the payloads of dead letters that point to S3, to read their names, as workers with this flag do. Needs s3:GetObject."`
	S3Max       int64  `name:"s3-max" env:"SQSONCE_S3_MAX" default:"16777216" placeholder:"BYTES" group:"Queue and table" help:"Largest payload in bytes (--s3-payloads), from 1024 to 1073741824; the same as the workers'."`
	Ignore      string `placeholder:"JMESPATH" group:"Queue and table" help:"JMESPath over the body that is true for messages that are no work, the same as the workers'. Default: none."`
	Unnamed     string `default:"dead-letter" enum:"dead-letter,run,ignore" group:"Queue and table" help:"Treatment of a message without a name, the same as the workers' (${enum})."`
	LongNames   string `default:"refuse" enum:"refuse,hash" group:"Queue and table" help:"Treatment of a name of more than 1,024 bytes, the same as the workers' (${enum})."`
	Fingerprint string `placeholder:"JMESPATH" group:"Queue and table" help:"JMESPath over the body, whose value must be the same in all messages of one name, or 'off'; the same as the workers'. Default: the whole body."`

	ScheduleRole  string `placeholder:"ARN" group:"Queue and table" help:"Role of EventBridge Scheduler, which sends messages that are delayed for more than 15m, and every delayed message of a FIFO queue. Default: none; such delays are refused."`
	ScheduleGroup string `placeholder:"NAME" group:"Queue and table" help:"Schedule group of these messages. Default: the account's default group."`
	ScheduleDLQ   string `name:"schedule-dlq" placeholder:"ARN" group:"Queue and table" help:"Queue for messages that EventBridge Scheduler could not send for a day. Default: none; they are lost."`
}

// check adds the problems of the flags.
func (f queueFlags) check(bad *problems) {
	if f.QueueURL != "" {
		if _, err := awsenv.QueueName(f.QueueURL); err != nil {
			bad.add("--queue-url: %v", err)
		}
	}
	if f.DLQURL != "" {
		if _, err := awsenv.QueueName(f.DLQURL); err != nil {
			bad.add("--dlq-url: %v", err)
		}
	}
	if f.Scope != "" {
		if err := protocol.CheckScope(f.Scope); err != nil {
			bad.add("--scope: %v", err)
		}
	}
	if f.S3Max < minS3 || f.S3Max > maxS3 {
		bad.add("--s3-max %d: must be from %d to %d bytes", f.S3Max, minS3, maxS3)
	}
	if _, err := f.keys(); err != nil {
		bad.add("--%v", err)
	}
	f.checkSchedules(bad)
}

// checkSchedules adds the problems of the flags about schedules.
func (f queueFlags) checkSchedules(bad *problems) {
	if f.ScheduleRole == "" {
		for flag, value := range map[string]string{"--schedule-group": f.ScheduleGroup, "--schedule-dlq": f.ScheduleDLQ} {
			if value != "" {
				bad.add("%s %q: needs --schedule-role", flag, value)
			}
		}
		return
	}
	if err := f.schedules().Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			bad.add("%s", strings.NewReplacer("RoleARN", "--schedule-role", "DLQARN", "--schedule-dlq", "Group", "--schedule-group").Replace(line))
		}
	}
}

func (f queueFlags) schedules() schedule.Config {
	return schedule.Config{RoleARN: f.ScheduleRole, Group: f.ScheduleGroup, DLQARN: f.ScheduleDLQ}
}

// storing returns the configuration of the store.
func (f queueFlags) storing(log *slog.Logger) dynamo.Config {
	return dynamo.Config{Table: f.Table, TTLAttribute: f.TTL, Logger: log}
}

func (f queueFlags) keys() (*names.Extractor, error) {
	return names.New(names.Config{
		Key: f.Key, Fingerprint: f.Fingerprint, LongNames: f.LongNames, Unwrap: f.Unwrap, Ignore: f.Ignore, Unnamed: f.Unnamed,
	})
}

// api returns the HTTP API for the queue and the table. instrument, unless nil, may change the
// configuration of the AWS clients.
func (f queueFlags) api(
	ctx context.Context, create bool, instrument func(*aws.Config), settings producerapi.Config,
) (*producerapi.API, error) {
	cfg, err := awsenv.Load(ctx, settings.Logger)
	if err != nil {
		return nil, err
	}
	if err := awsenv.CheckRegions(cfg, f.QueueURL, f.DLQURL); err != nil {
		return nil, err
	}
	if settings.Embedded {
		cfg.Retryer = patient
	}
	if instrument != nil {
		instrument(&cfg)
	}
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	if create {
		if f.QueueURL, f.DLQURL, err = f.create(ctx, cfg, queue, table); err != nil {
			return nil, err
		}
	}
	if err := f.storing(settings.Logger).CheckTable(ctx, table); err != nil {
		if !errors.Is(err, dynamo.ErrNoTTL) {
			return nil, err
		}
		settings.Logger.Warn("records are never removed", "error", err)
	}
	store, err := dynamo.New(table, f.storing(settings.Logger))
	if err != nil {
		return nil, err
	}
	name, err := awsenv.QueueName(f.QueueURL)
	if err != nil {
		return nil, err
	}
	settings.SQS, settings.QueueURL, settings.DLQURL = queue, f.QueueURL, f.DLQURL
	settings.Payloads = f.payloads(cfg)
	settings.Records, settings.Scope = store, cmp.Or(f.Scope, name)
	if settings.Keys, err = f.keys(); err != nil {
		return nil, err
	}
	if f.ScheduleRole != "" {
		if settings.Scheduler, err = schedule.New(scheduler.NewFromConfig(cfg), f.schedules()); err != nil {
			return nil, err
		}
		lookAtSchedules(ctx, settings)
	}
	return producerapi.New(settings)
}

// lookAtSchedules logs a warning if schedules cannot be read: access is denied, or the group does
// not exist. It does not check whether they can be created.
func lookAtSchedules(ctx context.Context, settings producerapi.Config) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := settings.Scheduler.Get(ctx, schedule.Name(settings.Scope, "sqsonce at start"))
	if !errors.Is(err, schedule.ErrNone) {
		settings.Logger.Warn("schedules cannot be read; messages can be delayed by up to 15m only", "error", err)
	}
}

// lookTimeout bounds the call of lookAtSchedules.
const lookTimeout = 5 * time.Second

// patient returns the SDK's retryer, except that it does not retry a refused connection: the user
// of a command should see that error at once.
func patient() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if errors.Is(err, syscall.ECONNREFUSED) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, o.Retryables...)
	})
}

// create creates a missing queue, dead-letter queue and table on a local server.
func (f queueFlags) create(
	ctx context.Context, cfg aws.Config, queue *sqs.Client, table *dynamodb.Client,
) (queueURL, dlqURL string, err error) {
	if !awsenv.EndpointOverridden(cfg, "SQS") || !awsenv.EndpointOverridden(cfg, "DYNAMODB") {
		return "", "", &awsenv.SettingsError{Problems: []string{
			"--create: refused without endpoint overrides; set AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_DYNAMODB, or deploy the stack",
		}}
	}
	if queueURL, dlqURL, err = awsenv.CreateQueue(ctx, queue, f.QueueURL); err != nil {
		return "", "", err
	}
	return queueURL, cmp.Or(f.DLQURL, dlqURL), f.storing(nil).CreateTable(ctx, table)
}

// backendFlags choose the API or the queue and table that a command works on.
type backendFlags struct {
	URL       string   `placeholder:"URL" help:"Producer API to call. Default: ${default_url}, if --queue-url is not set."`
	AuthToken []string `placeholder:"TOKEN" help:"Bearer token of the API. Of several the first is used. Prefer SQSONCE_AUTH_TOKEN: other users of the machine can read the command line."`
	JSON      bool     `name:"json" help:"Print JSON."`
	// CallTimeout bounds each call of the API, in addition to the time that the call waits there.
	CallTimeout time.Duration `name:"timeout" env:"-" default:"30s" help:"Timeout of one call, in addition to --wait; more than 0."`
	queueFlags
}

func (f backendFlags) check(bad *problems) {
	switch {
	case f.URL != "":
		if u, err := url.Parse(f.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad.add("--url %q: must be an http or https URL", f.URL)
		}
	case f.QueueURL != "" && f.Table == "":
		bad.add("--table (SQSONCE_TABLE) is missing: --queue-url needs it")
	}
	if f.CallTimeout <= 0 {
		bad.add("--timeout %s: must be positive", f.CallTimeout)
	}
	*bad = append(*bad, awsenv.CheckTokens(tokenSource, "", f.AuthToken)...)
	f.queueFlags.check(bad)
}

// connect returns a client of the API at --url, or of an API inside this process that works on
// --queue-url and --table. The caller closes it.
func (f backendFlags) connect(ctx context.Context) (*client, error) {
	if f.URL != "" || f.QueueURL == "" {
		base, err := url.Parse(cmp.Or(f.URL, defaultURL))
		if err != nil {
			return nil, err
		}
		token := ""
		if len(f.AuthToken) > 0 {
			token = strings.TrimSpace(f.AuthToken[0])
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 256
		return &client{base: base, http: &http.Client{Transport: transport}, token: token, timeout: f.CallTimeout, close: transport.CloseIdleConnections}, nil
	}
	token := rand.Text()
	api, err := f.api(ctx, false, nil, producerapi.Config{
		AuthTokens: []string{token}, Embedded: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	base := &url.URL{Scheme: "http", Host: inProcessHost}
	return &client{base: base, http: &http.Client{Transport: inProcess{api}}, token: token, timeout: f.CallTimeout, close: api.Close}, nil
}

// inProcessHost is the host in the URLs of the API inside this process.
const inProcessHost = "in-process"

// inProcess passes requests to a handler in this process.
type inProcess struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RemoteAddr = "127.0.0.1:0"
	w := &answer{header: http.Header{}}
	t.handler.ServeHTTP(w, in)
	if err := in.Body.Close(); err != nil {
		return nil, fmt.Errorf("close the request's body: %w", err)
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answer is an [http.ResponseWriter] in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
