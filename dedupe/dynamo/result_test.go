package dynamo

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestDecodeResult(t *testing.T) {
	binary := &types.AttributeValueMemberB{Value: []byte{0xff}}
	for name, tc := range map[string]struct {
		stored    types.AttributeValue
		storedAs  string
		data      string
		mediaType string
	}{
		"none, of an earlier release": {nil, "", "", ""},
		"none":                        {str(""), "json", "", ""},
		"no data of a type":           {str(""), "text/plain", "", "text/plain"},
		"JSON":                        {str(`{"b":1,"a":2}`), "json", `{"b":1,"a":2}`, ""},
		"JSON that is no UTF-8":       {binary, "json", "\xff", ""},
		"text":                        {str("x"), "text/plain", "x", "text/plain"},
		"bytes":                       {binary, "image/png", "\xff", "image/png"},
		"a type called json":          {str("x"), "=json", "x", "json"},
		"a type with the sign":        {str("x"), "==x", "x", "=x"},
		// Native values, of earlier releases.
		"native null":   {&types.AttributeValueMemberNULL{Value: true}, "", "null", ""},
		"native true":   {&types.AttributeValueMemberBOOL{Value: true}, "", "true", ""},
		"native text":   {str("<é>"), "", `"<é>"`, ""},
		"native empty":  {str(""), "", `""`, ""},
		"native number": {num("12345678901234567890123456789012345678"), "", "12345678901234567890123456789012345678", ""},
		"native map": {&types.AttributeValueMemberM{Value: item{
			"b": num("1.5"), "a": &types.AttributeValueMemberL{Value: []types.AttributeValue{str("x"), num("-2")}},
		}}, "", `{"a":["x",-2],"b":1.5}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			data, mediaType, err := decodeResult(tc.stored, tc.storedAs)
			if err != nil || string(data) != tc.data || mediaType != tc.mediaType || data != nil && len(data) == 0 {
				t.Errorf("got %q of type %q, %v", data, mediaType, err)
			}
		})
	}
}

// FuzzResult stores any bytes as a result: they come back to the byte.
func FuzzResult(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"a":[1,2.50,"\u0000"],"b":{"":null}}`, `1E400`, `"\ud83d\ude00"`, "\xff"} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "text/plain")
	}
	f.Add([]byte(`{}`), "json")
	f.Add([]byte(`{}`), "==")
	f.Fuzz(func(t *testing.T, data []byte, mediaType string) {
		r := smallest()
		r.Status, r.Result, r.ResultType = protocol.Completed, data, mediaType
		got, err := decode(itemOf(t, r))
		if err != nil || !bytes.Equal(got.Result, data) || got.ResultType != mediaType {
			t.Fatalf("%q of type %q came back as %q of type %q, %v", data, mediaType, got.Result, got.ResultType, err)
		}
	})
}
