package producerapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// bench is an API with a queue and a store in memory.
type bench struct {
	t      *testing.T
	api    *API
	server *sqstest.Server
	queue  *sqs.Client
	url    string
	dlqURL string
	store  recordStore
}

// recordStore is a store for guards and readers.
type recordStore interface {
	dedupe.Store
	dedupe.Reader
}

const scope = "orders"

// newBench returns a bench. change, unless nil, may change the settings.
func newBench(t *testing.T, queue string, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, server: sqstest.New(sqstest.Config{}), store: memstore.New()}
	b.queue = sqs.NewFromConfig(b.server.AWSConfig())
	var err error
	if b.url, b.dlqURL, err = awsenv.CreateQueue(t.Context(), b.queue, queue); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		SQS: b.queue, QueueURL: b.url, Records: b.store, Scope: scope, Keys: defaultKeys(t),
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	if b.api, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.api.Close)
	return b
}

func defaultKeys(t *testing.T) *names.Extractor {
	t.Helper()
	keys, err := names.New(names.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// reply is an answer of the API.
type reply struct {
	*httptest.ResponseRecorder
	t *testing.T
}

// request returns a request. headers are alternating names and values; the default Content-Type is
// JSON.
func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[http.CanonicalHeaderKey(headers[i])] = append(r.Header[http.CanonicalHeaderKey(headers[i])], headers[i+1])
	}
	return r
}

// serve passes a request to the API.
func (b *bench) serve(r *http.Request) reply {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, r)
	seen.note(r, w)
	return reply{w, b.t}
}

func (b *bench) do(method, target, body string, headers ...string) reply {
	b.t.Helper()
	return b.serve(request(method, target, body, headers...))
}

func (b *bench) post(body string, headers ...string) reply {
	b.t.Helper()
	return b.do(http.MethodPost, "/", body, headers...)
}

// want fails the test unless the answer has the status.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.Code != status {
		r.t.Fatalf("status %d, want %d: %s", r.Code, status, r.Body)
	}
	return r
}

// wantField fails the test unless the answer is a problem document about the field.
func (r reply) wantField(status int, field string) {
	r.t.Helper()
	r.want(status)
	p := decode[problem](r)
	if got := r.Header().Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("Content-Type is %q", got)
	}
	if p.Field != field || p.Status != status || field != "" && !strings.HasPrefix(p.Detail, field+": ") {
		r.t.Errorf("problem is %+v, want one about %q", p, field)
	}
}

// decode decodes the answer as JSON.
func decode[T any](r reply) T {
	r.t.Helper()
	var v T
	if err := json.Unmarshal(r.Body.Bytes(), &v); err != nil {
		r.t.Fatalf("%v in %q", err, r.Body)
	}
	return v
}

// received returns the visible messages of a queue.
func (b *bench) received(queueURL string) []types.Message {
	b.t.Helper()
	var all []types.Message
	for {
		out, err := b.queue.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &queueURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
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

// drain receives and deletes the messages of a queue, in order.
func (b *bench) drain(queueURL string) []types.Message {
	b.t.Helper()
	var all []types.Message
	for {
		out, err := b.queue.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queueURL, MaxNumberOfMessages: 10})
		if err != nil {
			b.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
		for _, m := range out.Messages {
			if _, err := b.queue.DeleteMessage(b.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queueURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// deadLetter sends a message to the dead-letter queue: like a worker if reason is set, and
// otherwise like SQS.
func (b *bench) deadLetter(name, original, reason string) {
	b.t.Helper()
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	in := &sqs.SendMessageInput{QueueUrl: &b.dlqURL, MessageBody: aws.String(body(name)), MessageAttributes: map[string]types.MessageAttributeValue{
		consumer.AttrName: text(name),
	}}
	if reason != "" {
		in.MessageAttributes[consumer.AttrReason] = text(reason)
		in.MessageAttributes[consumer.AttrError] = text("it went wrong")
		in.MessageAttributes[attributes.Attempts] = text("5")
		in.MessageAttributes[attributes.OriginalID] = text(original)
	}
	if b.api.fifo() {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("g-"+name), aws.String(rand.Text())
	}
	if _, err := b.queue.SendMessage(b.t.Context(), in); err != nil {
		b.t.Fatal(err)
	}
}

// withoutDeadLetters gives the API a queue without a redrive policy.
func (b *bench) withoutDeadLetters() {
	b.t.Helper()
	b.api.cfg.QueueURL = b.dlqURL
	var err error
	if b.api.dead, err = b.api.newDeadLetters(); err != nil {
		b.t.Fatal(err)
	}
}

var terms = protocol.Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: 720 * time.Hour, MaxAttempts: 5}

// record applies the events to a record, writes it, and returns it.
func (b *bench) record(name string, events ...protocol.Event) protocol.Record {
	b.t.Helper()
	r, err := b.store.Get(context.WithoutCancel(b.t.Context()), protocol.RecordID(scope, name))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range events {
		next, verdict := protocol.Step(r, e)
		if verdict != protocol.VerdictApply {
			b.t.Fatalf("%T of %q: verdict %d", e, name, verdict)
		}
		if err := b.store.Swap(context.WithoutCancel(b.t.Context()), r.Version, next); err != nil {
			b.t.Fatal(err)
		}
		r = next
	}
	return r
}

var owner = protocol.Token{1}

// claim returns the claim of a message with this body.
func (b *bench) claim(name, body string) protocol.Claim {
	b.t.Helper()
	named, err := b.api.cfg.Keys.Extract(names.Message{Body: body})
	if err != nil {
		b.t.Fatal(err)
	}
	return protocol.Claim{
		Now: time.Now(), Owner: owner, Terms: terms, ID: protocol.RecordID(scope, name), Name: name,
		Fingerprint: protocol.Fingerprint(named.Fingerprint), MessageID: "m-1",
	}
}

func complete(result string) protocol.Complete {
	return protocol.Complete{Now: time.Now(), Owner: owner, Terms: terms, Result: []byte(result)}
}

func fail(kind protocol.FailKind, text string) protocol.Fail {
	return protocol.Fail{Now: time.Now(), Owner: owner, Terms: terms, Kind: kind, Error: text}
}

// body returns the smallest body with a name.
func body(name string) string {
	b, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		panic(err)
	}
	return string(b)
}
