package workercmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/ecs"
	"github.com/sqsonce/sqsonce/internal/telemetry"
	"github.com/sqsonce/sqsonce/sqstest"
)

// inBubble is a worker whose queue, store and target are in this process, so that it runs in
// virtual time: a time.Sleep in its tests and fakes takes no real time. The queue and the store
// take a few virtual milliseconds for each call.
type inBubble struct {
	*queueWorker
	t      *testing.T
	server *sqstest.Server
	store  *shakyStore
	dlqURL string
	target *pipedTarget
	log    bytes.Buffer // guarded by the logger

	latency *latencies

	ctx  context.Context // its end stops the worker
	stop context.CancelFunc
	done chan error
}

// newInBubble creates a worker; begin starts it.
func newInBubble(t *testing.T, maxReceives int, h http.HandlerFunc, args ...string) *inBubble {
	t.Helper()
	latency := newLatencies(t)
	b := &inBubble{
		t: t, server: sqstest.New(sqstest.Config{}), latency: latency,
		store: &shakyStore{Store: memstore.New(), latency: latency}, target: newPipedTarget(h),
	}
	c := settings(t, append([]string{"--local", "--target-url", "http://target.invalid/work"}, args...)...)
	client := sqs.NewFromConfig(b.server.AWSConfig())
	queueURL, dlqURL, err := awsenv.CreateQueue(t.Context(), client, localQueue)
	if err != nil {
		t.Fatal(err)
	}
	b.dlqURL = dlqURL
	if _, err := client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &queueURL, Attributes: map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s-dlq","maxReceiveCount":%d}`, localQueue, maxReceives),
	}}); err != nil {
		t.Fatal(err)
	}
	b.server.Control(func(context.Context, sqstest.Call) sqstest.Fault {
		return sqstest.Fault{Delay: latency.below(8 * time.Millisecond)}
	})
	w := &worker{
		log: slog.New(slog.NewTextHandler(&b.log, nil)), dial: b.target.dial, admin: b.target, protector: ecs.New(ecs.Config{}),
		lines: awsenv.NewLogPipe(io.Discard), out: io.Discard,
	}
	if w.telemetry, err = telemetry.New(t.Context(), telemetry.Config{Logger: w.log}); err != nil {
		t.Fatal(err)
	}
	if b.queueWorker, err = w.newQueue(c); err != nil {
		t.Fatal(err)
	}
	b.arm()
	b.back = backend{queue: client, queueURL: queueURL, dlqURL: dlqURL, store: b.store}
	w.queues = []*queueWorker{b.queueWorker}
	if err := b.newPool(); err != nil {
		t.Fatal(err)
	}
	return b
}

// latencies are random times, the same in every run of a test. In a bubble only different times
// order the calls of concurrent goroutines.
type latencies struct {
	mu     sync.Mutex
	random *rand.Rand // guarded by mu
}

// newLatencies returns latencies, seeded by the test's name.
func newLatencies(t *testing.T) *latencies {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Name())) // never fails
	return &latencies{random: rand.New(rand.NewPCG(h.Sum64(), 0))}
}

// below returns a time from 0 to most.
func (l *latencies) below(most time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.random.Int64N(int64(most)))
}

// arm creates the context whose end stops the worker.
func (b *inBubble) arm() {
	b.ctx, b.stop = context.WithCancel(b.t.Context())
	b.stopping = b.ctx.Done()
}

func (b *inBubble) begin() {
	ctx := b.ctx
	b.done = make(chan error, 1)
	var health sync.WaitGroup
	if b.health != nil {
		health.Go(func() { b.health.run(ctx) })
	}
	go func() {
		err := b.pool.Run(ctx)
		health.Wait()
		b.done <- err
	}()
}

// end stops the worker and its fakes.
func (b *inBubble) end() {
	b.stop()
	if err := <-b.done; err != nil {
		b.t.Errorf("Run: %v", err)
	}
	b.target.close()
	if b.t.Failed() {
		b.t.Logf("%.20000s", b.log.String())
	}
}

func (b *inBubble) send(bodies ...string) { send(b.t, b.back.queue, b.back.queueURL, bodies...) }

// record reads the record of a name.
func (b *inBubble) record(name string) protocol.Record {
	b.t.Helper()
	r, err := b.store.Store.Get(b.t.Context(), protocol.RecordID(localQueue, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// depth returns the number of visible and invisible messages of a queue.
func (b *inBubble) depth(queueURL string) int {
	visible, hidden := counts(b.t, b.back.queue, queueURL)
	v, _ := strconv.Atoi(visible)
	h, _ := strconv.Atoi(hidden)
	return v + h
}

// await sleeps until done returns true, for at most d. It reports whether it did.
func (b *inBubble) await(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); !done(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(250 * time.Millisecond)
	}
	return true
}

// dead returns the messages of the dead-letter queue.
func (b *inBubble) dead() (all []types.Message) {
	b.t.Helper()
	for {
		out, err := b.back.queue.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &b.dlqURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
	}
}

func attribute(m types.Message, name string) string {
	return aws.ToString(m.MessageAttributes[name].StringValue)
}

// errStoreDown is the error of a store that is down.
var errStoreDown = fmt.Errorf("test store: %w", dedupe.ErrUnavailable)

// shakyStore is a store with latencies that can be down.
type shakyStore struct {
	*memstore.Store
	latency *latencies

	mu   sync.Mutex
	down bool // guarded by mu
}

func (s *shakyStore) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shakyStore) answer() error {
	time.Sleep(s.latency.below(6 * time.Millisecond))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errStoreDown
	}
	return nil
}

func (s *shakyStore) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if err := s.answer(); err != nil {
		return err
	}
	return s.Store.Swap(ctx, old, next)
}

func (s *shakyStore) Get(ctx context.Context, id string) (protocol.Record, error) {
	if err := s.answer(); err != nil {
		return protocol.Record{}, err
	}
	return s.Store.Get(ctx, id)
}

// pipedTarget is an HTTP server that is reached through pipes.
type pipedTarget struct {
	conns  chan net.Conn
	closed chan struct{}
	server *http.Server
	served sync.WaitGroup

	mu      sync.Mutex
	refuses bool       // guarded by mu
	clients []net.Conn // guarded by mu
}

func newPipedTarget(h http.HandlerFunc) *pipedTarget {
	p := &pipedTarget{conns: make(chan net.Conn), closed: make(chan struct{})}
	whole := func(w http.ResponseWriter, r *http.Request) {
		// The server detects a closed connection only after the body is read.
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(w, r)
	}
	p.server = &http.Server{Handler: http.HandlerFunc(whole), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	p.served.Go(func() { _ = p.server.Serve(p) })
	return p
}

func (p *pipedTarget) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	refuses := p.refuses
	p.mu.Unlock()
	if refuses {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	p.mu.Lock()
	p.clients = append(p.clients, client)
	p.mu.Unlock()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, errors.New("target is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refuse makes the target refuse connections, and closes the open ones.
func (p *pipedTarget) refuse(refuses bool) {
	p.mu.Lock()
	p.refuses = refuses
	clients := p.clients
	p.clients = nil
	p.mu.Unlock()
	if refuses {
		for _, c := range clients {
			_ = c.Close()
		}
	}
}

func (p *pipedTarget) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipedTarget) Close() error   { return nil }
func (p *pipedTarget) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipedTarget) close() {
	close(p.closed)
	p.refuse(true)
	_ = p.server.Close()
	p.served.Wait()
}
