package deadletter

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	attr "github.com/sqsonce/sqsonce/internal/attributes"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// bench is a dead-letter queue over servers in memory.
type bench struct {
	*Queue
	t        *testing.T
	server   *sqstest.Server
	client   *sqs.Client
	main     string // URL of the queue
	dead     string // and of its dead-letter queue
	store    *memstore.Store
	operator *dedupe.Operator
}

const scope = "orders"

func newBench(t *testing.T, queue string, naming names.Config) *bench {
	t.Helper()
	b := &bench{t: t, server: sqstest.New(sqstest.Config{}), store: memstore.New()}
	b.client = sqs.NewFromConfig(b.server.AWSConfig())
	var err error
	if b.main, b.dead, err = awsenv.CreateQueue(t.Context(), b.client, queue); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	if b.operator, err = dedupe.NewOperator(b.store, dedupe.Config{Scope: scope, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	keys, err := names.New(naming)
	if err != nil {
		t.Fatal(err)
	}
	if b.Queue, err = New(Config{SQS: b.client, QueueURL: b.main, Keys: keys, Records: b.operator, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	return b
}

// put sends a message to a queue, and returns its id.
func (b *bench) put(url, body string, attributes map[string]string) string {
	b.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if fifo(url) {
		sum := func(s string) *string { return aws.String(fmt.Sprintf("%x", sha256.Sum256([]byte(s)))) }
		in.MessageGroupId, in.MessageDeduplicationId = sum(body), sum(body+attributes[attr.OriginalID])
	}
	out, err := b.client.SendMessage(b.t.Context(), in)
	if err != nil {
		b.t.Fatal(err)
	}
	return aws.ToString(out.MessageId)
}

// copied puts a worker's copy into the dead-letter queue.
func (b *bench) copied(name, reason string) string {
	b.t.Helper()
	return b.put(b.dead, body(name), map[string]string{
		consumer.AttrName: name, consumer.AttrReason: reason, consumer.AttrError: "it went wrong", attr.Attempts: "5",
		attr.OriginalID: "original of " + name,
	})
}

// movedBySQS lets SQS itself move a message to the dead-letter queue, in virtual time.
func (b *bench) movedBySQS(text string, attributes map[string]string) {
	b.t.Helper()
	b.put(b.main, text, attributes)
	for len(b.drain(b.main, 1)) > 0 {
		time.Sleep(2 * time.Second)
	}
}

// drain receives all that is visible, hidden for a number of seconds.
func (b *bench) drain(url string, hidden int32) (all []types.Message) {
	b.t.Helper()
	for {
		out, err := b.client.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: hidden, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, out.Messages...)
		if len(out.Messages) == 0 {
			return all
		}
	}
}

func body(name string) string { return fmt.Sprintf(`{"name":%q}`, name) }

var terms = protocol.Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: 720 * time.Hour, MaxAttempts: 5}

// record lets events happen to a name, after a claim of its usual body or another one.
func (b *bench) record(name, body string, events ...protocol.Event) {
	b.t.Helper()
	named, err := b.cfg.Keys.Extract(names.Message{Body: body, Attributes: map[string]names.Attribute{names.NameAttribute: names.Text(name)}})
	if err != nil {
		b.t.Fatal(err)
	}
	id := protocol.RecordID(scope, name)
	events = append([]protocol.Event{protocol.Claim{
		Now: time.Now(), Owner: owner, Terms: terms, ID: id, Name: name, MessageID: "m", Fingerprint: protocol.Fingerprint(named.Fingerprint),
	}}, events...)
	var r protocol.Record
	for _, e := range events {
		next, verdict := protocol.Step(r, e)
		if verdict != protocol.VerdictApply {
			b.t.Fatalf("%T has verdict %d", e, verdict)
		}
		if err := b.store.Swap(b.t.Context(), r.Version, next); err != nil {
			b.t.Fatal(err)
		}
		r = next
	}
}

var owner = protocol.Token{7}

func fail(kind protocol.FailKind) protocol.Fail {
	return protocol.Fail{Now: time.Now(), Owner: owner, Terms: terms, Kind: kind, Error: "card declined"}
}

func complete() protocol.Complete {
	return protocol.Complete{Now: time.Now(), Owner: owner, Terms: terms, Result: []byte("1")}
}

func (b *bench) status(name string) protocol.Status {
	b.t.Helper()
	r, err := b.store.Get(b.t.Context(), protocol.RecordID(scope, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Status
}

func (b *bench) list(q Query, limit int, after string) Page {
	b.t.Helper()
	page, err := b.List(b.t.Context(), q, limit, after)
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

func (b *bench) redrive(o Order) Report {
	b.t.Helper()
	report, err := b.Redrive(b.t.Context(), o, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

// attributes are n attributes of the sender's own.
func attributes(n int) map[string]string {
	all := make(map[string]string, n)
	for i := range n {
		all["own-"+strconv.Itoa(i)] = "x"
	}
	return all
}

func TestNew(t *testing.T) {
	b := newBench(t, "orders", names.Config{})
	for field, cfg := range map[string]Config{
		"SQS": {}, "QueueURL": {SQS: b.client}, "Keys": {SQS: b.client, QueueURL: b.main}, "Records": {SQS: b.client, QueueURL: b.main, Keys: b.cfg.Keys},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("without %s: %v", field, err)
		}
	}
	without, err := New(Config{SQS: b.client, QueueURL: b.dead, Keys: b.cfg.Keys, Records: b.operator})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := without.List(t.Context(), Query{}, 1, ""); err == nil || !strings.Contains(err.Error(), ErrNoQueue.Error()) {
		t.Errorf("a queue without a redrive policy: %v", err)
	}
}

// Thousands of letters are listed page by page and found by name, and those of one
// name and of one reason are redriven.
func TestThousands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := testutil.N(t, 3000)
		b := newBench(t, "orders", names.Config{})
		b.fill(count, func(i int) string {
			if i%3 == 0 {
				return "mismatch"
			}
			return "rejected"
		})
		seen := make(map[string]bool)
		var page Page
		receives := b.calls("ReceiveMessage")
		for pages := 0; pages == 0 || page.Next != ""; pages++ {
			page = b.list(Query{}, 1000, page.Next)
			for _, l := range page.Letters {
				seen[l.Name] = true
			}
			if len(page.Letters) > 1000 || pages > count/1000 || page.Found != count || page.Originals != count || !page.Complete {
				t.Fatalf("page %d has %d letters of %d, originals %d, complete %t", pages, len(page.Letters), page.Found, page.Originals, page.Complete)
			}
		}
		if len(seen) != count {
			t.Errorf("%d names are listed", len(seen))
		}
		if n := receives(); n > int64(2*count/batchSize) {
			t.Errorf("all pages took %d receives", n)
		}
		if g := page.Groups; len(g) != 2 || g[0].Reason != "rejected" || g[0].Count+g[1].Count != count || g[1].Count != (count+2)/3 {
			t.Errorf("groups are %+v", g)
		}
		last := "order-" + strconv.Itoa(count-1)
		if page := b.list(Query{Which: last, Bodies: 100}, 10, ""); len(page.Letters) != 1 || page.Letters[0].Body != body(last) || page.Looked != count {
			t.Errorf("%s is found as %+v", last, page.Letters)
		}

		report := b.redrive(Order{Names: []string{last}})
		if report.Count(Moved) != 1 || len(report.Items) != 1 || !report.Complete || report.Looked != count {
			t.Fatalf("by name: %d items, looked at %d, complete %t", len(report.Items), report.Looked, report.Complete)
		}
		report = b.redrive(Order{Reason: "mismatch"})
		if report.Count(Moved) != (count+2)/3 || len(report.Items) != (count+2)/3 || !report.Complete {
			t.Fatalf("by reason: %d items, complete %t", len(report.Items), report.Complete)
		}
		if page := b.list(Query{}, 1, ""); page.Found != count-1-(count+2)/3 || len(page.Groups) != 1 {
			t.Errorf("left are %d letters in %+v", page.Found, page.Groups)
		}
		if moved := b.drain(b.main, 60); len(moved) != 1+(count+2)/3 {
			t.Errorf("%d messages are in the queue", len(moved))
		}
	})
}

// fill puts copies of order-0, order-1 ... into the dead-letter queue.
func (b *bench) fill(count int, reason func(i int) string) {
	b.t.Helper()
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	for from := 0; from < count; from += batchSize {
		in := &sqs.SendMessageBatchInput{QueueUrl: &b.dead}
		for i := from; i < min(from+batchSize, count); i++ {
			name := "order-" + strconv.Itoa(i)
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body(name)),
				MessageAttributes: map[string]types.MessageAttributeValue{consumer.AttrReason: text(reason(i)), attr.OriginalID: text("original of " + name)},
			})
		}
		if out, err := b.client.SendMessageBatch(b.t.Context(), in); err != nil || len(out.Failed) > 0 {
			b.t.Fatalf("%v, failed: %v", err, out)
		}
		if from%1000 == 0 {
			time.Sleep(time.Millisecond) // so that their order is not that of their ids alone
		}
	}
}

