package names_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/names"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestExpression(t *testing.T) {
	const sns = `{"Type":"Notification","Message":"{\"order_id\":820982911946154508,\"at\":1.50}"}`
	for name, tc := range map[string]struct{ key, body, want string }{
		"json in a string":         {"powertools_json(Message).order_id", sns, "820982911946154508"},
		"json by its other name":   {"from_json(Message).at", sns, "1.5"},
		"base64":                   {"powertools_json(powertools_base64(data)).id", `{"data":"eyJpZCI6Im8tMSJ9"}`, "o-1"},
		"base64 gzip":              {"powertools_json(powertools_base64_gzip(data)).id", `{"data":"` + zipped(t, `{"id":17}`) + `"}`, "17"},
		"lower case":               {"lower(email)", `{"email":"Ä@Example.com"}`, "ä@example.com"},
		"composed":                 {"nfc(city)", `{"city":"Ko\u0308ln"}`, "Köln"},
		"join":                     {"join('/', [tenant, to_string(id)])", `{"tenant":"a","id":9007199254740993}`, "a/9007199254740993"},
		"to_string of 17.0":        {"to_string(id)", `{"id":17.0}`, "17"},
		"first match":              {"items[?kind == 'order'].id | [0]", `{"items":[{"kind":"x","id":1},{"kind":"order","id":2}]}`, "2"},
		"first match by number":    {"items[?status == `200`].id | [0]", `{"items":[{"status":100,"id":"a"},{"status":2e2,"id":"b"}]}`, "b"},
		"exact id beside":          {"items[?status == `200`].id | [0]", `{"items":[{"status":200,"id":820982911946154508}]}`, "820982911946154508"},
		"prices compare":           {"items[?price > `0.05`].id | [0]", `{"items":[{"price":0.01,"id":"a"},{"price":0.1,"id":"b"}]}`, "b"},
		"first that is there":      {"order_id || id", `{"id":17}`, "17"},
		"projection":               {"records[*].id", `{"records":[{"id":1},{"id":"b"}]}`, `["1","b"]`},
		"values in order of keys":  {"parts.*", `{"parts":{"b":"2","a":"1","d":"4","c":"3"}}`, `["1","2","3","4"]`},
		"keys in order":            {"keys(parts)", `{"parts":{"b":2,"a":1,"d":4,"c":3}}`, `["a","b","c","d"]`},
		"slice of a text":          {"id[0:3]", `{"id":"order-17"}`, "ord"},
		"arithmetic":               {"a + b", `{"a":1,"b":2.5}`, "3.5"},
		"length":                   {"length(items)", `{"items":[1,2]}`, "2"},
		"repeated key not asked":   {"lower(name)", `{"type":1,"name":"X","type":2}`, "x"},
		"inner repeated not asked": {"from_json(m).id", `{"m":"{\"id\":1,\"x\":1,\"x\":2}"}`, "1"},
		"let":                      {"let $t = tenant in join('-', [$t, id])", `{"tenant":"a","id":"1"}`, "a-1"},
	} {
		t.Run(name, func(t *testing.T) {
			x := extractor(t, names.Config{Key: tc.key})
			for range 20 { // the result does not depend on the order of a map
				named, err := x.Extract(names.Message{Body: tc.body})
				if err != nil || named.Name != tc.want {
					t.Fatalf("%q, %v, want %q", named.Name, err, tc.want)
				}
			}
		})
	}
}

