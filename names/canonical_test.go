package names_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/names"
)

func canonical(t testing.TB, src string) string {
	t.Helper()
	form, err := names.Canonical(nil, []byte(src))
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return string(form)
}

func TestCanonical(t *testing.T) {
	t.Run("equal documents have one form", testEqualDocumentsHaveOneForm)
	t.Run("different documents have different forms", testDifferentDocumentsHaveDifferentForms)
	t.Run("form is JSON of the same value", testTheFormIsJSONOfTheSameValue)
	t.Run("invalid JSON is refused with its place", testInvalidJSONIsRefusedWithItsPlace)
}

func testEqualDocumentsHaveOneForm(t *testing.T) {
	for _, same := range [][]string{
		{`{"a":1,"b":[true,null]}`, "{ \"b\" : [ true , null ],\t\"a\"\n: 1 }", `{"\u0061":1,"b":[true,null]}`},
		{`1`, `1.0`, `1e0`, `10e-1`, `0.1e1`, `100E-2`, `1.000`, `0.01e+2`},
		{`0`, `-0`, `0.0`, `-0.000`, `0e99`},
		{`-1500`, `-15e2`, `-1.5E+3`, `-1500.00`},
		{`0.001`, `1e-3`, `0.1e-2`, `1000e-6`},
		{`12345678901234567890`, `1234567890123456789e1`, `12345678901234567890.0`},
		{`"é\n/"`, `"\u00e9\u000a\/"`, `"\u00E9\u000A/"`},
		{`"😀"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`},
		{`"\ud800"`, `"\uD800"`},
		{`[]`, ` [ ] `},
		{`{}`, "{\n}"},
		{`{"":{"x":[[]]}}`, `{"" : {"x":[ [ ] ]}}`},
	} {
		want := canonical(t, same[0])
		for _, src := range same[1:] {
			if got := canonical(t, src); got != want {
				t.Errorf("%s: %s, want %s as of %s", src, got, want, same[0])
			}
		}
	}
}

func testDifferentDocumentsHaveDifferentForms(t *testing.T) {
	seen := map[string]string{}
	for _, src := range []string{
		`12345678901234567890`, `12345678901234567891`, `1`, `-1`, `"1"`, `10`, `100`, `0.1`, `0`, `null`, `false`, `true`,
		`0.1000000000000000055511151231257827021181583404541015625`, `1e400`, `1e401`, `-1e400`, `""`, `" "`, `"a"`, `"A"`,
		`[]`, `{}`, `[[]]`, `[1,2]`, `[2,1]`, `[12]`, `{"a":1}`, `{"a":2}`, `{"b":1}`, `"\ud800"`, `"\udc00"`, `"\\ud800"`, `"\u0000"`,
	} {
		form := canonical(t, src)
		if other, clash := seen[form]; clash {
			t.Errorf("%s and %s have one form %s", src, other, form)
		}
		seen[form] = src
	}
}

func testTheFormIsJSONOfTheSameValue(t *testing.T) {
	src := `{"z":[1.50,{"k\"":"\u001f\\"}],"a":-0.000120,"é":"\u2028","e":12e3}`
	var want, got any
	if err := json.Unmarshal([]byte(src), &want); err != nil {
		t.Fatal(err)
	}
	form := canonical(t, src)
	if err := json.Unmarshal([]byte(form), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s reads as %v, %v", form, got, err)
	}
}

func testInvalidJSONIsRefusedWithItsPlace(t *testing.T) {
	for src, want := range map[string]string{
		``: "unexpected end", ` `: "unexpected end", `{`: "unexpected end", `[1,`: "unexpected end", `"a`: "unexpected end",
		`"a\`: "unexpected end", `"\u12`: "incomplete escape", `"\u12g4"`: "bad escape", `"\x"`: "unknown escape",
		`{"a":1,"a":2}`: `key "a" is repeated`, `{"a":1,"\u0061":2}`: `key "a" is repeated`,
		`{a:1}`: "no key", `{"a" 1}`: "no colon", `{"a":1 "b":2}`: "no comma", `[1 2]`: "no comma", `[1,]`: "no value at byte 3",
		`01`: "bad number at byte 2", `-`: "unexpected end", `1.`: "unexpected end", `.5`: "no value", `1e`: "unexpected end", `+1`: "no value",
		`1e999999999999999999999`: "out of range", `tru`: "no value", `nul`: "no value", `1 2`: "text after the value", "\"\x01\"": "control character",
		"\"\xff\"": "not valid UTF-8", strings.Repeat("[", 600) + strings.Repeat("]", 600): "nested deeper than 512", `NaN`: "no value",
		"[" + strings.Repeat("1,", 2<<20) + "1]": "more than 2097152 values",
	} {
		_, err := names.Canonical(nil, []byte(src))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", src, err, want)
		}
	}
}

// exactly returns the value of a number as a ratio, which loses no digit.
func exactly(s string) (*big.Rat, bool) {
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok && len(exponent) > 5 {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":[1.0,"x\n",null]}`, `-0.10e5`, `"\ud83d\ude00\u0000"`, `[[],{},""]`, `{"a":{"a":1}}`, `1e400`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		form, err := names.Canonical(nil, []byte(src))
		if (err == nil) && !json.Valid([]byte(src)) {
			t.Fatalf("%q is not JSON and was accepted", src)
		}
		if err != nil {
			return
		}
		if !json.Valid(form) {
			t.Fatalf("%q has the form %q, which is not JSON", src, form)
		}
		if again, err := names.Canonical(nil, form); err != nil || string(again) != string(form) {
			t.Fatalf("the form of %q is %q, %v", form, again, err)
		}
		if want, ok := exactly(strings.TrimSpace(src)); ok && !strings.ContainsAny(src, "\"_/pPxXoObB") {
			if got, ok := exactly(string(form)); !ok || got.Cmp(want) != 0 {
				t.Fatalf("number %q has the form %q", src, form)
			}
		}
		var a, b any
		if json.Unmarshal([]byte(src), &a) == nil && json.Unmarshal(form, &b) == nil && !reflect.DeepEqual(a, b) {
			t.Fatalf("%q and its form %q are different values", src, form)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	var members []string
	for i := range 40 {
		members = append(members, fmt.Sprintf(`"field-%02d": {"id": %d, "tags": ["a", "b"], "price": %d.50}`, 97*i%40, i*1234567, i))
	}
	src := []byte(`{"name": "order-17", ` + strings.Join(members, ", ") + "}")
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	dst := make([]byte, 0, len(src))
	for b.Loop() {
		if _, err := names.Canonical(dst[:0], src); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(float64(len(src))/1024), "µs/KiB")
}