// calls counts the calls of an operation from now on.
func (b *bench) calls(operation string) func() int64 {
	var n atomic.Int64
	b.server.Control(func(_ context.Context, c sqstest.Call) sqstest.Fault {
		if c.Operation == operation {
			n.Add(1)
		}
		return sqstest.Fault{}
	})
	return n.Load
}

func TestList(t *testing.T) {
	t.Run("letters stay as they are", testListLeaves)
	t.Run("names by the worker's rules", testListNames)
	t.Run("payload in S3", testListPointers)
	t.Run("packed reason", testListPacked)
	t.Run("queries", testListQueries)
	t.Run("page of an unknown snapshot", testListUnknownSnapshot)
	t.Run("bad cursor", testListBadCursor)
	t.Run("group of a FIFO queue", testListGroup)
}

func testListLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.record("a", body("a"), fail(protocol.FailPermanent))
		b.copied("a", "rejected")
		b.copied("a", "rejected")
		for look := range 3 {
			page := b.list(Query{}, 10, "")
			if page.Found != 2 || page.Originals != 1 || !page.Complete || page.Hidden != 0 || page.Records[1].Status != protocol.Rejected {
				t.Fatalf("page is %+v", page)
			}
			l := page.Letters[0]
			if l.Receives != look+1 || l.Attempts != 5 || l.Error != "it went wrong" || l.OriginalID != "original of a" || l.Body != "" || l.Sent.IsZero() {
				t.Errorf("letter is %+v", l)
			}
		}
	})
}

