package dynamo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// encodeResult returns the attribute of a result (nil: none) and its
// result_type. JSON is stored as a native value, readable in the console and by
// other programs, where the same value comes back (keys in another order,
// perhaps); otherwise as its text.
func encodeResult(data []byte, mediaType string) (types.AttributeValue, string) {
	resultType := mediaType
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
		return &types.AttributeValueMemberS{Value: string(data)}, resultType
	default:
		return &types.AttributeValueMemberB{Value: bytes.Clone(data)}, resultType
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

// native turns JSON into DynamoDB's own types, or fails where that would lose
// something (numbers that DynamoDB writes in another way, repeated keys, empty
// keys, great depth, characters that UTF-8 has not) or be too large.
func native(data []byte) (types.AttributeValue, error) {
	if len(data) > maxNative || !utf8.Valid(data) {
		return nil, errLossy
	}
	if !json.Valid(data) {
		return nil, errLossy
	}
	p := parser{data: data}
	return p.value(0)
}

// parser reads JSON that is known to be valid.
type parser struct {
	data []byte
	at   int
}

// next returns the first byte that is no white space.
func (p *parser) next() byte {
	for p.data[p.at] <= ' ' {
		p.at++
	}
	return p.data[p.at]
}

func (p *parser) value(depth int) (types.AttributeValue, error) {
	if depth > maxDepth {
		return nil, errLossy
	}
	switch c := p.next(); c {
	case 'n':
		p.at += len("null")
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case 't':
		p.at += len("true")
		return &types.AttributeValueMemberBOOL{Value: true}, nil
	case 'f':
		p.at += len("false")
		return &types.AttributeValueMemberBOOL{Value: false}, nil
	case '"':
		s, err := p.text()
		return &types.AttributeValueMemberS{Value: s}, err
	case '[':
		return p.list(depth)
	case '{':
		return p.object(depth)
	default:
		return p.number()
	}
}

func (p *parser) text() (string, error) {
	start := p.at
	escaped := false
	for p.at++; p.data[p.at] != '"'; p.at++ {
		if p.data[p.at] == '\\' {
			escaped = true
			p.at++ // what follows is no end
		}
	}
	p.at++
	raw := p.data[start:p.at]
	s := string(raw[1 : len(raw)-1])
	if escaped {
		var unescaped string // s would live on the heap otherwise
		if err := json.Unmarshal(raw, &unescaped); err != nil {
			return "", fmt.Errorf("result is not JSON: %w", err)
		}
		s = unescaped
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		return "", errLossy // what half of a surrogate pair is read as
	}
	return s, nil
}

func (p *parser) number() (types.AttributeValue, error) {
	start := p.at
	for p.at < len(p.data) && strings.IndexByte("+-.0123456789Ee", p.data[p.at]) >= 0 {
		p.at++
	}
	s := string(p.data[start:p.at])
	if !plainNumber(s) {
		return nil, errLossy
	}
	return &types.AttributeValueMemberN{Value: s}, nil
}

func (p *parser) list(depth int) (types.AttributeValue, error) {
	list := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
	p.at++
	for p.next() != ']' {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list.Value = append(list.Value, v)
		if p.next() == ',' {
			p.at++
		}
	}
	p.at++
	return list, nil
}

func (p *parser) object(depth int) (types.AttributeValue, error) {
	m := &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}}
	p.at++
	for p.next() != '}' {
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		if _, repeated := m.Value[key]; key == "" || repeated {
			return nil, errLossy
		}
		p.next() // the colon
		p.at++
		if m.Value[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if p.next() == ',' {
			p.at++
		}
	}
	p.at++
	return m, nil
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
