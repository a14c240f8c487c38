package front

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/sqstest"
)

const (
	roleKey  = "SQSONCE_FRONT_ROLE" // role of this program, if it is not the benchmark
	queueKey = "SQSONCE_FRONT_QUEUE"
	name     = "front-orders"
)

func TestMain(m *testing.M) {
	roles := map[string]func(context.Context) error{"queue": queue, "bare": bare}
	role, ok := roles[os.Getenv(roleKey)]
	if !ok {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := role(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// listen serves a handler on a free port until ctx ends, and prints the address.
func listen(ctx context.Context, handler func(url string) http.Handler) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + ln.Addr().String()
	h := handler(url)
	_, _ = fmt.Fprintln(os.Stdout, "listening at "+url)
	return admin.Serve(ctx, ln, h, time.Second)
}

// queue is the SQS server of both handlers.
func queue(ctx context.Context) error {
	return listen(ctx, func(url string) http.Handler { return sqstest.New(sqstest.Config{BaseURL: url}) })
}

// bare is the usual hand-written handler.
func bare(ctx context.Context) error {
	cfg, err := awsenv.Load(ctx, slog.Default())
	if err != nil {
		return err
	}
	client, url := sqs.NewFromConfig(cfg), os.Getenv(queueKey)
	return listen(ctx, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			var order struct{ Name string }
			if err != nil || json.Unmarshal(body, &order) != nil || order.Name == "" {
				http.Error(w, "bad order", http.StatusBadRequest)
				return
			}
			if _, err := client.SendMessage(r.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(string(body))}); err != nil {
				http.Error(w, "try again", http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusAccepted)
		})
	})
}

// process is a program that prints its address.
type process struct {
	cmd *exec.Cmd
	url string
}

func start(b *testing.B, env []string, program string, args ...string) *process {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(b.TempDir(), "log")) // a line for each request
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, rest, ok := strings.Cut(lines.Text(), " at "); ok {
			url, _, _ := strings.Cut(rest, " ")
			return &process{cmd, strings.TrimSuffix(url, "/")}
		}
	}
	text, _ := os.ReadFile(log.Name())
	b.Fatalf("%s does not say where it listens: %s", program, text)
	return nil
}

// stop ends the process.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // the exit code is irrelevant
}

// cpu returns the CPU time of the process, in hundredths of a second.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func (p *process) cpu(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	var sum int64
	for _, field := range strings.Fields(rest)[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += n
	}
	return sum
}

func BenchmarkFront(b *testing.B) {
	producer := build(b)
	table := emulators.DynamoDB(b) // called only at the start
	for _, clients := range []int{1, 16, 100, 1000} {
		for _, subject := range []string{"serve", "bare"} {
			b.Run(fmt.Sprintf("%s/%d", subject, clients), func(b *testing.B) { run(b, producer, table, subject, clients) })
		}
	}
}

// build builds the producer, and returns its path.
func build(tb testing.TB) string {
	tb.Helper()
	producer := filepath.Join(tb.TempDir(), "producer")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", producer, "./cmd/producer")
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v: %s", err, out)
	}
	return producer
}

// run puts load on a subject, "serve" or "bare".
func run(b *testing.B, producer, table, subject string, clients int) {
	b.Helper()
	server := start(b, []string{roleKey + "=queue"}, os.Args[0])
	defer server.stop()
	queueURL := server.url + "/000000000000/" + name
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + server.url, "AWS_ENDPOINT_URL_DYNAMODB=" + table, "AWS_REGION=" + emulators.Region,
		"AWS_ACCESS_KEY_ID=" + emulators.AccessKey, "AWS_SECRET_ACCESS_KEY=" + emulators.SecretKey, queueKey + "=" + queueURL, roleKey + "=bare",
	}
	var p *process
	if subject == "serve" {
		p = start(b, env, producer, "serve", "--create", "--addr", "127.0.0.1:0", "--queue-url", queueURL, "--table", name, "--log-format", "json")
	} else {
		creating := sqs.NewFromConfig(emulators.Config(server.url))
		if _, _, err := awsenv.CreateQueue(b.Context(), creating, queueURL); err != nil {
			b.Fatal(err)
		}
		p = start(b, env, os.Args[0])
	}
	defer p.stop()
	before := p.cpu(b)
	load(b, p.url, clients)
	b.ReportMetric(float64(p.cpu(b)-before)*10_000/float64(b.N), "cpu-µs/op")
}

// load posts b.N messages with several clients. Each posts one message after the other.
func load(b *testing.B, url string, clients int) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	note := strings.Repeat("x", 100)
	var sent atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var group sync.WaitGroup
	b.ResetTimer()
	for range clients {
		group.Go(func() {
			var mine []time.Duration
			for i := sent.Add(1); i <= int64(b.N); i = sent.Add(1) {
				began := time.Now()
				if status, err := post(b.Context(), client, url, fmt.Sprintf(`{"name":"order-%d","note":%q}`, i, note)); status != http.StatusAccepted {
					b.Errorf("answered %d: %v", status, err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	group.Wait()
	b.StopTimer()
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	ms := func(part float64) float64 { return took[int(part*float64(len(took)-1))].Seconds() * 1000 }
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "req/s")
}

func post(ctx context.Context, client *http.Client, url, body string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection can be reused
	_ = resp.Body.Close()
	return resp.StatusCode, err
}