func testListNames(t *testing.T) {
	for rule, tc := range map[string]struct {
		naming names.Config
		body   string
		own    map[string]string
		name   string // "ID": that of the message
	}{
		"body":           {names.Config{Key: "order.id"}, `{"order":{"id":17}}`, nil, "17"},
		"ten attributes": {names.Config{}, body("a"), attributes(10), "a"},
		"attribute":      {names.Config{Key: "@attribute:own-3"}, "no JSON", attributes(10), "x"},
		"message id":     {names.Config{Key: "@message-id"}, "no JSON", nil, "ID"},
		"unnamed run":    {names.Config{Unnamed: names.UnnamedRun}, "no JSON", nil, "ID"},
		"envelope": {
			names.Config{Unwrap: "sns"}, `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-central-1:1:t","Message":"{\"name\":\"in\"}"}`, nil, "in",
		},
		"no name": {names.Config{}, "no JSON", nil, ""},
		"no work": {names.Config{Ignore: "Event == 's3:TestEvent'"}, `{"Event":"s3:TestEvent"}`, nil, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", tc.naming)
				b.movedBySQS(tc.body, tc.own)
				l := b.list(Query{}, 10, "").Letters[0]
				want := tc.name
				if want == "ID" {
					want = l.ID
				}
				if l.Name != want || l.Reason != MovedBySQS || (l.Unnamed == "") != (want != "") || l.OriginalID != l.ID {
					t.Errorf("letter is %+v", l)
				}
			})
		})
	}
}

// A pointer to S3 has a name where the message itself says it. Otherwise the listing says
// where the payload is, and how its name is found.
func testListPointers(t *testing.T) {
	const pointer = `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]`
	quoted := strconv.Quote(pointer)
	for what, tc := range map[string]struct {
		naming names.Config
		body   string
		own    map[string]string
		name   string // empty: none
	}{
		"pointer":              {names.Config{Key: "id"}, pointer, nil, ""},
		"not work":             {names.Config{Key: "id", Unnamed: names.UnnamedIgnore}, pointer, nil, ""},
		"in an SNS envelope":   {names.Config{Key: "id", Unwrap: "sns"}, `{"Type":"Notification","TopicArn":"arn:aws:sns:eu-central-1:1:t","Message":` + quoted + `}`, nil, ""},
		"named by attribute":   {names.Config{Key: "@attribute:order"}, pointer, map[string]string{"order": "o-1"}, "o-1"},
		"named by a worker":    {names.Config{Key: "id"}, pointer, map[string]string{names.NameAttribute: "o-1"}, "o-1"},
		"its id as name":       {names.Config{Key: "id", Unnamed: names.UnnamedRun}, pointer, nil, ""},
		"named by its id":      {names.Config{Key: "@message-id"}, pointer, nil, "ID"},
		"named by the pointer": {names.Config{Key: "[1].s3Key"}, pointer, nil, "k"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", tc.naming)
				b.movedBySQS(tc.body, tc.own)
				l := b.list(Query{}, 10, "").Letters[0]
				told := strings.Contains(l.Unnamed, "its payload s3://b/k is in S3") && strings.Contains(l.Unnamed, "worker try --s3-payloads")
				if want := strings.ReplaceAll(tc.name, "ID", l.ID); l.Name != want || told != (want == "") || strings.Contains(l.Unnamed, "fetch it") {
					t.Errorf("letter is %+v", l)
				}
			})
		})
	}
}

