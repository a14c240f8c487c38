package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Harness runs subjects against servers and records their calls.
type Harness struct {
	queue      *sqs.Client // bypasses the proxy
	table      *dynamodb.Client
	sqs, dynDB *proxy
	calls      *counter
	target     *httptest.Server
	redis      *redis                 // nil: no subject needs it
	built      map[string]string      // program by subject
	starts     map[string]Measurement // a run of one message, by subject
	runs       int
}

// NewHarness builds the subjects in dir, and starts proxies for an SQS and a DynamoDB server. Of
// subjects with one name, it builds the first.
func NewHarness(ctx context.Context, sqsEndpoint, dynamoEndpoint, dir string, subjects ...Subject) (*Harness, error) {
	h := &Harness{
		queue: sqs.NewFromConfig(emulators.Config(sqsEndpoint)), table: dynamodb.NewFromConfig(emulators.Config(dynamoEndpoint)),
		calls: newCounter(), built: make(map[string]string), starts: make(map[string]Measurement),
	}
	for _, s := range subjects {
		if h.built[s.Name] != "" {
			continue
		}
		file, err := s.Build(ctx, dir)
		if err != nil {
			return nil, err
		}
		h.built[s.Name] = file
	}
	var err error
	if h.sqs, err = newProxy(sqsEndpoint, h.calls); err != nil {
		return nil, err
	}
	if h.dynDB, err = newProxy(dynamoEndpoint, h.calls); err != nil {
		h.sqs.close()
		return nil, err
	}
	if slices.ContainsFunc(subjects, func(s Subject) bool { return s.Redis }) {
		if h.redis, err = startRedis(ctx, dir); err != nil {
			h.sqs.close()
			h.dynDB.close()
			return nil, err
		}
	}
	h.target = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ok":true}`)) }))
	return h, nil
}

// Close stops the proxies, the target and Redis.
func (h *Harness) Close() {
	if h.redis != nil {
		h.redis.close()
	}
	h.sqs.close()
	h.dynDB.close()
	h.target.Close()
}

// Measure makes the subject drain its own queue with its own table. It subtracts the cost of a
// start: a run of one message, made once for each subject.
func (h *Harness) Measure(ctx context.Context, s Subject, w Workload) (Measurement, error) {
	one, known := h.starts[s.Name]
	if !known {
		var err error
		alone := w
		alone.Kind, alone.Messages, alone.Workers, alone.Canned, alone.Paced = Lone, 1, 1, false, false
		if one, err = h.whole(ctx, s, alone); err != nil {
			return one, err
		}
		h.starts[s.Name] = one
	}
	m, err := h.whole(ctx, s, w)
	m.CPU -= time.Duration(w.Workers) * one.CPU
	m.Mallocs -= w.Workers * one.Mallocs
	return m, err
}

// whole measures a run including the start.
func (h *Harness) whole(ctx context.Context, s Subject, w Workload) (Measurement, error) {
	h.runs++
	name := fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), h.runs)
	if err := dynamo.CreateTable(ctx, h.table, name); err != nil {
		return Measurement{}, err
	}
	var m Measurement
	for i, bodies := range w.backlogs() {
		// Each run has its own queue, because fauxqs still serves the polls of killed processes.
		queueURL, _, err := awsenv.CreateQueue(ctx, h.queue, fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			return m, err
		}
		if m, err = h.drain(ctx, s, w, queueURL, name, bodies); err != nil {
			return m, fmt.Errorf("%s, %s: %w", s.Name, w.Name, err)
		}
	}
	return m, nil
}

