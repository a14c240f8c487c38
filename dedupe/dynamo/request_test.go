package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// sentRequest records the last request and returns no answer.
type sentRequest struct {
	header http.Header
	body   []byte
}

var errNothingSent = errors.New("sent nowhere")

func (s *sentRequest) Do(r *http.Request) (*http.Response, error) {
	s.header = r.Header
	var err error
	if s.body, err = io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	return nil, errNothingSent
}

// requestOf returns the SDK's request for a batch: the JSON, and its headers.
func requestOf(t require, s *Store, writes []*write) (body []byte, header string) {
	t.Helper()
	in, options := s.batchRequest(writes)
	sent := &sentRequest{}
	cfg := emulators.Config("http://127.0.0.1:1")
	cfg.HTTPClient = sent
	_, err := dynamodb.NewFromConfig(cfg).BatchExecuteStatement(context.Background(), in, options...)
	if !errors.Is(err, errNothingSent) {
		t.Fatal(err)
	}
	return sent.body, sent.header.Get("X-Amz-Target") + " " + sent.header.Get("Content-Type")
}

type require interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// wrapped is a client other than the SDK's own.
type wrapped struct{ *dynamodb.Client }

// bothStores returns a store that encodes its batches itself, and one that leaves that to its
// client.
func bothStores(t testing.TB) (own, left *Store) {
	client := dynamodb.NewFromConfig(emulators.Config("http://127.0.0.1:1"))
	var stores []*Store
	for _, c := range []API{client, wrapped{client}} {
		s, err := New(c, Config{Table: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		stores = append(stores, s)
	}
	return stores[0], stores[1]
}

// anyText draws texts with valid and invalid UTF-8.
func anyText(t *rapid.T, what string) string {
	if rapid.Bool().Draw(t, what+" by the byte") {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, what))
	}
	return rapid.String().Draw(t, what)
}

func anyRecord(t *rapid.T) protocol.Record {
	text := func(what string) string { return anyText(t, what) }
	at := func(what string) time.Time { return fromMillis(rapid.Int64Range(0, 4e12).Draw(t, what)) }
	r := protocol.Record{
		ID: "q#" + text("id"), Name: "n" + text("name"), Format: rapid.IntRange(1, 2).Draw(t, "format"),
		Status:  protocol.Status(rapid.SampledFrom([]string{"COMPLETED", "IN_PROGRESS", "RETRYING"}).Draw(t, "status")),
		Version: protocol.Version(rapid.Int64Min(1).Draw(t, "version")), Fence: protocol.Version(rapid.Int64Range(0, 3).Draw(t, "fence")),
		LeaseUntil: at("lease"), Attempts: rapid.IntRange(0, 3).Draw(t, "attempts"), Error: text("error"), MessageID: text("message"),
		ReopenedBy: text("reopened by"), CreatedAt: at("created"), CompletedAt: at("completed"),
		ExpiresAt: fromSeconds(rapid.Int64Range(1, 4e9).Draw(t, "expires")),
		Result:    []byte(text("result")), ResultType: text("type"),
	}
	if rapid.Bool().Draw(t, "a JSON result") {
		value := rapid.MapOf(rapid.String(), rapid.OneOf(
			rapid.Just(any(nil)), rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Int64(), func(n int64) any { return n }),
			rapid.Map(rapid.SliceOf(rapid.String()), func(list []string) any { return append([]string{}, list...) }),
		)).Draw(t, "value")
		r.ResultType = ""
		r.Result, _ = json.Marshal(value)
	}
	copy(r.Owner[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "owner"))
	copy(r.Fingerprint[:], rapid.SliceOfN(rapid.Byte(), 0, 37).Draw(t, "fingerprint"))
	return r
}

func TestRequest(t *testing.T) {
	t.Run("batch is written as the SDK would write it", testABatchIsWrittenAsTheSDKWouldWriteIt)
	t.Run("batch shows its statements", testABatchShowsItsStatements)
	t.Run("full batch is one piece of memory", testAFullBatchIsOnePieceOfMemory)
}

func testABatchIsWrittenAsTheSDKWouldWriteIt(t *testing.T) {
	own, left := bothStores(t)
	rapid.Check(t, func(t *rapid.T) {
		var writes []*write
		for range rapid.IntRange(1, 4).Draw(t, "writes") {
			w, err := newWrite(protocol.Version(rapid.Int64Range(0, 2).Draw(t, "old")), anyRecord(t))
			if err != nil {
				t.Fatal(err)
			}
			writes = append(writes, w)
		}
		got, header := requestOf(t, own, writes)
		want, wantHeader := requestOf(t, left, writes)
		if !sameText(t, got, want) || header != wantHeader {
			t.Fatalf("written %s under %q\nby the SDK %s under %q", got, header, want, wantHeader)
		}
	})
}

// sameText reports whether two texts are the same JSON.
func sameText(t require, a, b []byte) bool {
	t.Helper()
	var first, second any
	for text, into := range map[*[]byte]*any{&a: &first, &b: &second} {
		if err := json.Unmarshal(*text, into); err != nil {
			t.Fatalf("%v in %q", err, *text)
		}
	}
	return reflect.DeepEqual(first, second)
}

// The input for the SDK's own client has only the statements. For any other client it is complete.
func testABatchShowsItsStatements(t *testing.T) {
	own, left := bothStores(t)
	writes := []*write{writeOf(t, 0, completedRecord()), writeOf(t, 7, completedRecord())}
	for _, s := range []*Store{own, left} {
		in, options := s.batchRequest(writes)
		for i, w := range writes {
			is := in.Statements[i]
			if *is.Statement != own.statements.of(w).text || (len(is.Parameters) == 0) != (s == own) {
				t.Errorf("statement %d is %+v, want %s", i, is, own.statements.of(w).text)
			}
		}
		if alone := len(options) == 1; alone != (s == left) {
			t.Errorf("%d options", len(options))
		}
	}
}

// A full batch of ordinary records is encoded without growing the buffer, and with little spare
// memory.
func testAFullBatchIsOnePieceOfMemory(t *testing.T) {
	own, _ := bothStores(t)
	var writes []*write
	for i := range maxStatements {
		r := completedRecord()
		old := protocol.Version(0)
		if i%2 == 0 {
			old = r.Version - 1
			r.Result = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
		}
		writes = append(writes, writeOf(t, old, r))
	}
	body := own.statements.json(writes, make([]types.BatchStatementRequest, len(writes)))
	grown := testing.AllocsPerRun(10, func() { own.statements.json(writes, make([]types.BatchStatementRequest, len(writes))) })
	t.Logf("%d bytes in %d, %v allocations", len(body), cap(body), grown)
	if grown > 2 || cap(body) > len(body)*3/2 { // the input's statements and the body
		t.Errorf("%d bytes in %d, %v allocations", len(body), cap(body), grown)
	}
}
