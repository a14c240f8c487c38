package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sqsonce/sqsonce/names"
)

// read decodes the JSON body of r into v, or answers and returns false. Other
// content types are refused: a foreign page can send them without asking first.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "send application/json")
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = decode(body, v)
	}
	if err == nil {
		return true
	}
	status := http.StatusBadRequest
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		status = http.StatusRequestEntityTooLarge
	}
	problem(w, status, clip(err.Error(), maxErrorKept))
	return false
}

// readNothing reads the body of an action without fields: none at all, or an empty JSON object.
// Otherwise it answers and returns false.
func readNothing(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	return read(w, r, &struct{}{})
}

// halfPair finds half of a surrogate pair in JSON in which whole pairs are not escaped.
var halfPair = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\\u[dD][89a-fA-F]`)

// decode reads one JSON value and nothing behind it, as strictly as the API reads a message:
// valid text, no key twice, no other field at any depth, each field spelled as it is, and no
// null in place of a value.
func decode(body []byte, v any) error {
	if len(body) == 0 {
		return errors.New("the body is empty")
	}
	if !utf8.Valid(body) {
		return errors.New("the body is not text in UTF-8")
	}
	canonical, err := names.Canonical(nil, body)
	if err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	if halfPair.Match(canonical) {
		return errors.New("the body has half of a surrogate pair, which no text can hold")
	}
	if err := checkFields("the body", canonical, reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// checkFields holds the JSON value of a field against its type. It looks at the fields of
// objects alone, which encoding/json matches in any case, and at null, which it ignores.
func checkFields(field string, value json.RawMessage, t reflect.Type) error {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return nil // any JSON
	case string(value) == "null":
		return fmt.Errorf("%s is null", field)
	case t.Kind() == reflect.Slice:
		var members []json.RawMessage
		if json.Unmarshal(value, &members) != nil {
			return fmt.Errorf("%s is not a JSON array", field)
		}
		for i, member := range members {
			if err := checkFields(fmt.Sprintf("%s[%d]", field, i), member, t.Elem()); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Struct:
		var fields map[string]json.RawMessage
		if json.Unmarshal(value, &fields) != nil {
			return fmt.Errorf("%s is not a JSON object", field)
		}
		types := fieldTypes(t)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if types[name] == nil {
				return fmt.Errorf("unknown field %q", name)
			}
			if err := checkFields(name, fields[name], types[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fieldTypes are the types of a struct's fields by their names in JSON.
func fieldTypes(t reflect.Type) map[string]reflect.Type {
	types := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !f.Anonymous && name != "-" {
			types[name] = f.Type
		}
	}
	return types
}
