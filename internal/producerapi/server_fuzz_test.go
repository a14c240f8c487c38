package producerapi

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// FuzzParseMessage requires that accepted messages can be sent and named, and that errors name the
// bad field.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []struct{ body, key, parent, group string }{
		{`{"name":"a"}`, "", "", ""},
		{` {"n":1.50,"name":"ü"}`, `"ü"`, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "g"},
		{`{"name":"a","name":"b"}`, "a", "", ""},
		{`{"name":"\ud83d\ude00"}`, "", "", ""},
		{`{"name":"\ud800"}`, "", "", ""},
		{"{\"name\":\"a\xff\"}", "", "", ""},
		{"{\"name\":\"\uffff\"}", "", "", ""},
		{`{"name":null}`, `"a\"b"`, "", ""},
		{`[]`, "a", "", ""}, {`{`, "", "", ""}, {``, "", "", ""}, {`"name"`, "name", "", ""},
		{strings.Repeat("[", 600), "a", "", ""},
	} {
		f.Add(seed.body, seed.key, seed.parent, seed.group)
	}
	keys, err := names.New(names.Config{})
	if err != nil {
		f.Fatal(err)
	}
	server := sqstest.New(sqstest.Config{})
	client := sqs.NewFromConfig(server.AWSConfig())
	queueURL, _, err := awsenv.CreateQueue(f.Context(), client, "orders.fifo")
	if err != nil {
		f.Fatal(err)
	}
	api, err := New(Config{SQS: client, QueueURL: queueURL, Records: memstore.New(), Scope: scope, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body, key, parent, group string) {
		r := request(http.MethodPost, "/", body, "X-Sqsonce-Dedup", rand.Text())
		r.Header.Set("Content-Type", "application/json")
		for name, value := range map[string]string{headerKey: key, "Traceparent": parent, "X-Sqsonce-Group": group} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := reply{httptest.NewRecorder(), t}
		api.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			if p := decode[problem](w); p.Field == "" || p.Status < 400 || p.Status > 499 {
				t.Fatalf("refused with %+v", p)
			}
			return
		}
		sent := decode[queued](w)
		got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queueURL, MessageAttributeNames: []string{"All"}})
		if err != nil || len(got.Messages) != 1 {
			t.Fatalf("received %+v, %v", got, err)
		}
		m := got.Messages[0]
		attributes := map[string]names.Attribute{names.NameAttribute: names.Text(aws.ToString(m.MessageAttributes[names.NameAttribute].StringValue))}
		found, err := keys.Extract(names.Message{Body: *m.Body, Attributes: attributes})
		if err != nil || found.Name != sent.Name || protocol.CheckName(found.Name) != nil || *m.Body != body {
			t.Fatalf("a worker finds %q, %v, where %q was sent as %q", found.Name, err, body, sent.Name)
		}
		if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queueURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzIdempotencyKey requires that quoting preserves every name.
func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"", "a", `a"b\c`, `"`, `\`, `"a"`, " a ", "ü"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		got, given, err := idempotencyKey(http.Header{headerKey: {quoted}})
		if name == "" {
			if err == nil {
				t.Fatal("an empty key was taken")
			}
			return
		}
		if err != nil || !given || got != name {
			t.Fatalf("%q came back as %q, %v", name, got, err)
		}
		_, _, _ = idempotencyKey(http.Header{headerKey: {name}}) // must not panic
		preferredWait(name)
		_, _ = trace(name)
	})
}

// FuzzSplit requires that the messages of a batch are parts of it, in order.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`[]`, `[{"name":"a"}, 1 ,"x"]`, `[`, `[1]]`, "{}\n{}\r\n\n", "\v", "0\n\r  ", `[[],{"a":[1]}]`} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, lines bool) {
		bodies, err := split(body, lines)
		if err != nil {
			return
		}
		rest := body
		for _, one := range bodies {
			_, after, found := strings.Cut(rest, one)
			if !found || strings.Trim(one, " \t\r\n") == "" {
				t.Fatalf("%q is not in %q", one, rest)
			}
			rest = after
		}
		if strings.Trim(rest, " \t\r\n]") != "" {
			t.Fatalf("%q is left of %q", rest, body)
		}
	})
}

func BenchmarkParseMessage(b *testing.B) {
	keys, err := names.New(names.Config{})
	if err != nil {
		b.Fatal(err)
	}
	body := `{"name":"order-17","items":[` + strings.Repeat(`{"sku":"abc","n":1.5},`, 40) + `{}]}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseMessage(keys, settings{}, body); err != nil {
			b.Fatal(err)
		}
	}
}
