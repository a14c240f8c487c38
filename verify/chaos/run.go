package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/wholebody"
)

// drain is the workers' --drain-timeout.
const drain = 3 * time.Second

const (
	callTimeout = time.Minute      // of an attempt of a call to the servers or a producer
	readTimeout = 10 * time.Minute // for all records of the table
)

// Config configures a run.
type Config struct {
	Binary        string   // the worker
	Producer      string   // of the same release; only with Other
	Other         *Release // another release, with which the workers begin; nil: none
	SQS, DynamoDB string   // endpoints of the servers
	Name          string   // of queue and table
	Seed          uint64
	Workers       int
	Messages      int           // sent evenly over the time of chaos
	Duplicates    float64       // the share of messages that repeat an earlier name
	Chaos         time.Duration // duration of the faults
	Settle        time.Duration // within this time after the faults the queue must be empty
	Visibility    time.Duration
	Lease, Skew   time.Duration
	Harm          time.Duration // mean time between harms to processes; 0: none
	MinPause      time.Duration
	MaxPause      time.Duration
	Slow          time.Duration // the longest call of the target
	Network       Rates
	Log           io.Writer     // of the workers
	Sample        func(*Sample) // called every second, for soak tests; may be nil
}

// run is the state of a run.
type run struct {
	cfg              Config
	queue            *sqs.Client
	tables           *dynamodb.Client
	queueURL, dlqURL string
	sent             map[string]int
	sentAt           sync.Map // time of a name's first message, by name
	ledger           *Ledger
	proxies          []*Proxy
	fleet            *Fleet
}

// Run makes a run and judges it. Violations are in the report; an error means that the run failed.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	r := &run{
		cfg: cfg, sent: make(map[string]int),
		queue:  sqs.NewFromConfig(patient(cfg.SQS)),
		tables: dynamodb.NewFromConfig(patient(cfg.DynamoDB)),
	}
	start := time.Now()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.harass(ctx); err != nil {
		return nil, err
	}
	settled, err := r.settle(ctx)
	if err != nil {
		return nil, err
	}
	r.fleet.Stop()
	report, err := r.report(ctx, settled)
	if err == nil {
		report.Took = time.Since(start)
	}
	return report, err
}

// patient returns the configuration for a server that may be slow, but must answer in the end.
func patient(endpoint string) aws.Config {
	cfg := emulators.Config(endpoint)
	cfg.HTTPClient = wholebody.Client{HTTPClient: awshttp.NewBuildableClient().WithTimeout(callTimeout)}
	return cfg
}

// prepare creates the queue, the table, the proxies, the target and the workers.
func (r *run) prepare(ctx context.Context) (err error) {
	if r.queueURL, r.dlqURL, err = awsenv.CreateQueue(ctx, r.queue, r.cfg.Name); err != nil {
		return fmt.Errorf("create queue: %w", err)
	}
	if err := dynamo.CreateTable(ctx, r.tables, r.cfg.Name); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	forSQS, err := NewProxy(ctx, r.cfg.SQS, "com.amazonaws.sqs#RequestThrottled", r.cfg.Seed, r.cfg.Network)
	if err != nil {
		return err
	}
	r.proxies = append(r.proxies, forSQS)
	forDynamoDB, err := NewProxy(ctx, r.cfg.DynamoDB, "com.amazonaws.dynamodb.v20120810#ThrottlingException", r.cfg.Seed+1, r.cfg.Network)
	if err != nil {
		return err
	}
	if r.cfg.Other == nil { // another release may use other statements
		forDynamoDB.UseGrammar()
	}
	r.proxies = append(r.proxies, forDynamoDB)
	if r.ledger, err = NewLedger(ctx, r.cfg.Seed, r.cfg.Slow); err != nil {
		return err
	}
	first := r.cfg.Binary
	if r.cfg.Other != nil {
		first = r.cfg.Other.Worker
	}
	r.fleet, err = NewFleet(first, r.cfg.Workers, r.ledger.URL, append(r.env(forSQS.URL, forDynamoDB.URL),
		"SQSONCE_VISIBILITY="+r.cfg.Visibility.String(), "SQSONCE_LEASE="+r.cfg.Lease.String(), "SQSONCE_SKEW="+r.cfg.Skew.String(),
		"SQSONCE_DRAIN_TIMEOUT="+drain.String(), "SQSONCE_CONCURRENCY=20", "SQSONCE_TARGET_TIMEOUT=30s",
	), r.cfg.Log)
	return err
}

