package sqsonce_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/powertools"
	"github.com/sqsonce/sqsonce/sqstest"
)

func TestEarlier(t *testing.T) {
	t.Run("completed is answered", testEarlierCompleted)
	t.Run("in progress is waited for", testEarlierInProgress)
	t.Run("retry asks no more", testEarlierIsAskedOnce)
	t.Run("outage holds", testEarlierOutage)
	t.Run("one table and two", testEarlierTables)
}

// earlierKey is Powertools' key of order-17 in Python.
const earlierKey = "orders.app.handle#307f2c7570f91850a9ad3456ef9ad74f"

// powertoolsTable is a table of Powertools in memory.
type powertoolsTable struct {
	mu    sync.Mutex
	item  map[string]types.AttributeValue // guarded by mu
	err   error                           // guarded by mu
	reads int                             // guarded by mu
}

func (p *powertoolsTable) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	if key, ok := in.Key["id"].(*types.AttributeValueMemberS); p.err != nil || !ok || key.Value != earlierKey {
		return &dynamodb.GetItemOutput{}, p.err
	}
	return &dynamodb.GetItemOutput{Item: p.item}, nil
}

func (p *powertoolsTable) set(item map[string]types.AttributeValue, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.item, p.err = item, err
}

func powertoolsItem(status string, expires, inProgress time.Time, data string) map[string]types.AttributeValue {
	it := map[string]types.AttributeValue{
		"id": &types.AttributeValueMemberS{Value: earlierKey}, "status": &types.AttributeValueMemberS{Value: status},
		"expiration":             &types.AttributeValueMemberN{Value: strconv.FormatInt(expires.Unix(), 10)},
		"in_progress_expiration": &types.AttributeValueMemberN{Value: strconv.FormatInt(inProgress.UnixMilli(), 10)},
	}
	if data != "" {
		it["data"] = &types.AttributeValueMemberS{Value: data}
	}
	return it
}

// moved is a worker on a queue that a function with Powertools had before.
type moved struct {
	t      *testing.T
	queues *sqs.Client
	url    string
	old    *powertoolsTable
	store  *memstore.Store
	work   func() (map[string]int, error)

	mu   sync.Mutex
	runs int // guarded by mu
}

