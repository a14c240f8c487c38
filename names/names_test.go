package names_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/names"
)

func extractor(t testing.TB, cfg names.Config) *names.Extractor {
	t.Helper()
	x, err := names.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func attribute(name, value string) map[string]names.Attribute {
	return map[string]names.Attribute{name: names.Text(value)}
}

func TestNamesComeFromWhereTheKeySays(t *testing.T) {
	body := `{"name":"order-17","order":{"id":"o-1","lines":[{"sku":"a"},{"sku":"b \u00e9\"\\"}]},"a b":"spaced"}`
	for _, test := range []struct{ key, want string }{
		{"", "order-17"}, {"name", "order-17"}, {"order.id", "o-1"}, {"order.lines[1].sku", "b é\"\\"},
		{"order.lines[-2].sku", "a"}, {`"a b"`, "spaced"}, {"order | id", "o-1"}, {"[name, order.id][1]", "o-1"},
		{"{x: order.id}.x", "o-1"}, {"@.name", "order-17"},
		{"@message-id", "m-1"}, {"@dedup-id", "d-1"}, {"@attribute:tenant", "t-1"},
	} {
		x := extractor(t, names.Config{Key: test.key})
		named, err := x.Extract(names.Message{Body: body, ID: "m-1", DedupID: "d-1", Attributes: attribute("tenant", "t-1")})
		if got := named.Name; err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.key, got, err, test.want)
		}
	}
}

func TestTheNameAttributeWins(t *testing.T) {
	for _, body := range []string{`{"name":"other"}`, `not JSON`} {
		named, err := extractor(t, names.Config{}).Extract(names.Message{
			Body: body, Attributes: attribute(names.NameAttribute, "order-17"),
		})
		if err != nil || named.Name != "order-17" {
			t.Errorf("%s: %q, %v", body, named.Name, err)
		}
	}
}

func TestABadMessageNamesTheField(t *testing.T) {
	for _, test := range []struct {
		cfg   names.Config
		body  string
		field string
		text  string
	}{
		{names.Config{}, `{}`, "name", "is missing"},
		{names.Config{}, `{"name":null}`, "name", "is missing"},
		{names.Config{}, `{"name":17}`, "name", "is not a string"},
		{names.Config{}, `{"name":["x"]}`, "name", "is not a string"},
		{names.Config{}, `{"name":"\ud800"}`, "name", "is not a string"},
		{names.Config{}, `{"name":""}`, "name", "is empty"},
		{names.Config{}, `{"name":"a\nb"}`, "name", "control character"},
		{names.Config{}, `{"name":"` + strings.Repeat("x", 513) + `"}`, "name", "513 bytes"},
		{names.Config{}, `[1]`, "name", "is missing"},
		{names.Config{}, `hello`, "body", "not JSON"},
		{names.Config{}, ``, "body", "unexpected end"},
		{names.Config{}, `{"name":"x","a":1,"a":2}`, "body", `key "a" is there twice`},
		{names.Config{Fingerprint: names.Off}, `{"name":"x","name":"y"}`, "body", `key "name" is there twice`},
		{names.Config{Fingerprint: names.Off}, `{"name":null,"n\u0061me":"y"}`, "body", `key "name" is there twice`},
		{names.Config{Key: "a.b", Fingerprint: "c"}, `{"a":{"b":"x"},"c":1,"a":{}}`, "body", `key "a" is there twice`},
		{names.Config{Key: "[a, b][1]", Fingerprint: "c"}, `{"a":1,"b":"x","a":2}`, "body", `key "a" is there twice`},
		{names.Config{Fingerprint: "amount"}, `{"name":"x","amount":1,"amount":2}`, "body", `key "amount" is there twice`},
		{names.Config{Fingerprint: "{x: lines[0].id}"}, `{"name":"x","lines":[{"id":1,"id":2}]}`, "body", `key "id" is there twice`},
		{names.Config{Fingerprint: "order"}, `{"name":"x","order":{"id":1,"id":2}}`, "body", `key "id" is there twice`},
		{names.Config{Key: "order.id"}, `{"order":{}}`, "order.id", "is missing"},
		{names.Config{Key: "@attribute:tenant"}, `{}`, "@attribute:tenant", "no such attribute"},
		{names.Config{Key: "@dedup-id"}, `{}`, "@dedup-id", "is empty"},
		{names.Config{Key: "@message-id", Fingerprint: "a"}, `hello`, "body", "not JSON"},
	} {
		_, err := extractor(t, test.cfg).Extract(names.Message{Body: test.body, ID: "m-1"})
		bad, ok := errors.AsType[*names.FieldError](err)
		if !ok || bad.Field != test.field || !strings.Contains(bad.Problem, test.text) || !bad.Permanent() {
			t.Errorf("%s of %.40s: %v, want %s: %s", test.cfg.Key, test.body, err, test.field, test.text)
		}
	}
}