// env returns the environment variables with which worker and producer reach the run's queue and
// table at the given endpoints.
func (r *run) env(sqs, dynamoDB string) []string {
	return []string{
		"AWS_ENDPOINT_URL_SQS=" + sqs, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamoDB,
		"AWS_REGION=" + emulators.Region, "AWS_ACCESS_KEY_ID=" + emulators.AccessKey, "AWS_SECRET_ACCESS_KEY=" + emulators.SecretKey,
		"SQSONCE_QUEUE_URL=" + r.queueURL, "SQSONCE_TABLE=" + r.cfg.Name, "SQSONCE_LOG_FORMAT=json",
	}
}

func (r *run) close() {
	if r.fleet != nil {
		r.fleet.Kill()
	}
	if r.ledger != nil {
		r.ledger.Close()
	}
	for _, p := range r.proxies {
		p.Close()
	}
}

// harass sends the messages during the faults.
func (r *run) harass(ctx context.Context) error {
	harassing, stop := context.WithTimeout(ctx, r.cfg.Chaos)
	defer stop()
	harassed := make(chan struct{})
	go func() {
		defer close(harassed)
		if r.cfg.Harm > 0 {
			r.fleet.Harass(harassing, r.cfg.Seed, r.cfg.Harm, r.cfg.MinPause, r.cfg.MaxPause)
		}
	}()
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		r.sample(harassing)
	}()
	rolled := make(chan struct{})
	go func() {
		defer close(rolled)
		if r.cfg.Other != nil {
			r.roll(harassing)
		}
	}()
	err := r.send(ctx)
	<-harassed
	<-sampled
	<-rolled
	return err
}

// send sends all messages, evenly over the time of chaos, without the proxy.
func (r *run) send(ctx context.Context) error {
	random := rand.New(rand.NewPCG(r.cfg.Seed, 4))
	start := time.Now()
	var entries []types.SendMessageBatchRequestEntry
	for i := range r.cfg.Messages {
		name := fmt.Sprintf("n%d", len(r.sent))
		if len(r.sent) > 0 && random.Float64() < r.cfg.Duplicates {
			// Most duplicates come soon after the first message, which is the hardest case.
			back := int(random.ExpFloat64() * 20)
			name = fmt.Sprintf("n%d", max(0, len(r.sent)-1-back))
		}
		if r.sent[name]++; r.sent[name] == 1 {
			r.sentAt.Store(name, time.Now())
		}
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(len(entries))), MessageBody: aws.String(fmt.Sprintf(`{"name":%q}`, name)),
		})
		if len(entries) < 10 && i < r.cfg.Messages-1 {
			continue
		}
		out, err := r.queue.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &r.queueURL, Entries: entries})
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if len(out.Failed) > 0 {
			return fmt.Errorf("send: %d entries failed", len(out.Failed))
		}
		entries = nil
		at := time.Duration(float64(r.cfg.Chaos) * float64(i) / float64(r.cfg.Messages))
		wait(ctx, time.Until(start.Add(at)))
	}
	return nil
}

// settle ends all faults and waits until the queue is empty. It returns the number of messages
// left.
func (r *run) settle(ctx context.Context) (left int, err error) {
	for _, p := range r.proxies {
		p.Calm()
	}
	r.ledger.Calm()
	for deadline := time.Now().Add(r.cfg.Settle); ; wait(ctx, 250*time.Millisecond) {
		if left, err = r.depth(ctx); err != nil || left == 0 || time.Now().After(deadline) {
			return left, err
		}
	}
}

// depth returns the number of messages in the queue, visible or not.
func (r *run) depth(ctx context.Context) (int, error) {
	out, err := r.queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &r.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return 0, fmt.Errorf("look at the queue: %w", err)
	}
	total := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		n, _ := strconv.Atoi(out.Attributes[name])
		total += n
	}
	return total, nil
}

