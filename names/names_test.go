package names_test

import (
	"errors"
	"fmt"
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

func TestNames(t *testing.T) {
	t.Run("names come from where the key says", testNamesComeFromWhereTheKeySays)
	t.Run("bad message names the field", testABadMessageNamesTheField)
	t.Run("fingerprints see values and not their spelling", testFingerprintsSeeValuesAndNotTheirSpelling)
	t.Run("fingerprint of a part ignores the rest", testAFingerprintOfAPartIgnoresTheRest)
	t.Run("repeated key does not matter outside the compared fields", testRepeatedKeyDoesNotMatterOutsideTheComparedFields)
	t.Run("raw body is fingerprinted by its bytes", testARawBodyIsFingerprintedByItsBytes)
}

func testNamesComeFromWhereTheKeySays(t *testing.T) {
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

func testABadMessageNamesTheField(t *testing.T) {
	for _, test := range []struct {
		cfg   names.Config
		body  string
		field string
		text  string
	}{
		{names.Config{}, `{}`, "name", "is missing"},
		{names.Config{}, `{"name":null}`, "name", "is missing"},
		{names.Config{}, `{"name":true}`, "name", "is a boolean (true): a name is a text, a number, or a list of these"},
		{names.Config{}, `{"name":{"id":1}}`, "name", "is an object: a name is"},
		{names.Config{}, `{"name":[]}`, "name", "is an empty list"},
		{names.Config{}, `{"name":["x",null]}`, "name", "is a list whose member 1 is missing"},
		{names.Config{}, `{"name":["x",false]}`, "name", "is a list whose member 1 is a boolean (false)"},
		{names.Config{}, `{"name":[["x"]]}`, "name", "is a list whose member 0 is a list"},
		{names.Config{}, `{"name":[{}]}`, "name", "is a list whose member 0 is an object"},
		{names.Config{Key: "[name, tenant]"}, `{"name":"x"}`, "[name, tenant]", "is a list whose member 1 is missing"},
		{names.Config{Key: "[name, @]"}, `{"name":"x"}`, "[name, @]", "is a list whose member 1 is an object"},
		{names.Config{}, `{"name":1e40}`, "name", "is a number of more than 40 digits"},
		{names.Config{}, `{"name":1e-40}`, "name", "is a number of more than 40 digits"},
		{names.Config{}, `{"name":1e999999999}`, "name", "is a number of more than 40 digits"},
		{names.Config{}, `{"name":"\ud800"}`, "name", "half of a surrogate pair"},
		{names.Config{}, `{"name":""}`, "name", "is empty"},
		{names.Config{}, `{"name":"a\nb"}`, "name", "control character"},
		{names.Config{}, `{"name":"` + strings.Repeat("x", 1025) + `"}`, "name", "1025 bytes"},
		{names.Config{}, `[1]`, "name", "is missing"},
		{names.Config{}, `hello`, "body", "not JSON"},
		{names.Config{}, ``, "body", "unexpected end"},
		{names.Config{Fingerprint: names.Off}, `{"name":"x","name":"y"}`, "body", `key "name" is repeated`},
		{names.Config{Fingerprint: names.Off}, `{"name":null,"n\u0061me":"y"}`, "body", `key "name" is repeated`},
		{names.Config{Key: "a.b", Fingerprint: "c"}, `{"a":{"b":"x"},"c":1,"a":{}}`, "body", `key "a" is repeated`},
		{names.Config{Key: "[a, b][1]", Fingerprint: "c"}, `{"a":1,"b":"x","a":2}`, "body", `key "a" is repeated`},
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

func fingerprint(t *testing.T, expression, body string) names.Fingerprint {
	t.Helper()
	named, err := extractor(t, names.Config{Key: "@message-id", Fingerprint: expression}).Extract(names.Message{Body: body, ID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	return named.Fingerprint
}

// alike reports whether two fingerprints have the same scheme and expression.
func alike(a, b names.Fingerprint) bool { return a[0] != 0 && [5]byte(a[:5]) == [5]byte(b[:5]) }

func differ(a, b names.Fingerprint) bool { return alike(a, b) && a != b }

func testFingerprintsSeeValuesAndNotTheirSpelling(t *testing.T) {
	a := fingerprint(t, "", `{"name":"x","amount":12345678901234567890}`)
	if b := fingerprint(t, "", ` { "amount":12345678901234567890.0, "name":"\u0078" } `); a != b {
		t.Error("spelling matters")
	}
	if b := fingerprint(t, "", `{"name":"x","amount":12345678901234567891}`); !differ(a, b) {
		t.Error("20-digit integers are merged")
	}
}

func testAFingerprintOfAPartIgnoresTheRest(t *testing.T) {
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

func testRepeatedKeyDoesNotMatterOutsideTheComparedFields(t *testing.T) {
	const part = "order.amount"
	a := fingerprint(t, part, `{"order":{"amount":10}}`)
	if b := fingerprint(t, part, `{"sent_at":1,"order":{"amount":10,"note":1,"note":2},"sent_at":2}`); a != b {
		t.Error("the rest matters")
	}
}

// If the compared part of a document repeats a key, the fingerprint is taken over the body's bytes.
func TestRepeatedKey(t *testing.T) {
	for expression, bodies := range map[string][2]string{
		"":                {`{"type":"A","name":"d","type":"A"}`, `{"type":"A","name":"d","type":"B"}`},
		"amount":          {`{"amount":1,"amount":2}`, `{"amount":1,"amount":3}`},
		"{x: lines[0].a}": {`{"lines":[{"a":1,"a":2}]}`, `{"lines":[{"a":1,"a":3}]}`},
		"order":           {`{"order":{"id":1,"id":2}}`, `{"order":{"id":1,"id":3}}`},
		"order.*":         {`{"order":{"id":1,"id":2}}`, `{"order":{"id":1,"id":3}}`},
	} {
		a, b := fingerprint(t, expression, bodies[0]), fingerprint(t, expression, bodies[1])
		if a[0] != 2 || !differ(a, b) || a != fingerprint(t, expression, bodies[0]) {
			t.Errorf("%q: %x and %x", expression, a, b)
		}
	}
	named, err := extractor(t, names.Config{}).Extract(names.Message{Body: `{"type":"A","name":"d","type":"A"}`})
	if err != nil || named.Name != "d" {
		t.Errorf("%q, %v", named.Name, err)
	}
}

func TestByteOrderMark(t *testing.T) {
	const body = "\ufeff{\"name\":\"b\",\"total\":1.0}"
	named, err := extractor(t, names.Config{}).Extract(names.Message{Body: body})
	if err != nil || named.Name != "b" || named.Body != body {
		t.Errorf("%+v, %v", named, err)
	}
	if a, b := fingerprint(t, "total", body), fingerprint(t, "total", body[3:]); a != b {
		t.Error("the mark is part of what is compared")
	}
	if _, err := extractor(t, names.Config{}).Extract(names.Message{Body: "\ufeff\ufeff{}"}); err == nil {
		t.Error("two marks are skipped")
	}
}

func TestNumberNames(t *testing.T) {
	for number, want := range map[string]string{
		"17": "17", "17.0": "17", "1.7e1": "17", "820982911946154508": "820982911946154508", "1.5": "1.5", "15e-1": "1.5",
		"-0.0": "0", "-3": "-3", "1700": "1700", "0.001": "0.001", "1e39": "1" + strings.Repeat("0", 39),
		"1234567890123456789012345678901234567890": "1234567890123456789012345678901234567890",
	} {
		for key, body := range map[string]string{
			"id": `{"id":` + number + `}`, "[id][0]": `{"id":` + number + `}`, "id || x": `{"id":` + number + `}`,
		} {
			named, err := extractor(t, names.Config{Key: key}).Extract(names.Message{Body: body})
			if err != nil || named.Name != want {
				t.Errorf("%s of %s: %q, %v, want %q", key, body, named.Name, err, want)
			}
		}
	}
	number, text := fingerprint(t, "id", `{"id":17}`), fingerprint(t, "id", `{"id":"17"}`)
	if !differ(number, text) {
		t.Error("the fingerprint does not tell 17 from \"17\"")
	}
}

func TestListNames(t *testing.T) {
	for _, test := range []struct{ key, body, want string }{
		{"[tenant, order.id]", `{"tenant":"a","order":{"id":17}}`, `["a","17"]`},
		{"[tenant, id]", `{"tenant":"a","id":"17"}`, `["a","17"]`},
		{"ids", `{"ids":["a","b"]}`, `["a","b"]`},
		{"ids", `{"ids":[1]}`, `["1"]`},
		{"ids", `{"ids":["a\"b\\","é\n<"]}`, `["a\"b\\","é\u000a<"]`},
		{"Records[0].s3.[bucket.name, object.key, object.eTag]", `{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k","eTag":"e"}}}]}`, `["b","k","e"]`},
	} {
		named, err := extractor(t, names.Config{Key: test.key}).Extract(names.Message{Body: test.body})
		if err != nil || named.Name != test.want {
			t.Errorf("%s of %s: %q, %v, want %q", test.key, test.body, named.Name, err, test.want)
		}
	}
}

func TestBinaryAttribute(t *testing.T) {
	for key, cfg := range map[string]names.Config{"@attribute:order": {Key: "@attribute:order"}, names.NameAttribute: {}} {
		for _, kind := range []string{"Binary", "Binary.uuid"} {
			attribute := map[string]names.Attribute{strings.TrimPrefix(key, "@attribute:"): {Type: kind, Value: "17"}}
			_, err := extractor(t, cfg).Extract(names.Message{Body: `{"name":"x"}`, Attributes: attribute})
			bad, ok := errors.AsType[*names.FieldError](err)
			if !ok || bad.Field != key || !strings.Contains(bad.Problem, "is a Binary attribute") {
				t.Errorf("%s of type %s: %v", key, kind, err)
			}
		}
	}
	for _, kind := range []string{"String", "String.Json", "Number", "Number.int", ""} {
		named, err := extractor(t, names.Config{Key: "@attribute:order"}).Extract(names.Message{
			Attributes: map[string]names.Attribute{"order": {Type: kind, Value: "17"}},
		})
		if err != nil || named.Name != "17" {
			t.Errorf("type %q: %q, %v", kind, named.Name, err)
		}
	}
}

func TestLongNames(t *testing.T) {
	fits, long := strings.Repeat("é", 512), strings.Repeat("é", 512)+"x"
	hash, refuse := extractor(t, names.Config{LongNames: names.HashLong}), extractor(t, names.Config{})
	if named, err := refuse.Extract(names.Message{Body: `{"name":"` + fits + `"}`}); err != nil || named.Name != fits {
		t.Errorf("1,024 bytes: %v", err)
	}
	named, err := hash.Extract(names.Message{Body: `{"name":"` + long + `"}`})
	if err != nil || len(named.Name) > names.MaxBytes || names.Check(named.Name) != nil {
		t.Fatalf("%q, %v", named.Name, err)
	}
	if !strings.HasPrefix(named.Name, strings.Repeat("é", 400)) || !strings.Contains(named.Name, "~sha256:") {
		t.Errorf("%q", named.Name)
	}
	if again, err := hash.Normal(long); err != nil || again != named.Name {
		t.Errorf("a look-up asks for %q, %v", again, err)
	}
	if other, _ := hash.Normal(long[:len(long)-1] + "y"); other == named.Name {
		t.Error("two names are one")
	}
	if same, err := hash.Normal(fits); err != nil || same != fits {
		t.Errorf("a name that fits is %q, %v", same, err)
	}
	if _, err := refuse.Normal(long); err == nil || !strings.Contains(err.Error(), "1025 bytes") {
		t.Error(err)
	}
}

func TestUnnamed(t *testing.T) {
	absent := []struct{ key, body string }{
		{"name", `{}`}, {"name", `{"name":null}`}, {"name", `{"name":""}`}, {"name", `hello`}, {"name", ``},
		{"[tenant, id]", `{"id":1}`}, {"lower(email)", `{}`}, {"items[*].id", `{"items":[]}`},
		{"@attribute:order", `{}`}, {"@dedup-id", `{}`},
	}
	for _, test := range absent {
		m := names.Message{ID: "m-1", Body: test.body}
		if named, err := extractor(t, names.Config{Key: test.key}).Extract(m); err == nil {
			t.Errorf("%s of %s: %+v", test.key, test.body, named)
		}
		named, err := extractor(t, names.Config{Key: test.key, Unnamed: names.UnnamedRun}).Extract(m)
		if err != nil || named.Name != "m-1" || named.Ignored != "" || named.Body != test.body {
			t.Errorf("run: %s of %s: %+v, %v", test.key, test.body, named, err)
		}
		named, err = extractor(t, names.Config{Key: test.key, Unnamed: names.UnnamedIgnore}).Extract(m)
		if err != nil || named.Name != "" || named.Ignored != names.IgnoredUnnamed {
			t.Errorf("ignore: %s of %s: %+v, %v", test.key, test.body, named, err)
		}
	}
	for _, body := range []string{`{"name":true}`, `{"name":{}}`, `{"name":"a\nb"}`, `{"name":"x","name":"y"}`, `{"name":"` + strings.Repeat("x", 1025) + `"}`} {
		for _, unnamed := range []string{names.UnnamedRun, names.UnnamedIgnore} {
			if named, err := extractor(t, names.Config{Unnamed: unnamed}).Extract(names.Message{ID: "m-1", Body: body}); err == nil {
				t.Errorf("%s: %.40s has a name that cannot be one: %+v", unnamed, body, named)
			}
		}
	}
	if _, err := extractor(t, names.Config{Unnamed: names.UnnamedRun}).Extract(names.Message{Body: `{}`}); err == nil {
		t.Error("a message without an id runs without a name")
	}
	if _, err := names.New(names.Config{Unnamed: "drop"}); err == nil || !strings.Contains(err.Error(), `unnamed "drop"`) {
		t.Error(err)
	}
}

func TestIgnore(t *testing.T) {
	for _, test := range []struct {
		expression, body string
		ignored          bool
	}{
		{"Event == 's3:TestEvent'", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, true},
		{"Event == 's3:TestEvent'", `{"name":"x"}`, false},
		{"test", `{"name":"x","test":true}`, true},
		{"test", `{"name":"x","test":{"a":1}}`, true},
		{"test", `{"name":"x","test":{}}`, false},
		{"test", `{"name":"x","test":"no"}`, true},
		{"lower(kind) == 'ping'", `{"name":"x"}`, false},                                       // errs
		{"n == `2`", `{"name":"x","n":2,"n":2}`, false},                                        // which of the two?
		{"a == b", `{"name":"x","a":12345678901234567890,"b":12345678901234567891}`, false},    // by rounding only
		{"!(a == b)", `{"name":"x","a":12345678901234567890,"b":12345678901234567891}`, false}, // the same the other way round
		{"abs(n) > `1`", `{"name":"x","n":"text"}`, false},                                     // errs
	} {
		x := extractor(t, names.Config{Ignore: test.expression})
		named, err := x.Extract(names.Message{Body: test.body})
		if ignored := named.Ignored == names.IgnoredByExpression; ignored != test.ignored || ignored && (err != nil || named.Name != "") {
			t.Errorf("%s of %s: %+v, %v", test.expression, test.body, named, err)
		}
	}
	if named, err := extractor(t, names.Config{Ignore: "@"}).Extract(names.Message{Body: "hello"}); err == nil {
		t.Errorf("what is not JSON is ignored by an expression: %+v", named)
	}
	if named, err := extractor(t, names.Config{Ignore: "Event == 's3:TestEvent'", Unwrap: "sns"}).Extract(names.Message{
		Body: `{"Type":"Notification","TopicArn":"t","Message":"{\"Event\":\"s3:TestEvent\"}"}`,
	}); err != nil || named.Ignored == "" {
		t.Errorf("in an envelope: %+v, %v", named, err)
	}
	for expression, want := range map[string]string{"a[": "not a JMESPath", "`true`": "reads no field of the message", "nosuch(a)": "not a function"} {
		if _, err := names.New(names.Config{Ignore: expression}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ignore") {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// Stored records hold fingerprints of earlier releases, so they must not change.
func TestGoldenFingerprints(t *testing.T) {
	for _, test := range []struct{ expression, body, want string }{
		{"", `{"name":"x","total":17,"lines":[{"sku":"a"},{"sku":"b"}]}`, "0100000000c9a6a4b3dd5d6bf14c0a4ebca67a3bf91407faa3146f383a5f11f4770aa8364d"},
		{"", `{"lines":[{"sku":"a"},{"sku":"b"}],"total":1.70e1,"name":"\u0078"}`, "0100000000c9a6a4b3dd5d6bf14c0a4ebca67a3bf91407faa3146f383a5f11f4770aa8364d"},
		{"", `{"name":17}`, "0100000000ec353caf30473f1cc9f6d90720b33df8e96401bc0f08086ca31c3ca930a9f0c7"},
		{"", `{"name":"17"}`, "010000000013211de653a5c92d743e881b39eb4dd6aabf7d41dcf534d53b95913ab7d48b7d"},
		{"", `{"n":12345678901234567891,"e":1e400,"z":-0.0,"f":0.1}`, "0100000000ab504adcd88e2790f17a58c4df270b602e846b60f9d6fdc919e5408529c37997"},
		{"", `hello`, "02000000002cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{"", "\ufeff{\"name\":\"x\"}", "0200000000af684b4c3a043da96e5501440ef4f8e4bd08ba4e3e796285d284431b98df261e"},
		{"", `{"lat":NaN}`, "02000000004aff500763ed2844d7a64a3cd76c209b9e6d87878c9b6e2ec58fc200ce7ad471"},
		{"", `"\ud800"`, "01000000008c0c59dd0d275aadcd462a5fe12eb352cbdfeaf961eae4f85a4660521df7d2f5"},
		{"total", `{"name":"x","total":17.0}`, "01112398724523540f1504cd17100c4835e85b7eefd49911580f8efff0599a8f283be6b9e3"},
		{"{t: total, s: lines[0].sku}", `{"name":"x","total":17,"lines":[{"sku":"a"}]}`, "01e692944027e471d9b9d0fc9dbc0752434f38215c0faf2af62b259734fb7a98a9ade9637d"},
		{"[name, missing]", `{"name":"x"}`, "014cbd0cb04ac8fed3583c2c52252e99de98bfb5a75f0249c9eb73316c02fbed05d3ce192e"},
		{"off", `{"name":"x"}`, strings.Repeat("0", 74)},
	} {
		if got := fmt.Sprintf("%x", fingerprint(t, test.expression, test.body)); got != test.want {
			t.Errorf("%s of %s: %s, want %s", test.expression, test.body, got, test.want)
		}
	}
}

// The community's interpreter and this package's evaluation of paths give the same canonical form.
func TestPathsAndInterpreterAgree(t *testing.T) {
	const body = `{"a":{"b":[1.0,"x",{"c":null,"d":12345678901234567891}]},"e":1e400,"f":0.1,"g":"é\n"}`
	for _, path := range []string{"a", "a.b", "a.b[2]", "a.b[-1].d", "{x: a, y: e}", "[f, g, a.b[0]]", "@", "nothing", "a.b | [1]"} {
		a := fingerprint(t, path, body)
		b := fingerprint(t, "not_null("+path+")", body)
		if [32]byte(a[5:]) != [32]byte(b[5:]) {
			t.Errorf("%s has two forms", path)
		}
	}
}

func testARawBodyIsFingerprintedByItsBytes(t *testing.T) {
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
