package producerapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/names"
	"github.com/sqsonce/sqsonce/sqstest"
)

// FuzzParseMessage demands that what is let through can be sent and named, and
// that what is not says which field is wrong.
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
	api := &API{cfg: Config{SQS: client, QueueURL: queueURL}}
	f.Fuzz(func(t *testing.T, body, key, parent, group string) {
		h := http.Header{}
		for name, value := range map[string]string{headerKey: key, "Traceparent": parent, headerGroup: group} {
			if value != "" {
				h.Set(name, value)
			}
		}
		s, err := parseSettings(h, true)
		var m message
		if err == nil {
			m, err = parseMessage(keys, s, body)
		}
		if err != nil {
			p, ok := errors.AsType[*problem](err)
			if !ok || p.Field == "" || p.Status < 400 || p.Status > 499 {
				t.Fatalf("refused with %+v", err)
			}
			return
		}
		if m.body != body || dedupe.CheckName(m.name) != nil {
			t.Fatalf("let through %+v", m)
		}
		named, err := keys.Extract(names.Message{Body: m.body, Attributes: map[string]names.Attribute{names.NameAttribute: names.Text(m.name)}})
		if err != nil || named.Name != m.name || dedupe.Fingerprint(named.Fingerprint) != m.fingerprint {
			t.Fatalf("a worker finds %q, %v, where it was sent as %q", named.Name, err, m.name)
		}
		answers := api.sendBatch([]outgoing{{ctx: t.Context(), entry: api.entry(m, 0), size: m.size()}})
		if answers[0].Err != nil {
			t.Fatalf("let through what the queue refuses: %v", answers[0].Err)
		}
	})
}

// FuzzIdempotencyKey demands that every name survives being quoted.
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
		preferredWait(http.Header{"Prefer": {name}})
		_, _ = trace(http.Header{"Traceparent": {name}})
	})
}

// FuzzSplit demands that the messages of a batch are pieces of it, in order.
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