// drain sends a backlog and lets the subject's processes drain it.
func (h *Harness) drain(ctx context.Context, s Subject, w Workload, queueURL, table string, bodies []string) (Measurement, error) {
	m := Measurement{Subject: s.Name, Workload: w}
	switch {
	case w.Canned:
		defer h.can(w, len(bodies))()
	case w.Kind != Lone:
		if err := h.send(ctx, queueURL, bodies); err != nil {
			return m, err
		}
	}
	if s.Redis {
		if err := h.redis.reset(ctx); err != nil {
			return m, err
		}
	}
	h.calls.take()
	_, _, _ = h.sqs.take()
	running, stop := context.WithCancel(ctx)
	var processes []*process
	defer func() {
		stop()
		for _, p := range processes {
			<-p.ended
		}
	}()
	for range w.Workers {
		p, err := startProcess(running, s, h.built[s.Name], h.env(w, queueURL, table, len(bodies))...)
		if err != nil {
			return m, err
		}
		processes = append(processes, p)
	}
	for i := 0; w.Kind == Lone && i < len(bodies); i++ {
		if err := errors.Join(h.send(ctx, queueURL, bodies[i:i+1]), h.await(ctx, i+1, processes)); err != nil {
			return m, err
		}
	}
	if err := h.await(ctx, len(bodies), processes); err != nil {
		stop()
		for _, p := range processes {
			<-p.ended
			err = fmt.Errorf("%w\n%.2000s", err, &p.out)
		}
		return m, err
	}
	m.Tally = h.calls.take()
	if s.Redis {
		var err error
		if m.Redis, err = h.redis.commands(ctx); err != nil {
			return m, err
		}
	}
	for _, p := range processes {
		u, err := p.end(ctx)
		if err != nil {
			return m, err
		}
		m.CPU += u.cpu
		m.Mallocs += u.mallocs
		m.PeakRSS = max(m.PeakRSS, u.peakRSS)
	}
	held, took, trouble := h.sqs.take()
	m.Held, m.Took, m.Trouble = held, took, trouble
	return m, nil
}

// can makes the proxies give canned answers to n messages, until the returned function is called.
func (h *Harness) can(w Workload, n int) (end func()) {
	var latencies [2]time.Duration
	if w.Paced {
		latencies = [2]time.Duration{sqsLatency, dynamoLatency}
	}
	answers := &canned{messages: n, size: w.Size}
	for i, p := range []*proxy{h.sqs, h.dynDB} {
		p.canned.Store(&pacedAnswers{answers, latencies[i]})
	}
	return func() {
		h.sqs.canned.Store(nil)
		h.dynDB.canned.Store(nil)
	}
}

func credentials() []string {
	return []string{"AWS_REGION=" + emulators.Region, "AWS_ACCESS_KEY_ID=" + emulators.AccessKey, "AWS_SECRET_ACCESS_KEY=" + emulators.SecretKey}
}

// env returns the settings of a subject as its environment variables.
func (h *Harness) env(w Workload, queueURL, table string, messages int) []string {
	concurrency := strconv.Itoa(w.Concurrency)
	env := append(credentials(),
		"AWS_ENDPOINT_URL_SQS="+h.sqs.server.URL, "AWS_ENDPOINT_URL_DYNAMODB="+h.dynDB.server.URL,
		"QUEUE_URL="+queueURL, "TABLE="+table, "CONCURRENCY="+concurrency, "MESSAGES="+strconv.Itoa(messages),
		"SQSONCE_QUEUE_URL="+queueURL, "SQSONCE_TABLE="+table, "SQSONCE_CONCURRENCY="+concurrency, "SQSONCE_SCOPE=bench")
	if !w.Fingerprint {
		env = append(env, "SQSONCE_FINGERPRINT=off")
	}
	if h.redis != nil {
		env = append(env, "REDIS_SOCKET="+h.redis.socket)
	}
	if w.Target {
		env = append(env, "TARGET_URL="+h.target.URL, "SQSONCE_TARGET_URL="+h.target.URL)
	} else {
		env = append(env, "SQSONCE_HANDLER=log")
	}
	return env
}

// stalled is the time without a deletion after which a run fails. Longer than a visibility timeout
// and a long poll.
const stalled = 2 * time.Minute

// await waits until n messages are deleted. It fails if a process ends early, or if nothing is
// deleted for a time.
func (h *Harness) await(ctx context.Context, n int, processes []*process) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last, since := h.sqs.gone(), time.Now()
	for h.sqs.gone() < n {
		if gone := h.sqs.gone(); gone > last {
			last, since = gone, time.Now()
		} else if time.Since(since) > stalled {
			return fmt.Errorf("bench: %d of %d messages are gone, and none for %s", gone, n, stalled)
		}
		for _, p := range processes {
			if err := p.early(); err != nil && h.sqs.gone() < n {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("bench: %d of %d messages are gone: %w", h.sqs.gone(), n, ctx.Err())
		}
	}
	return nil
}

func (h *Harness) send(ctx context.Context, queueURL string, bodies []string) error {
	for batch := range slices.Chunk(bodies, 10) {
		entries := make([]types.SendMessageBatchRequestEntry, len(batch))
		for i, body := range batch {
			entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body}
		}
		out, err := h.queue.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &queueURL, Entries: entries})
		if err != nil || len(out.Failed) > 0 {
			return fmt.Errorf("bench: send: %w, %d failed", err, len(out.Failed))
		}
	}
	return nil
}
