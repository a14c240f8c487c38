package producercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

const token = "0123456789abcdef"

// store is the store of a rig.
type store interface {
	dedupe.Store
	dedupe.Reader
}

// rig is a queue and a store with workers, and the flags that make commands use them.
type rig struct {
	t                *testing.T
	queue            *sqs.Client
	queueURL, dlqURL string
	store            store
	backend          []string // flags
	hold             bool
	naming           names.Config

	mu   sync.Mutex
	runs map[string]int // guarded by mu; runs of the work by name
	fail func(name string) error
}

// localRig returns a rig in memory. Its commands use the HTTP API.
func localRig(t *testing.T) *rig {
	t.Helper()
	return localRigBy(t, names.Config{})
}

// localRigBy is localRig with settings for names.
func localRigBy(t *testing.T, naming names.Config) *rig {
	t.Helper()
	server := sqstest.New(sqstest.Config{})
	r := &rig{t: t, queue: sqs.NewFromConfig(server.AWSConfig()), store: memstore.New(), runs: make(map[string]int), naming: naming}
	r.create("orders")
	keys, err := names.New(naming)
	if err != nil {
		t.Fatal(err)
	}
	api, err := producerapi.New(producerapi.Config{
		SQS: r.queue, QueueURL: r.queueURL, Records: r.store, Scope: "orders", Keys: keys,
		AuthTokens: []string{token}, CacheAge: time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	web := httptest.NewServer(api)
	t.Cleanup(web.Close)
	r.backend = []string{"--url", web.URL, "--auth-token", token}
	return r
}

// TestMain runs more tests at a time than there are cores, because they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	m.Run()
}

// These scenarios run in memory too. Here they run side by side on the local servers.
func TestRealServers(t *testing.T) {
	realEnvironment(t)
	for name, scenario := range map[string]func(*testing.T, *rig){
		"settle": testSettledByAnOperator,
		"dlq":    testRedrivenOrPurged,
		"replay": testHandledOnce,
		"import": testImport,
		"ls":     testLs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, directRig(t, "producer-"+name))
		})
	}
}

// realEnvironment starts the emulators, and sets the environment of commands that use them.
func realEnvironment(t *testing.T) {
	t.Helper()
	sqsURL, dynamoURL := emulators.SQS(t), emulators.DynamoDB(t)
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL_SQS": sqsURL, "AWS_ENDPOINT_URL_DYNAMODB": dynamoURL, "AWS_REGION": emulators.Region,
		"AWS_ACCESS_KEY_ID": emulators.AccessKey, "AWS_SECRET_ACCESS_KEY": emulators.SecretKey,
	} {
		t.Setenv(key, value)
	}
}

// realRig returns a rig on the emulators. Its commands use them directly, without the HTTP API.
func realRig(t *testing.T, name string) *rig {
	t.Helper()
	realEnvironment(t)
	return directRig(t, name)
}

// directRig is realRig after a call of realEnvironment.
func directRig(t *testing.T, name string) *rig {
	t.Helper()
	r := &rig{t: t, queue: emulators.SQSClient(t), runs: make(map[string]int)}
	r.create(name)
	client := emulators.DynamoDBClient(t)
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	s, err := dynamo.New(client, dynamo.Config{Table: name, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.store = s
	r.backend = []string{"--queue-url", r.queueURL, "--table", name, "--scope", "orders"}
	return r
}

func (r *rig) create(name string) {
	r.t.Helper()
	var err error
	if r.queueURL, r.dlqURL, err = awsenv.CreateQueue(r.t.Context(), r.queue, name); err != nil {
		r.t.Fatal(err)
	}
}

func keys(t *testing.T) *names.Extractor {
	t.Helper()
	k, err := names.New(names.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// work starts n workers, which stop with the test.
func (r *rig) work(n int) {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range n {
		quiet := slog.New(slog.DiscardHandler)
		worker, err := sqsonce.New(aws.Config{}, sqsonce.Config{
			QueueURL: r.queueURL, Queue: r.queue, Store: r.store, Names: r.naming,
			Guard: dedupe.Config{Scope: "orders", Hold: r.hold, Logger: quiet},
			Pool:  consumer.Config{DLQURL: r.dlqURL, PollWait: time.Second, Logger: quiet},
		}, r.handle)
		if err != nil {
			r.t.Fatal(err)
		}
		all.Go(func() {
			if err := worker.Run(ctx); err != nil {
				r.t.Errorf("worker: %v", err)
			}
		})
	}
	r.t.Cleanup(func() {
		stop()
		all.Wait()
		r.queue = nil
	})
}

func (r *rig) handle(ctx context.Context, _ consumer.Message) (string, error) {
	attempt, _ := dedupe.AttemptFrom(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(attempt.Name); err != nil {
			return "", err
		}
	}
	r.runs[attempt.Name]++
	return "done", nil
}

// permanent is an error that rejects a name.
type permanent struct{ error }

func (permanent) Permanent() bool { return true }

var errBad = permanent{errors.New("no such customer")}

// result is the output and exit code of a command.
type result struct {
	t        *testing.T
	code     int
	out, err string
}

// producer runs the program.
func producer(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, stdio{strings.NewReader(stdin), &out, &errs}, make(chan os.Signal))
	return result{t, code, out.String(), errs.String()}
}

// do runs a command on the rig.
func (r *rig) do(args ...string) result {
	r.t.Helper()
	return producer(r.t, "", append(args, r.backend...)...)
}

// want fails the test unless the exit code is code.
func (r result) want(code int) result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	return r
}

// says fails the test unless the texts were printed.
func (r result) says(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			r.t.Errorf("%q is not in\n%s%s", text, r.out, r.err)
		}
	}
}

// decode decodes the output as JSON.
func decode[T any](r result) T {
	r.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		r.t.Fatalf("%v in %q (%s)", err, r.out, r.err)
	}
	return v
}