func TestExpressionErrors(t *testing.T) {
	const big = "12345678901234567891"
	for name, tc := range map[string]struct{ key, body, field, text string }{
		"compared with too many digits": {"items[?n == `2`].id | [0]", `{"items":[{"n":` + big + `,"id":"a"}]}`, "", ""},
		"equal but for the last digit":  {"to_string(a == b)", `{"a":` + big + `,"b":12345678901234567890}`, "to_string(a == b)", "more digits"},
		"sorted":                        {"sort(ids)[0]", `{"ids":[` + big + `,2]}`, "sort(ids)[0]", "more digits"},
		"calculated":                    {"a + `1`", `{"a":` + big + `}`, "a + `1`", "more digits"},
		"compared in a string":          {"to_string(from_json(m).a == from_json(m).b)", `{"m":"{\"a\":` + big + `,\"b\":12345678901234567890}"}`, "to_string(from_json(m).a == from_json(m).b)", "more digits"},
		"repeated on the way":           {"lower(name)", `{"name":"x","name":"y"}`, "body", `key "name" is repeated`},
		"repeated among all":            {"parts.*", `{"parts":{"a":"1","a":"2"}}`, "body", `key "a" is repeated`},
		"repeated in a string":          {"from_json(m).id", `{"m":"{\"id\":1,\"id\":2}"}`, "body", `key "id" is repeated`},
		"half of a pair":                {"lower(name)", `{"name":"\ud800"}`, "lower(name)", "surrogate"},
		"no json in the string":         {"from_json(m).id", `{"m":"hello"}`, "from_json(m).id", "not JSON"},
		"no string":                     {"from_json(m).id", `{"m":{}}`, "from_json(m).id", "invalid type"},
		"nothing there":                 {"items[?id == 'x'].id | [0]", `{"items":[]}`, "items[?id == 'x'].id | [0]", "is missing"},
		"empty list":                    {"items[*].id", `{"items":[]}`, "items[*].id", "is an empty list"},
		"an object among them":          {"items[*].id", `{"items":[{"id":"a"},{"id":{}}]}`, "items[*].id", "member 1 is an object"},
		"a list among them":             {"items[*].id", `{"items":[{"id":["a"]}]}`, "items[*].id", "member 0 is a list"},
		"division by zero":              {"a / b", `{"a":1,"b":0}`, "a / b", "not a finite number"},
		"a bomb":                        {"powertools_base64_gzip(d)", `{"d":"` + zipped(t, strings.Repeat("x", 17<<20)) + `"}`, "powertools_base64_gzip(d)", "unpacks to more than"},
	} {
		t.Run(name, func(t *testing.T) {
			named, err := extractor(t, names.Config{Key: tc.key}).Extract(names.Message{Body: tc.body})
			if tc.field == "" { // digits that do not matter
				if _, ok := errors.AsType[*names.FieldError](err); !ok || strings.Contains(err.Error(), "digits") {
					t.Errorf("%q, %v", named.Name, err)
				}
				return
			}
			bad, ok := errors.AsType[*names.FieldError](err)
			if !ok || bad.Field != tc.field || !strings.Contains(bad.Problem, tc.text) {
				t.Errorf("%q, %v, want %s: %s", named.Name, err, tc.field, tc.text)
			}
		})
	}
}

func TestExpressionCases(t *testing.T) {
	t.Run("keys refused at the start", testKeysRefusedAtTheStart)
}

func testKeysRefusedAtTheStart(t *testing.T) {
	for key, want := range map[string]string{
		"a[":                              "not a JMESPath",
		"'name'":                          "names every message alike",
		"`17`":                            "names every message alike",
		"`true`":                          "names every message alike",
		"a == b":                          "can never name",
		"!a":                              "can never name",
		"{a: b}":                          "can never name",
		"contains(a, 'b')":                "can never name",
		"merge(a, b)":                     "can never name",
		"a && contains(b, 'c')":           "can never name",
		"[a, b == c]":                     "can never name",
		"[a, [b]]":                        "can never name",
		"a | {b: c}":                      "can never name",
		"items(@)":                        "can never name",
		"nosuch(a)":                       "nosuch() is not a function",
		"lower()":                         "lower() with 0 arguments",
		"lower(a, b)":                     "lower() with 2 arguments",
		"a[?b == `12345678901234567891`]": "12345678901234567891",
		"a[?b == `1e400`]":                "1e400",
		"@attribute:":                     "the attribute's name is missing",
	} {
		if _, err := names.New(names.Config{Key: key}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, want %s", key, err, want)
		}
	}
	for _, key := range []string{"a || b", "a[?b == `0.1`].c | [0]", "max_by(a, &b).c", "a == b && c", "'x' && a", "a[?b == `\"x\\`y\"`].c"} {
		if _, err := names.New(names.Config{Key: key}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := names.New(names.Config{LongNames: "cut"}); err == nil || !strings.Contains(err.Error(), `long names "cut"`) {
		t.Error(err)
	}
}

func FuzzExpression(f *testing.F) {
	f.Add(`{"a":[{"b":12345678901234567891}]}`, "a[?b > `1`].b | [0]")
	f.Add(`{"a":"{\"b\":1}"}`, "from_json(a).b")
	f.Add(`{"a":{"x":1,"x":2}}`, "a.*")
	f.Add(`{"a":"\ud800"}`, "lower(a)")
	f.Fuzz(func(t *testing.T, body, expression string) {
		if strings.Contains(expression, "pad_") {
			return // the expression may ask for any width, and as much memory
		}
		x, err := names.New(names.Config{Key: expression, Fingerprint: expression})
		if err != nil {
			return
		}
		a, err := x.Extract(names.Message{Body: body})
		if _, ok := errors.AsType[*names.FieldError](err); err != nil && !ok {
			t.Fatalf("%v is no FieldError", err)
		}
		b, again := x.Extract(names.Message{Body: body})
		if a.Name != b.Name || a.Fingerprint != b.Fingerprint || (err == nil) != (again == nil) {
			t.Fatalf("%+v, then %+v", a, b)
		}
		if err == nil && names.Check(a.Name) != nil {
			t.Fatalf("the bad name %q", a.Name)
		}
	})
}

// The error of an expression does not hold the message.
func TestLongError(t *testing.T) {
	keys, err := names.New(names.Config{Key: "join('', l)"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = keys.Extract(names.Message{Body: `{"l":[` + strings.Repeat("1,", 10_000) + `1]}`})
	if err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), "invalid type") {
		t.Errorf("%d bytes: %.300v", len(fmt.Sprint(err)), err)
	}
}