func TestABadConfigurationNamesTheFieldAndTheValue(t *testing.T) {
	for _, test := range []struct {
		cfg  names.Config
		want string
	}{
		{names.Config{Key: "a["}, `key "a["`},
		{names.Config{Key: "length(a)"}, `key "length(a)"`},
		{names.Config{Key: "@attribute:"}, `key "@attribute:"`},
		{names.Config{Fingerprint: "a[?b]"}, `fingerprint "a[?b]"`},
		{names.Config{Fingerprint: "[*].a"}, `fingerprint "[*].a"`},
	} {
		if _, err := names.New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test.cfg, err)
		}
	}
}

func fingerprint(t *testing.T, expression, body string) names.Fingerprint {
	t.Helper()
	named, err := extractor(t, names.Config{Key: "@message-id", Fingerprint: expression}).Extract(names.Message{Body: body, ID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	return named.Fingerprint
}

// alike reports whether two fingerprints were taken the same way.
func alike(a, b names.Fingerprint) bool { return a[0] != 0 && [5]byte(a[:5]) == [5]byte(b[:5]) }

func differ(a, b names.Fingerprint) bool { return alike(a, b) && a != b }

func TestFingerprintsSeeValuesAndNotTheirSpelling(t *testing.T) {
	a := fingerprint(t, "", `{"name":"x","amount":12345678901234567890}`)
	if b := fingerprint(t, "", ` { "amount":12345678901234567890.0, "name":"\u0078" } `); a != b {
		t.Error("spelling matters")
	}
	if b := fingerprint(t, "", `{"name":"x","amount":12345678901234567891}`); !differ(a, b) {
		t.Error("20-digit integers are merged")
	}
}

func TestAFingerprintOfAPartIgnoresTheRest(t *testing.T) {
	const part = "{amount: order.amount, first: lines[0]}"
	a := fingerprint(t, part, `{"order":{"amount":10},"lines":[1,2],"sent_at":1}`)
	if b := fingerprint(t, part, `{"sent_at":2,"order":{"amount":1e1},"lines":[1.0]}`); a != b {
		t.Error("the rest matters")
	}
	if b := fingerprint(t, part, `{"order":{"amount":11},"lines":[1]}`); !differ(a, b) {
		t.Error("the part does not matter")
	}
	if b := fingerprint(t, "order", `{"order":{"amount":10}}`); alike(a, b) {
		t.Error("fingerprints of different expressions are comparable")
	}
}

func TestARepeatedKeyDoesNotMatterWhereNobodyLooks(t *testing.T) {
	const part = "order.amount"
	a := fingerprint(t, part, `{"order":{"amount":10}}`)
	if b := fingerprint(t, part, `{"sent_at":1,"order":{"amount":10,"note":1,"note":2},"sent_at":2}`); a != b {
		t.Error("the rest matters")
	}
}

func TestARawBodyIsFingerprintedByItsBytes(t *testing.T) {
	a, b := fingerprint(t, "", "hello"), fingerprint(t, "", "hello ")
	if !differ(a, b) {
		t.Error("different bytes, one fingerprint")
	}
	if c := fingerprint(t, "", `"hello"`); alike(a, c) {
		t.Error("raw and JSON are comparable")
	}
}

func TestOffTakesNoFingerprint(t *testing.T) {
	if fp := fingerprint(t, "off", `{"a":1}`); fp != (names.Fingerprint{}) {
		t.Errorf("%x", fp)
	}
	if fp := fingerprint(t, "off", `not JSON`); fp != (names.Fingerprint{}) {
		t.Errorf("%x", fp)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(`{"name":"x","a":[{"b":1}]}`, "a[0].b")
	f.Add(`{}`, `{x: a, y: [b, c]}`)
	f.Add(`"x"`, "@")
	f.Fuzz(func(t *testing.T, body, expression string) {
		x, err := names.New(names.Config{Fingerprint: expression})
		if err != nil {
			return
		}
		named, err := x.Extract(names.Message{Body: body})
		if err == nil && names.Check(named.Name) != nil {
			t.Fatalf("%q gave the bad name %q", body, named.Name)
		}
		if _, ok := errors.AsType[*names.FieldError](err); err != nil && !ok {
			t.Fatalf("%q: %v is no FieldError", body, err)
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	x := extractor(b, names.Config{})
	body := `{"name":"order-17","pad":"` + strings.Repeat("x", 1024) + `"}`
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Extract(names.Message{Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}