// report collects the results and judges them.
func (r *run) report(ctx context.Context, left int) (*Report, error) {
	rep := &Report{
		Names: len(r.sent), Starts: r.fleet.Starts(), Harms: make(map[string]int), Faults: make(map[string]int),
		Statuses: make(map[string]int), DeadLetters: make(map[string]int),
	}
	for _, n := range r.sent {
		rep.Messages += n
	}
	harms := r.fleet.Harms()
	for _, h := range harms {
		rep.Harms[h.Kind]++
	}
	for _, p := range r.proxies {
		for kind, n := range p.Faults() {
			rep.Faults[kind] += n
		}
		rep.Batches += int(p.batches.Load())
	}
	for range left {
		rep.Stranded = append(rep.Stranded, "a message is still in the queue")
	}
	dead, err := r.deadLetters(ctx, rep)
	if err != nil {
		return nil, err
	}
	if err := r.statuses(ctx, rep, dead); err != nil {
		return nil, err
	}
	if r.cfg.Other != nil {
		rep.Changes = r.fleet.Changes()
		if err := r.compare(ctx, rep); err != nil {
			return nil, err
		}
	}
	for range rep.DeadLetters["mismatch"] { // all messages of a name are equal here
		rep.Mismatches = append(rep.Mismatches, "a message was refused as another payload of its name")
	}
	rep.PausedTogether = together(harms, r.cfg.Lease+2*r.cfg.Skew)
	rep.Judge(r.ledger.Calls(), harms, r.cfg.Lease+2*r.cfg.Skew)
	return rep, nil
}

// deadLetters counts the dead letters by reason and returns their names.
func (r *run) deadLetters(ctx context.Context, rep *Report) (map[string]bool, error) {
	names := make(map[string]bool)
	for {
		out, err := r.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &r.dlqURL, MaxNumberOfMessages: 10, VisibilityTimeout: 3600, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			return nil, fmt.Errorf("look at the dead-letter queue: %w", err)
		}
		if len(out.Messages) == 0 {
			return names, nil
		}
		for _, m := range out.Messages {
			var body struct{ Name string }
			if err := json.Unmarshal([]byte(*m.Body), &body); err != nil {
				return nil, fmt.Errorf("read a dead letter: %w", err)
			}
			names[body.Name] = true
			reason := aws.ToString(m.MessageAttributes[consumer.AttrReason].StringValue)
			if reason == "" {
				reason = "(moved by SQS)"
			}
			rep.DeadLetters[reason]++
		}
	}
}

// statuses counts the records by status. A sent name without a final status is lost, unless a
// message of it is in the dead-letter queue.
func (r *run) statuses(ctx context.Context, rep *Report, dead map[string]bool) error {
	records, err := readTable(ctx, r.tables, r.cfg.Name)
	if err != nil {
		return err
	}
	for _, status := range records {
		rep.Statuses[string(status)]++
	}
	for name := range r.sent {
		if !records[name].Final() && !dead[name] {
			rep.Lost = append(rep.Lost, name+" was sent, and has no outcome")
		}
	}
	return nil
}

// readTable returns the status of each name of a table. It fails if that takes longer than
// [readTimeout].
func readTable(ctx context.Context, from dynamodb.ScanAPIClient, table string) (map[string]protocol.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	records := make(map[string]protocol.Status)
	pages := dynamodb.NewScanPaginator(from, &dynamodb.ScanInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#name, #status"), ExpressionAttributeNames: map[string]string{"#name": dynamo.AttrName, "#status": dynamo.AttrStatus},
	})
	for n := 0; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("the table could not be read within %s: read %d pages with %d records: %w", readTimeout, n, len(records), err)
		}
		if err != nil {
			return nil, fmt.Errorf("read the table, page %d: %w", n+1, err)
		}
		for _, item := range page.Items {
			records[text(item[dynamo.AttrName])] = protocol.Status(text(item[dynamo.AttrStatus]))
		}
	}
	return records, nil
}

func text(v ddbtypes.AttributeValue) string {
	if s, ok := v.(*ddbtypes.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}
