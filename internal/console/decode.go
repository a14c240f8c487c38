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

// read decodes the JSON body of r into v, or answers with a problem and returns false. It refuses
// other content types, because a foreign page can send them without a preflight request.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
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

// readNothing reads the body of an action without fields, which must be empty or an empty JSON
// object. Otherwise it answers with a problem and returns false.
func readNothing(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	return read(w, r, &struct{}{})
}

// halfPair matches half of a surrogate pair in JSON in which whole pairs are not escaped.
var halfPair = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\\u[dD][89a-fA-F]`)

// decode decodes exactly one JSON value, as strictly as the API reads a message: valid text, no
// repeated keys, no unknown fields at any depth, field names in their exact case, and no null.
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

// checkFields checks the JSON value of a field against its type: it refuses fields in another case,
// which encoding/json accepts, and null, which it ignores.
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

// fieldTypes returns the types of a struct's fields by their JSON names.
func fieldTypes(t reflect.Type) map[string]reflect.Type {
	types := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !f.Anonymous && name != "-" {
			types[name] = f.Type
		}
	}
	return types
}
