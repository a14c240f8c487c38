package powertools

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// keyOf returns the idempotency key of a value: Prefix, '#', and the hash of the value's JSON as
// the language writes it, in hexadecimal in Python and in base64 in TypeScript. There is none for a
// value that Powertools takes for missing.
func (c Config) keyOf(value any) (key string, ok bool, err error) {
	h := hashes[c.Hash]()
	if c.Language == Python {
		if missingInPython(value) {
			return "", false, nil
		}
		text, err := appendPython(nil, value)
		if err != nil {
			return "", false, err
		}
		_, _ = h.Write(text) // never fails
		return c.Prefix + "#" + hex.EncodeToString(h.Sum(nil)), true, nil
	}
	if value == nil {
		return "", false, nil
	}
	text, err := appendJS(nil, value)
	if err != nil {
		return "", false, err
	}
	_, _ = h.Write(text) // never fails
	return c.Prefix + "#" + base64.StdEncoding.EncodeToString(h.Sum(nil)), true, nil
}

// missingInPython is is_missing_idempotency_key: a list of nulls, an empty object, an empty text or
// null.
func missingInPython(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return !slices.ContainsFunc(v, func(m any) bool { return m != nil })
	case map[string]any:
		return len(v) == 0
	default:
		return false
	}
}

// appendPython appends json.dumps(value, sort_keys=True): ", " and ": " between values, ASCII only,
// members in the order of their keys' code points.
func appendPython(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case json.Number:
		return appendPythonNumber(b, string(v))
	case float64:
		return appendPythonFloat(b, v), nil
	case string:
		return appendPythonText(b, v), nil
	case []any:
		return appendList(b, v, ", ", appendPython)
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(appendPythonText(b, key), ": "...)
			var err error
			if b, err = appendPython(b, v[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	default:
		return appendWord(b, value)
	}
}

// appendPythonNumber appends an int or, if the literal has a point or an exponent, a float.
func appendPythonNumber(b []byte, literal string) ([]byte, error) {
	if !strings.ContainsAny(literal, ".eE") {
		n, ok := new(big.Int).SetString(literal, 10)
		if !ok {
			return nil, fmt.Errorf("number %q", literal)
		}
		return n.Append(b, 10), nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil && !math.IsInf(f, 0) {
		return nil, err
	}
	return appendPythonFloat(b, f), nil
}

// appendPythonFloat appends repr(f): the shortest digits, an exponent below -4 or from 16 on.
func appendPythonFloat(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	if _, e := digitsOf(f); e < -4 || e >= 16 {
		return strconv.AppendFloat(b, f, 'e', -1, 64) // with at least two digits of exponent, too
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if !strings.Contains(string(b[start:]), ".") {
		b = append(b, ".0"...)
	}
	return b
}

// digitsOf returns the shortest digits of f, and the exponent of the first.
func digitsOf(f float64) (digits string, exponent int) {
	text := strconv.FormatFloat(math.Abs(f), 'e', -1, 64)
	mantissa, e, _ := strings.Cut(text, "e")
	exponent, _ = strconv.Atoi(e) // as FormatFloat has written it
	return strings.Replace(mantissa, ".", "", 1), exponent
}

func appendPythonText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		default:
			b = appendEscape(b, r)
		}
	}
	return append(b, '"')
}

// short are the escapes of both languages for control characters.
var short = map[rune]byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

func appendEscape(b []byte, r rune) []byte {
	if c, ok := short[r]; ok {
		return append(b, '\\', c)
	}
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Appendf(b, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(b, `\u%04x`, r)
}

// appendJS appends JSON.stringify(deepSort(value)): no blanks, members in the order of their keys
// in lower case, but those first whose keys are array indexes.
func appendJS(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil, err
		}
		return appendJSNumber(b, f), nil
	case float64:
		return appendJSNumber(b, v), nil
	case string:
		return appendJSText(b, v), nil
	case []any:
		return appendList(b, v, ",", appendJS)
	case map[string]any:
		b = append(b, '{')
		for i, key := range jsKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSText(b, key), ':')
			var err error
			if b, err = appendJS(b, v[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	default:
		return appendWord(b, value)
	}
}

// jsKeys returns the keys of an object in the order in which JavaScript has them once deepSort has
// inserted them by their lower case. Keys that differ in case only go by their own order.
func jsKeys(members map[string]any) []string {
	keys := slices.Sorted(maps.Keys(members))
	slices.SortStableFunc(keys, func(a, b string) int {
		i, iok := arrayIndex(a)
		j, jok := arrayIndex(b)
		switch {
		case iok && jok:
			return int(i) - int(j)
		case iok:
			return -1
		case jok:
			return 1
		}
		return slices.Compare(utf16.Encode([]rune(strings.ToLower(a))), utf16.Encode([]rune(strings.ToLower(b))))
	})
	return keys
}

// arrayIndex returns the array index that a key is, and whether it is one.
// https://tc39.es/ecma262/#array-index
func arrayIndex(key string) (int64, bool) {
	n, err := strconv.ParseUint(key, 10, 32)
	return int64(n), err == nil && n < math.MaxUint32 && strconv.FormatUint(n, 10) == key
}

// appendJSNumber appends Number.prototype.toString.
// https://tc39.es/ecma262/#sec-numeric-types-number-tostring
func appendJSNumber(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 0):
		return append(b, "null"...)
	case f == 0:
		return append(b, '0')
	}
	digits, e := digitsOf(f)
	if e > -7 && e < 21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	if f < 0 {
		b = append(b, '-')
	}
	b = append(b, digits[0])
	if len(digits) > 1 {
		b = append(append(b, '.'), digits[1:]...)
	}
	return fmt.Appendf(b, "e%+d", e)
}

func appendJSText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = appendEscape(b, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

func appendList(b []byte, list []any, comma string, value func([]byte, any) ([]byte, error)) ([]byte, error) {
	b = append(b, '[')
	for i, m := range list {
		if i > 0 {
			b = append(b, comma...)
		}
		var err error
		if b, err = value(b, m); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendWord(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	default:
		return nil, fmt.Errorf("a %T has no JSON", value)
	}
}
