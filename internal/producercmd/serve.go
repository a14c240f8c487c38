package producercmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/mirror"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/internal/telemetry"
)

// serveCmd is "producer serve".
type serveCmd struct {
	Addr          string        `default:"127.0.0.1:8080" help:"Address to listen on."`
	AuthToken     []string      `placeholder:"TOKEN" help:"Bearer tokens to accept, separated by commas, so that they can be rotated; beyond loopback of at least 16 characters. Required unless --addr is a loopback address or --insecure is set. Prefer SQSONCE_AUTH_TOKEN or --auth-token-file: other users of the machine can read the command line."`
	AuthTokenFile string        `type:"path" placeholder:"FILE" help:"File with further bearer tokens, one per line."`
	Insecure      bool          `help:"Listen beyond loopback without a token, and answer under any host name."`
	ClientRate    float64       `default:"0" help:"Requests per second that one client (token, or address) may make, with bursts of twice that. Each message of a batch counts as one. 0: no limit."`
	PathPrefix    []string      `placeholder:"PATH" help:"Paths to mirror, separated by commas. A POST, PUT, PATCH or DELETE to one of them, or to a path below, becomes a message, and a worker with the same --path-prefix sends that request to its target. The name is the Idempotency-Key, or is in the body. Default: none."`
	PathHeaders   []string      `placeholder:"NAME" help:"Headers to send along with a mirrored request, separated by commas. Default: Accept, Accept-Language, Content-Language, Content-Type, If-Match, If-None-Match, If-Unmodified-Since."`
	StopTimeout   time.Duration `default:"20s" help:"Time that requests have to finish in a shutdown; at least 0."`
	Create        bool          `help:"Create a missing queue, dead-letter queue and table. For local servers: refused unless an endpoint override (AWS_ENDPOINT_URL...) is set."`
	MetricsAddr   string        `placeholder:"HOST:PORT" help:"Address of a second server with only /healthz, /readyz and /metrics, for probes and scrapers. It checks no token and shows no names of messages. Default: none; --addr serves them too, and its /metrics needs the token."`
	LogLevel      string        `default:"info" enum:"debug,info,warn,error" help:"Lowest level that is logged (${enum}). Requests are logged at info, failed ones at warn, probes at debug."`
	AccessLogRate float64       `default:"100" help:"Requests logged per second, at most, of each kind: done, refused (4xx) and failed (5xx). The next line reports how many were left out. 0: no limit."`
	LogFormat     string        `default:"auto" enum:"auto,json,text,pretty" help:"Log format (${enum}); auto is pretty on a terminal and JSON elsewhere."`
	queueFlags
}

func (s *serveCmd) check() error {
	var bad problems
	switch {
	case s.QueueURL == "" && s.Table == "":
		bad.add("--queue-url and --table (SQSONCE_QUEUE_URL, SQSONCE_TABLE) are missing; to try the API without AWS run worker --local")
	case s.QueueURL == "":
		bad.add("--queue-url (SQSONCE_QUEUE_URL) is missing")
	case s.Table == "":
		bad.add("--table (SQSONCE_TABLE) is missing")
	}
	bad = append(bad, awsenv.CheckTokens(tokenSource, s.Addr, s.AuthToken)...)
	if s.AuthTokenFile == "" {
		s.checkOpen(&bad, s.AuthToken)
	}
	if s.ClientRate < 0 {
		bad.add("--client-rate %g: must not be negative", s.ClientRate)
	}
	for _, prefix := range s.PathPrefix {
		if err := mirror.CheckPrefix(prefix); err != nil {
			bad.add("--path-prefix %v", err)
		}
	}
	for _, name := range s.PathHeaders {
		if err := mirror.CheckHeader(name); err != nil {
			bad.add("--path-headers %v", err)
		}
	}
	if len(s.PathHeaders) > 0 && len(s.PathPrefix) == 0 {
		bad.add("--path-headers %s: needs --path-prefix", strings.Join(s.PathHeaders, ","))
	}
	if s.AccessLogRate < 0 {
		bad.add("--access-log-rate %g: must not be negative", s.AccessLogRate)
	}
	if s.StopTimeout < 0 {
		bad.add("--stop-timeout %s: must not be negative", s.StopTimeout)
	}
	s.queueFlags.check(&bad)
	return bad.err()
}

// checkOpen adds a problem if the API listens beyond loopback without a token.
func (s *serveCmd) checkOpen(bad *problems, tokens []string) {
	if !s.Insecure && len(tokens) == 0 && !awsenv.Loopback(s.Addr) {
		bad.add("--addr %q: listening beyond loopback needs --auth-token (SQSONCE_AUTH_TOKEN) or --auth-token-file; --insecure allows it without a token", s.Addr)
	}
}

