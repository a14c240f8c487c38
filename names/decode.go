package names

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// numbers selects the decoding of numbers for the interpreter.
type numbers bool

const (
	exactNumbers   numbers = false // float64 if it keeps every digit, else json.Number
	roundedNumbers numbers = true  // float64
)

// decoder turns a document into Go values for the JMESPath interpreter.
type decoder struct {
	*tree
	numbers  numbers
	inexact  bool     // a number has more digits than a float64 keeps
	lossy    bool     // a text has half of a surrogate pair
	repeated []string // keys that an object repeats, in canonical form
}

func (d *decoder) value(i int32) any {
	n := &d.nodes[i]
	switch n.kind {
	case boolean:
		return n.canonical[0] == 't'
	case number:
		return d.number(n.canonical)
	case text:
		return d.text(n.canonical)
	case array:
		list := []any{}
		for c := n.child; c != 0; c = d.nodes[c].next {
			list = append(list, d.value(c))
		}
		return list
	case object:
		members := make(map[string]any)
		for c := n.child; c != 0; c = d.nodes[c].next {
			key := d.text(d.nodes[c].key)
			if _, twice := members[key]; twice {
				d.repeated = append(d.repeated, string(d.nodes[c].key))
			}
			members[key] = d.value(c)
		}
		return members
	default:
		return nil
	}
}

func (d *decoder) text(canonical []byte) string {
	if !d.lossy && hasLoneSurrogate(canonical) {
		d.lossy = true
	}
	return unquote(canonical)
}

func (d *decoder) number(canonical []byte) any {
	f, exact := asFloat(canonical)
	if exact {
		return f
	}
	d.inexact = true
	if d.numbers == roundedNumbers {
		return f
	}
	if digits, err := plainDigits(canonical); err == nil {
		return json.Number(digits)
	}
	return json.Number(canonical)
}

// asFloat returns the float64 nearest to a number in canonical form, and whether the float64 keeps
// every digit.
func asFloat(canonical []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(canonical), 64)
	if err != nil || math.IsInf(f, 0) {
		return f, false
	}
	return f, string(canonicalFloat(f)) == string(canonical)
}

// canonicalFloat returns the canonical form of the shortest decimal that parses as f, nil if f is
// not finite.
func canonicalFloat(f float64) []byte {
	p := &parser{tree: new(tree), src: strconv.AppendFloat(nil, f, 'e', -1, 64)}
	form, err := p.number()
	if err != nil {
		return nil // infinite, or not a number
	}
	return form
}

// maxNameDigits bounds the digits of a number that is a name.
const maxNameDigits = 40

// plainDigits writes a number, given in canonical form, without an exponent. It fails for more than
// maxNameDigits digits.
func plainDigits(canonical []byte) (string, error) {
	text, negative := strings.CutPrefix(string(canonical), "-")
	digits, power := text, 0
	if at := strings.IndexByte(text, 'e'); at >= 0 {
		p, err := strconv.Atoi(text[at+1:])
		if err != nil || p > maxNameDigits || p < -maxNameDigits {
			return "", errManyDigits
		}
		digits, power = text[:at], p
	}
	switch {
	case power >= 0:
		digits += strings.Repeat("0", power)
	case len(digits) > -power:
		digits = digits[:len(digits)+power] + "." + digits[len(digits)+power:]
	default:
		digits = "0." + strings.Repeat("0", -power-len(digits)) + digits
	}
	if len(digits)-strings.Count(digits, ".") > maxNameDigits {
		return "", errManyDigits
	}
	if negative {
		digits = "-" + digits
	}
	return digits, nil
}

// sameValue reports whether the results of an expression with exact and with rounded numbers differ
// by the rounding alone.
func sameValue(exact, rounded any) bool {
	switch a := exact.(type) {
	case json.Number:
		b, ok := rounded.(float64)
		f, _ := asFloat([]byte(a))
		return ok && f == b
	case []any:
		b, ok := rounded.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case map[string]any:
		b, ok := rounded.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			if other, ok := b[key]; !ok || !sameValue(value, other) {
				return false
			}
		}
		return true
	case string, float64, bool, nil:
		return exact == rounded
	default:
		return false
	}
}

func hasReplacement(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, utf8.RuneError)
	case []any:
		return slices.ContainsFunc(v, hasReplacement)
	case map[string]any:
		for key, value := range v {
			if hasReplacement(key) || hasReplacement(value) {
				return true
			}
		}
	}
	return false
}

// hasLoneSurrogate reports whether a string in canonical form has half of a surrogate pair. The
// canonical form escapes no other character as \ud….
func hasLoneSurrogate(canonical []byte) bool {
	for i := 0; i+2 < len(canonical); i++ {
		if canonical[i] != '\\' {
			continue
		}
		if canonical[i+1] == 'u' && canonical[i+2] == 'd' {
			return true
		}
		i++
	}
	return false
}

// unquote returns the text of a string in canonical form. Half of a surrogate pair becomes U+FFFD.
func unquote(canonical []byte) string {
	if s, err := strconv.Unquote(string(canonical)); err == nil {
		return s
	}
	var s string
	if json.Unmarshal(canonical, &s) != nil {
		return ""
	}
	return s
}

// appendValue appends the canonical form of a Go value.
func appendValue(dst []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return appendQuoted(dst, v), nil
	case float64:
		form := canonicalFloat(v)
		if form == nil {
			return dst, errNotFinite
		}
		return append(dst, form...), nil
	case json.Number:
		return appendCanonicalNumber(dst, string(v))
	case []any:
		dst = append(dst, '[')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendValue(dst, m); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		return appendMembers(dst, v)
	default:
		return dst, errNoValue
	}
}

func appendMembers(dst []byte, members map[string]any) ([]byte, error) {
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return strings.Compare(quote(a), quote(b)) })
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, quote(key)...), ':')
		var err error
		if dst, err = appendValue(dst, members[key]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendCanonicalNumber(dst []byte, n string) ([]byte, error) {
	p := &parser{tree: new(tree), src: []byte(n)}
	form, err := p.number()
	return append(dst, form...), err
}
