package names

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Errors about values. Their texts continue a sentence about the field.
var (
	errManyDigits = fmt.Errorf("is a number of more than %d digits", maxNameDigits)
	errNotFinite  = errors.New("is not a finite number")
	errNoValue    = errors.New("is not a JSON value")
	errMissing    = errors.New("is missing")
	errEmptyList  = errors.New("is an empty list")
	errSurrogate  = errors.New("has half of a surrogate pair")
)

// nameOf returns the name for a value: a text unchanged, a number as plain digits, a list of texts
// and numbers as a JSON list of texts. The text of an error continues a sentence about the key.
func nameOf(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errMissing
	case []any:
		if len(v) == 0 {
			return "", errEmptyList
		}
		name := []byte{'['}
		for i, m := range v {
			member, err := memberName(m)
			if err != nil {
				return "", fmt.Errorf("is a list whose member %d %w", i, err)
			}
			if i > 0 {
				name = append(name, ',')
			}
			name = appendQuoted(name, member)
		}
		return string(append(name, ']')), nil
	default:
		return memberName(v)
	}
}

func memberName(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errMissing
	case string:
		return v, nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "", errNotFinite
		}
		return plainDigits(canonicalFloat(v))
	case json.Number:
		form, err := appendCanonicalNumber(nil, string(v))
		if err != nil {
			return "", err
		}
		return plainDigits(form)
	default:
		return "", fmt.Errorf("is %s: a name is a text, a number, or a list of these", describe(v))
	}
}

// named returns the selected value for nameOf. Objects, and lists inside a list, are returned empty
// because they cannot be part of a name.
func (t *tree) named(s selection, depth int) (any, error) {
	switch {
	case s.isList && depth == 0:
		list := make([]any, len(s.list))
		for i, m := range s.list {
			var err error
			if list[i], err = t.named(m, 1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case s.isList:
		return []any{}, nil
	case s.hash != nil:
		return map[string]any{}, nil
	case s.node < 0:
		return nil, nil
	}
	n := &t.nodes[s.node]
	switch n.kind {
	case text:
		if hasLoneSurrogate(n.canonical) {
			return nil, errSurrogate
		}
		return unquote(n.canonical), nil
	case number:
		return json.Number(n.canonical), nil
	case boolean:
		return n.canonical[0] == 't', nil
	case object:
		return map[string]any{}, nil
	case array:
		list := []any{}
		for c := n.child; c != 0 && depth == 0; c = t.nodes[c].next {
			m, err := t.named(selection{node: c}, 1)
			if err != nil {
				return nil, err
			}
			list = append(list, m)
		}
		return list, nil
	default:
		return nil, nil
	}
}
