package dynamo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// What result_type says of the result beside it; absent: a native value.
const (
	jsonText = "json" // JSON, kept as its text
	escape   = "="    // before a media type that would read as one of these two
)

// What DynamoDB's native values can hold.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	maxDigits = 38
	maxDepth  = 30 // of 32; the attribute itself counts

	// A native value can be twice as large as its text (each element of a list
	// costs a byte of its own, each list three), and an item holds 400 KB.
	maxNative = 64 << 10
)

// errLossy says that a JSON value would not come back as it was.
var errLossy = errors.New("not representable without loss")

// encodeResult returns the attribute of a result in DynamoDB's JSON (nil: none)
// and its result_type. JSON is stored as a native value, readable in the console
// and by other programs, where the same value comes back (keys in another order,
// perhaps); otherwise as its text.
func encodeResult(data []byte, mediaType string) (value []byte, resultType string) {
	resultType = mediaType
	switch {
	case mediaType == jsonText || strings.HasPrefix(mediaType, escape):
		resultType = escape + mediaType
	case mediaType == "" && len(data) > 0:
		if v, err := native(data); err == nil {
			return v, ""
		}
		resultType = jsonText
	}
	switch {
	case len(data) == 0:
		return nil, resultType
	case utf8.Valid(data):
		return appendString(nil, string(data)), resultType
	default:
		return appendBytes(nil, data), resultType
	}
}

// decodeResult undoes encodeResult.
func decodeResult(v types.AttributeValue, resultType string) (data []byte, mediaType string, err error) {
	switch {
	case resultType == jsonText:
	case strings.HasPrefix(resultType, escape):
		mediaType = resultType[len(escape):]
	case resultType == "" && v != nil:
		data, err = toJSON(v)
		return data, "", err
	default:
		mediaType = resultType
	}
	switch v := v.(type) {
	case nil:
		return nil, mediaType, nil
	case *types.AttributeValueMemberS:
		return []byte(v.Value), mediaType, nil
	case *types.AttributeValueMemberB:
		return bytes.Clone(v.Value), mediaType, nil // reads at the same moment share an item
	default:
		return nil, "", fmt.Errorf("%T cannot be of type %q", v, resultType)
	}
}

// native turns JSON into DynamoDB's, of its own types, or fails where that would
// lose something (numbers that DynamoDB writes in another way, repeated keys,
// empty keys, great depth, characters that UTF-8 has not) or be too large.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
func native(data []byte) ([]byte, error) {
	if len(data) > maxNative || !utf8.Valid(data) || !json.Valid(data) {
		return nil, errLossy
	}
	p := parser{data: data}
	return p.value(make([]byte, 0, len(data)+len(data)/2+16), 0)
}

// parser reads JSON that is known to be valid.
type parser struct {
	data []byte
	at   int
	keys [][]byte // of the objects that are being read
}

// next returns the first byte that is no white space.
func (p *parser) next() byte {
	for p.data[p.at] <= ' ' {
		p.at++
	}
	return p.data[p.at]
}

// value reads a value and appends it to b.
func (p *parser) value(b []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errLossy
	}
	switch c := p.next(); c {
	case 'n':
		p.at += len("null")
		return append(b, `{"NULL":true}`...), nil
	case 't':
		p.at += len("true")
		return append(b, `{"BOOL":true}`...), nil
	case 'f':
		p.at += len("false")
		return append(b, `{"BOOL":false}`...), nil
	case '"':
		raw, _, err := p.text()
		return append(append(append(b, `{"S":`...), raw...), '}'), err
	case '[':
		return p.list(b, depth)
	case '{':
		return p.object(b, depth)
	default:
		return p.number(b)
	}
}

// text reads a string: as it is written, and what it means.
func (p *parser) text() (raw, means []byte, err error) {
	start := p.at
	escaped := false
	for p.at++; p.data[p.at] != '"'; p.at++ {
		if p.data[p.at] == '\\' {
			escaped = true
			p.at++ // what follows is no end
		}
	}
	p.at++
	raw = p.data[start:p.at]
	means = raw[1 : len(raw)-1]
	if escaped {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, nil, fmt.Errorf("result is not JSON: %w", err)
		}
		means = []byte(s)
	}
	if bytes.ContainsRune(means, utf8.RuneError) {
		return nil, nil, errLossy // what half of a surrogate pair is read as
	}
	return raw, means, nil
}

func (p *parser) number(b []byte) ([]byte, error) {
	start := p.at
	for p.at < len(p.data) && strings.IndexByte("+-.0123456789Ee", p.data[p.at]) >= 0 {
		p.at++
	}
	number := p.data[start:p.at]
	if !plainNumber(string(number)) {
		return nil, errLossy
	}
	return append(append(append(b, `{"N":"`...), number...), `"}`...), nil
}

func (p *parser) list(b []byte, depth int) (_ []byte, err error) {
	b = append(b, `{"L":[`...)
	p.at++
	for p.next() != ']' {
		if b, err = p.value(b, depth+1); err != nil {
			return nil, err
		}
		if p.next() == ',' {
			p.at++
			b = append(b, ',')
		}
	}
	p.at++
	return append(b, "]}"...), nil
}

func (p *parser) object(b []byte, depth int) (_ []byte, err error) {
	b = append(b, `{"M":{`...)
	p.at++
	outer := len(p.keys)
	for p.next() != '}' {
		raw, key, err := p.text()
		if err != nil {
			return nil, err
		}
		if len(key) == 0 {
			return nil, errLossy
		}
		p.keys = append(p.keys, key)
		p.next() // the colon
		p.at++
		if b, err = p.value(append(append(b, raw...), ':'), depth+1); err != nil {
			return nil, err
		}
		if p.next() == ',' {
			p.at++
			b = append(b, ',')
		}
	}
	p.at++
	keys := p.keys[outer:]
	slices.SortFunc(keys, bytes.Compare)
	if len(slices.CompactFunc(keys, bytes.Equal)) < len(keys) {
		return nil, errLossy // one of them is there twice
	}
	p.keys = p.keys[:outer]
	return append(b, "}}"...), nil
}

// plainNumber reports whether DynamoDB, and whoever reads it there, gives the
// number back as it is written: no exponent, nor so small that some write it
// with one, no trailing zeros, no negative zero, 38 digits.
func plainNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, decimal := strings.Cut(digits, ".")
	switch {
	case strings.ContainsAny(s, "eE"), s == "-0":
		return false
	case decimal && (strings.HasSuffix(fraction, "0") || strings.HasPrefix(fraction, "000000")):
		return false
	default:
		return len(whole)+len(fraction) <= maxDigits
	}
}

// toJSON returns a native value as JSON, object keys sorted.
func toJSON(v types.AttributeValue) ([]byte, error) {
	value, err := plain(v)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil // the encoder ends with a line feed
}

// plain returns what encoding/json writes for a native value.
func plain(v types.AttributeValue) (any, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberNULL:
		return nil, nil //nolint:nilnil // null is a value here
	case *types.AttributeValueMemberBOOL:
		return v.Value, nil
	case *types.AttributeValueMemberS:
		return v.Value, nil
	case *types.AttributeValueMemberN:
		return json.Number(v.Value), nil
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, element := range v.Value {
			var err error
			if list[i], err = plain(element); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *types.AttributeValueMemberM:
		m := make(map[string]any, len(v.Value))
		for key, element := range v.Value {
			var err error
			if m[key], err = plain(element); err != nil {
				return nil, err
			}
		}
		return m, nil
	default:
		return nil, fmt.Errorf("%T is nothing that JSON has", v)
	}
}