// tokenSource names the flag and the variable of the tokens in errors.
const tokenSource = "--auth-token (SQSONCE_AUTH_TOKEN)" //nolint:gosec // names, no token

func (s *serveCmd) run(ctx context.Context, io stdio) (err error) {
	awsenv.CollectLess()
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return err
	}
	lines := awsenv.NewLogPipe(raw(io.err))
	defer context.AfterFunc(ctx, lines.Stop)()
	log := awsenv.Logger(lines, s.LogFormat, level)
	tokens, err := s.tokens()
	if err != nil {
		return err
	}
	tele, err := telemetry.New(ctx, telemetry.Config{Service: "sqsonce-producer", Version: version(), Logger: log})
	if err != nil {
		return err
	}
	defer func() { s.sendRest(ctx, tele, log) }()
	ln, err := awsenv.Listen("--addr", s.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	queue := tele.Queue(s.queueName())
	api, err := s.api(ctx, s.Create, queue.InstrumentAWS, producerapi.Config{
		AuthTokens: tokens, AnyHost: s.Insecure, ClientRate: s.ClientRate, Logger: log, LogRate: s.AccessLogRate,
		PathPrefixes: s.PathPrefix, PathHeaders: s.PathHeaders, Metrics: tele.Handler(), Watch: tele.Request, Sent: queue.Sent,
	})
	if err != nil {
		return err
	}
	defer api.Close() // waits for the calls to SQS
	if err := s.look(ctx, api, log); err != nil {
		return err
	}
	err = s.serve(ctx, ln, api, tele.Handler(), io)
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// serve answers requests until ctx ends. Requests under way then have --stop-timeout to finish and
// are aborted after that. The server of --metrics-addr runs until then.
func (s *serveCmd) serve(ctx context.Context, ln net.Listener, api http.Handler, metrics http.Handler, io stdio) error {
	outer, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, inner := errgroup.WithContext(ctx)
	if s.MetricsAddr != "" {
		probes, err := awsenv.Listen("--metrics-addr", s.MetricsAddr)
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("/", admin.NewProbes(admin.Config{Metrics: metrics}))
		mux.Handle("/healthz", api)
		mux.Handle("/readyz", api)
		_, _ = fmt.Fprintf(io.out, "metrics at http://%s/metrics (and /healthz, /readyz)\n", probes.Addr())
		group.Go(func() error { return admin.Serve(outer, probes, mux, probeGrace) })
	}
	_, _ = fmt.Fprintf(io.out, "producer at http://%s/ for %s\n", ln.Addr(), s.QueueURL)
	group.Go(func() error {
		defer end()
		return admin.Serve(inner, ln, api, s.StopTimeout)
	})
	return group.Wait()
}

const (
	probeGrace = 250 * time.Millisecond
	flushTime  = 2 * time.Second // for the last telemetry
)

// sendRest flushes the telemetry.
func (s *serveCmd) sendRest(ctx context.Context, tele *telemetry.Telemetry, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := tele.Shutdown(ctx); err != nil {
		log.Warn("the last telemetry could not be sent", "error", err)
	}
}

// queueName returns the name of the queue; check has validated the URL.
func (s *serveCmd) queueName() string {
	name, _ := awsenv.QueueName(s.QueueURL)
	return name
}

// look fails if the queue does not exist. It only logs other errors: they may be temporary, or
// about permissions that the API does not need.
func (s *serveCmd) look(ctx context.Context, api *producerapi.API, log *slog.Logger) error {
	err := api.CheckQueue(ctx)
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		return &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--queue-url %s: the queue does not exist (--create creates it on a local server)", s.QueueURL)}}
	}
	if err != nil {
		log.Warn("the queue's attributes could not be read", "queue", s.QueueURL, "error", err)
	}
	return nil
}

// tokens returns the tokens of the flag and of the file. It fails if there is none and one is
// required.
func (s *serveCmd) tokens() ([]string, error) {
	var tokens []string
	for _, t := range s.AuthToken {
		tokens = append(tokens, strings.TrimSpace(t))
	}
	bad := problems(awsenv.CheckTokens(tokenSource, s.Addr, tokens))
	if s.AuthTokenFile != "" {
		text, err := awsenv.ReadSecret(s.AuthTokenFile)
		if err != nil {
			return nil, &awsenv.SettingsError{Problems: []string{fmt.Sprintf("--auth-token-file: %v", err)}}
		}
		found := len(tokens)
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				tokens = append(tokens, line)
			}
		}
		if len(tokens) == found {
			bad.add("--auth-token-file %q: holds no token", s.AuthTokenFile)
		}
		bad = append(bad, awsenv.CheckTokens(fmt.Sprintf("--auth-token-file %q", s.AuthTokenFile), s.Addr, tokens[found:])...)
	}
	s.checkOpen(&bad, tokens)
	return tokens, bad.err()
}