func move(t *testing.T, test func(t *testing.T, m *moved)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.Start(t)
		m := &moved{t: t, queues: server.Client(), url: server.Queue(t, "orders", nil), old: &powertoolsTable{}, store: memstore.New()}
		m.work = func() (map[string]int, error) { return map[string]int{"charged": 1}, nil }
		before, err := powertools.New(m.old, powertools.Config{
			Table: "old", Language: powertools.Python, Prefix: "orders.app.handle", Key: "powertools_json(body).name",
		})
		if err != nil {
			t.Fatal(err)
		}
		quiet := slog.New(slog.DiscardHandler)
		w, err := sqsonce.New(aws.Config{}, sqsonce.Config{
			QueueURL: m.url, Queue: m.queues, Store: m.store, Earlier: before,
			Guard: dedupe.Config{Logger: quiet, CacheAge: -1}, Pool: consumer.Config{Logger: quiet},
		}, func(context.Context, sqsonce.Message) (map[string]int, error) {
			m.mu.Lock()
			m.runs++
			m.mu.Unlock()
			return m.work()
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		test(t, m)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (m *moved) send() {
	m.t.Helper()
	if _, err := m.queues.SendMessage(m.t.Context(), &sqs.SendMessageInput{QueueUrl: &m.url, MessageBody: aws.String(`{"name":"order-17"}`)}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *moved) want(status protocol.Status, result string, attempts, runs, reads int) {
	m.t.Helper()
	r, err := m.store.Get(m.t.Context(), "orders#order-17")
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	ran := m.runs
	m.mu.Unlock()
	m.old.mu.Lock()
	read := m.old.reads
	m.old.mu.Unlock()
	if r.Status != status || string(r.Result) != result || r.Attempts != attempts || ran != runs || read != reads {
		m.t.Errorf("record %s with %s and %d attempts, %d runs, %d reads; want %s with %s and %d, %d, %d",
			r.Status, r.Result, r.Attempts, ran, read, status, result, attempts, runs, reads)
	}
}

func testEarlierCompleted(t *testing.T) {
	for data, want := range map[string]string{`{"charged": 30}`: `{"charged":30}`, `"another form"`: "null"} {
		move(t, func(t *testing.T, m *moved) {
			m.old.set(powertoolsItem("COMPLETED", time.Now().Add(time.Hour), time.Now(), data), nil)
			m.send()
			time.Sleep(time.Second)
			m.want(protocol.Completed, want, 1, 0, 1)
			m.old.set(nil, nil) // its record has expired; ours answers, without another read
			m.send()
			time.Sleep(time.Second)
			m.want(protocol.Completed, want, 1, 0, 1)
		})
	}
}

func testEarlierInProgress(t *testing.T) {
	for name, completes := range map[string]bool{"completes": true, "times out": false} {
		t.Run(name, func(t *testing.T) {
			move(t, func(t *testing.T, m *moved) {
				m.old.set(powertoolsItem("INPROGRESS", time.Now().Add(time.Hour), time.Now().Add(20*time.Second), ""), nil)
				m.send()
				time.Sleep(14 * time.Second)
				m.want(protocol.Retrying, "", 0, 0, 1) // looked at, not counted
				if completes {
					m.old.set(powertoolsItem("COMPLETED", time.Now().Add(time.Hour), time.Now(), `{"charged": 30}`), nil)
					time.Sleep(2 * time.Second)
					m.want(protocol.Completed, `{"charged":30}`, 1, 0, 2)
					return
				}
				time.Sleep(5 * time.Second)
				m.want(protocol.Retrying, "", 0, 0, 2)
				time.Sleep(2 * time.Second)
				m.want(protocol.Completed, `{"charged":1}`, 1, 1, 3)
			})
		})
	}
}

func testEarlierIsAskedOnce(t *testing.T) {
	move(t, func(t *testing.T, m *moved) {
		fails := true
		m.work = func() (map[string]int, error) {
			if fails {
				fails = false
				return nil, errors.New("not now")
			}
			return map[string]int{"charged": 2}, nil
		}
		m.send()
		time.Sleep(time.Minute)
		m.want(protocol.Completed, `{"charged":2}`, 2, 2, 1)
	})
}

func testEarlierOutage(t *testing.T) {
	move(t, func(t *testing.T, m *moved) {
		m.old.set(nil, errors.New("connection refused"))
		m.send()
		time.Sleep(time.Minute)
		r, err := m.store.Get(t.Context(), "orders#order-17")
		if err != nil || r.Status != protocol.Retrying || r.Attempts != 0 || m.runs != 0 {
			t.Errorf("record %s with %d attempts, %d runs, %v", r.Status, r.Attempts, m.runs, err)
		}
		m.old.set(powertoolsItem("COMPLETED", time.Now().Add(time.Hour), time.Now(), `{"charged": 30}`), nil)
		time.Sleep(2 * time.Minute)
		if r, err = m.store.Get(t.Context(), "orders#order-17"); err != nil || string(r.Result) != `{"charged":30}` {
			t.Errorf("record %s with %s, %v", r.Status, r.Result, err)
		}
	})
}

// The records of both stand in one table, which has its time to live on Powertools' attribute, or
// in one each.
func testEarlierTables(t *testing.T) {
	client := emulators.DynamoDBClient(t)
	for name, separate := range map[string]bool{"one": false, "two": true} {
		t.Run(name, func(t *testing.T) {
			ours := dynamo.Config{Table: "moved-" + rand.Text(), TTLAttribute: "expiration"}
			old := ours
			if separate {
				old.Table = "powertools-" + rand.Text()
				if err := old.CreateTable(t.Context(), client); err != nil {
					t.Fatal(err)
				}
			}
			if err := ours.CreateTable(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			item := powertoolsItem("COMPLETED", time.Now().Add(time.Hour), time.Now(), `{"charged": 30}`)
			if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &old.Table, Item: item}); err != nil {
				t.Fatal(err)
			}
			before, err := powertools.New(client, powertools.Config{
				Table: old.Table, Language: powertools.Python, Prefix: "orders.app.handle", Key: "powertools_json(body).name",
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := before.Check(t.Context()); err != nil {
				t.Error(err)
			}
			store, err := dynamo.New(client, ours)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			guard, err := dedupe.New[map[string]int](store, dedupe.Config{Scope: "orders"})
			if err != nil {
				t.Fatal(err)
			}
			namer := sqsonce.Naming{Namer: extractor(t), Earlier: before}
			handle := sqsonce.HandlerBy(guard, namer, func(context.Context, sqsonce.Message) (map[string]int, error) {
				t.Error("run again")
				return nil, nil
			})
			if err := handle(t.Context(), sqsonce.Message{ID: "m1", Body: `{"name":"order-17"}`, ReceiveCount: 1}); err != nil {
				t.Error(err)
			}
			r, err := store.Get(t.Context(), "orders#order-17")
			if err != nil || r.Status != protocol.Completed || string(r.Result) != `{"charged":30}` {
				t.Errorf("record %s with %s, %v", r.Status, r.Result, err)
			}
		})
	}
}

func extractor(t *testing.T) *names.Extractor {
	t.Helper()
	x, err := names.New(names.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}
