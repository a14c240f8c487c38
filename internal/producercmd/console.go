package producercmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/console"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/internal/redrive"
)

// consoleCmd is "producer console".
type consoleCmd struct {
	Addr      string        `env:"SQSONCE_CONSOLE_ADDR" default:"127.0.0.1:9091" help:"Address to listen on. An address beyond loopback needs a token."`
	Token     string        `env:"SQSONCE_CONSOLE_TOKEN" placeholder:"TOKEN" help:"Token to log in with; beyond loopback of at least 16 characters. Prefer the environment variable or --token-file: other users of the machine can read the command line."`
	TokenFile string        `env:"SQSONCE_CONSOLE_TOKEN_FILE" type:"path" placeholder:"FILE" help:"File that holds the token."`
	Hosts     []string      `env:"SQSONCE_CONSOLE_HOSTS" placeholder:"NAME" help:"Host names, separated by commas, under which a proxy on this machine forwards requests to the console."`
	Workers   []string      `placeholder:"URL" help:"Admin addresses of workers, separated by commas, such as http://10.0.0.7:9090. The console shows their live figures."`
	Skew      time.Duration `default:"2s" help:"Largest difference between the clocks of the workers; the same as the workers'."`
	CacheAge  time.Duration `default:"60s" help:"Time for which workers may answer from their caches after a name was forgotten; the same as the workers'."`
	LogFormat string        `default:"auto" enum:"auto,json,text,pretty" help:"Log format (${enum}); auto is pretty on a terminal and JSON elsewhere."`
	queueFlags
}

// consoleTokens names the flag and the variable of the token in errors.
const consoleTokens = "--token (SQSONCE_CONSOLE_TOKEN)" //nolint:gosec // names, no token

func (s *consoleCmd) check() error {
	var bad problems
	if s.QueueURL == "" {
		bad.add("--queue-url (SQSONCE_QUEUE_URL) is missing")
	}
	if s.Table == "" {
		bad.add("--table (SQSONCE_TABLE) is missing")
	}
	if s.Token != "" {
		bad = append(bad, awsenv.CheckTokens(consoleTokens, s.Addr, []string{s.Token})...)
	}
	if s.Token == "" && s.TokenFile == "" && !awsenv.Loopback(s.Addr) {
		bad.add("--addr %q: listening beyond loopback needs --token (SQSONCE_CONSOLE_TOKEN) or --token-file", s.Addr)
	}
	for i, worker := range s.Workers {
		u, err := url.Parse(worker)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad.add("--workers %q: must be an http or https URL", worker)
		}
		s.Workers[i] = strings.TrimSuffix(worker, "/")
	}
	for _, host := range s.Hosts {
		if err := console.CheckHost(host); err != nil {
			bad.add("--hosts %v", err)
		}
	}
	if s.Skew < 0 {
		bad.add("--skew %s: must not be negative", s.Skew)
	}
	s.queueFlags.check(&bad)
	return bad.err()
}

// token returns the token of the flag or of the file.
func (s *consoleCmd) token() (string, error) {
	if s.TokenFile == "" {
		return s.Token, nil
	}
	token, err := awsenv.ReadSecret(s.TokenFile)
	if err != nil {
		return "", &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--token-file: %v", err)}}
	}
	var bad problems
	if token == "" {
		bad.add("--token-file %q: holds no token", s.TokenFile)
	}
	bad = append(bad, awsenv.CheckTokens("--token-file", s.Addr, []string{token})...)
	return token, bad.err()
}

func (s *consoleCmd) run(ctx context.Context, io stdio) error {
	token, err := s.token()
	if err != nil {
		return err
	}
	log := awsenv.Logger(raw(io.err), s.LogFormat, 0)
	cfg, err := awsenv.Load(ctx, log)
	if err != nil {
		return err
	}
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	if err := s.storing(log).CheckTable(ctx, table); err != nil && !errors.Is(err, dynamo.ErrNoTTL) {
		return err
	}
	store, err := dynamo.New(table, s.storing(log))
	if err != nil {
		return err
	}
	defer store.Close()
	shown, err := s.shown(ctx, queue, store, s.payloads(cfg))
	if err != nil {
		return err
	}
	closing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	page, err := console.New(console.Config{
		Queues: []console.QueueConfig{shown}, AdminToken: token, Hosts: s.Hosts, Workers: s.Workers, Closed: true, By: operator(),
		Version: version(), Closing: closing.Done(), Logger: log,
	})
	if err != nil {
		return err
	}
	ln, err := awsenv.Listen("--addr", s.Addr)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(io.out, "console at http://%s/ for %s and table %s\n", ln.Addr(), s.QueueURL, s.Table)
	return admin.Serve(ctx, ln, page, time.Second)
}

// shown returns the queue for the console. Without --dlq-url its dead-letter queue is the target of
// the redrive policy.
func (s *consoleCmd) shown(ctx context.Context, queue *sqs.Client, store *dynamo.Store, payloads deadletter.Payloads) (console.QueueConfig, error) {
	name, err := awsenv.QueueName(s.QueueURL)
	if err != nil {
		return console.QueueConfig{}, err
	}
	keys, err := s.keys()
	if err != nil {
		return console.QueueConfig{}, err
	}
	scope := cmp.Or(s.Scope, name)
	records, err := dedupe.NewOperator(store, dedupe.Config{Scope: scope, Skew: s.Skew, CacheAge: s.CacheAge, Now: store.Now})
	if err != nil {
		return console.QueueConfig{}, err
	}
	dlq := s.DLQURL
	if dlq == "" {
		policy, err := redrive.Read(ctx, queue, s.QueueURL)
		if err == nil {
			dlq, err = policy.TargetURL(ctx, queue)
		}
		if err != nil {
			return console.QueueConfig{}, err
		}
	}
	return console.QueueConfig{
		Name: name, Records: records, Operator: records, Lister: store, Scope: scope, Queue: queue, QueueURL: s.QueueURL, DLQURL: dlq,
		Keys: keys, Payloads: payloads, Skew: s.Skew, MayPurge: dlq != "", Table: s.Table,
		Settings: console.Settings(map[string]any{
			"queue-url": s.QueueURL, "dlq-url": dlq, "table": s.Table, "scope": scope, "key": s.Key, "unwrap": s.Unwrap, "unnamed": s.Unnamed,
			"ignore": s.Ignore, "long-names": s.LongNames, "fingerprint": s.Fingerprint, "workers": s.Workers, "skew": s.Skew, "cache-age": s.CacheAge,
		}),
	}, nil
}