func testListPacked(t *testing.T) {
	b := newBench(t, "orders", names.Config{Key: "@message-id"})
	for reason, want := range map[string]Letter{
		"rejected (name: a b; original-id: 12-ab; attempts: 5; error: no (really); sorry)": {Name: "a b", OriginalID: "12-ab", Attempts: 5, Error: "no (really); sorry"},
		"rejected (original-id: 12-ab; attempts: 5; error: no)":                            {Name: "12-ab", OriginalID: "12-ab", Attempts: 5, Error: "no"},
		"rejected (attempts: 5)": {Attempts: 5},
		"rejected (error: no)":   {Error: "no"},
		"rejected (by hand)":     {Reason: "rejected (by hand)"},
		"in progress elsewhere (name: a; original-id: 1; attempts": {Reason: "in progress elsewhere", Name: "a", OriginalID: "1"},
	} {
		l := letterOf(types.Message{
			MessageId: aws.String("id"), Body: aws.String("x"),
			MessageAttributes: map[string]types.MessageAttributeValue{consumer.AttrReason: {DataType: aws.String("String"), StringValue: &reason}},
		}, b.cfg.Keys)
		if want.Reason == "" {
			want.Reason = "rejected"
		}
		if want.OriginalID == "" {
			want.OriginalID = "id"
		}
		if want.Name == "" {
			want.Name = want.OriginalID
		}
		if l.Reason != want.Reason || l.Name != want.Name || l.OriginalID != want.OriginalID || l.Attempts != want.Attempts || l.Error != want.Error {
			t.Errorf("%q is read as %+v", reason, l)
		}
	}
}

func testListQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		id := b.copied("order-1", "rejected")
		b.copied("order-2", "mismatch")
		b.copied("parcel", "mismatch")
		b.movedBySQS(body("moved"), nil)
		for want, q := range map[string]Query{
			"order-1": {Name: "order-1"}, "order-1 order-2": {Prefix: "order-"}, "order-2 parcel": {Reason: "mismatch"}, "moved": {Reason: MovedBySQS},
			"order-1 ": {Which: id}, "order-1  ": {Which: id[:8]}, "order-2": {Which: "original of order-2"}, "": {Name: "order"}, " ": {Which: id[:7]},
		} {
			page := b.list(q, 10, "")
			var got []string
			for _, l := range page.Letters {
				got = append(got, l.Name)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != strings.TrimSpace(want) || page.Looked != 4 {
				t.Errorf("%+v finds %q", q, got)
			}
		}
	})
}

func testListUnknownSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		for i := range 30 {
			b.copied("order-"+strconv.Itoa(i), "rejected")
			time.Sleep(time.Millisecond)
		}
		first := b.list(Query{}, 10, "")
		other, err := New(b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		second, err := other.List(t.Context(), Query{}, 10, first.Next)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * snapshotAge)
		third := b.list(Query{}, 10, second.Next)
		var got []string
		for _, page := range []Page{first, second, third} {
			for _, l := range page.Letters {
				got = append(got, strings.TrimPrefix(l.Name, "order-"))
			}
		}
		for i, n := range got {
			if n != strconv.Itoa(29-i) {
				t.Fatalf("the pages list %q", got)
			}
		}
		if len(got) != 30 || third.Next != "" {
			t.Errorf("the pages list %d letters, then %q", len(got), third.Next)
		}
	})
}

func testListBadCursor(t *testing.T) {
	b := newBench(t, "orders", names.Config{})
	for _, after := range []string{"x", "x.y.z", "x.1.", "x.1"} {
		if _, err := b.List(t.Context(), Query{}, 10, after); err == nil || !strings.Contains(err.Error(), strconv.Quote(after)) {
			t.Errorf("%q: %v", after, err)
		}
	}
}

func testListGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders.fifo", names.Config{Key: "@message-id"})
		for i := range 15 {
			b.put(b.dead, "one group", map[string]string{consumer.AttrReason: "rejected", attr.OriginalID: strconv.Itoa(i)})
		}
		if page := b.list(Query{}, 100, ""); page.Found != batchSize || page.Complete {
			t.Errorf("%d are found, complete %t: the others stand behind them", page.Found, page.Complete)
		}
	})
}
