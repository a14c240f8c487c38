package dedupe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Payload is a result that is stored unchanged, for work whose result need not be JSON. If Type is
// empty, Data must be JSON, or empty for null.
type Payload struct {
	Data []byte
	Type string // media type; empty means JSON
}

// output is a result in its stored form.
type output struct {
	data      []byte
	mediaType string
}

// encode returns the stored form of a result. It never fails, because the work is done and must not
// run again because of its result.
func encode(v any, limit int) output {
	var out output
	if p, ok := v.(Payload); ok {
		// A clone, because the handler may reuse its buffer before the record is written.
		out = output{bytes.Clone(p.Data), p.Type}
		if p.Type == "" && len(p.Data) > 0 && !json.Valid(p.Data) {
			return omitted("not JSON", p.Data)
		}
	} else {
		data, err := marshal(v)
		if err != nil {
			return omitted("cannot be encoded: "+err.Error(), nil)
		}
		out.data = data
	}
	if len(out.data)+len(out.mediaType) > limit {
		return omitted(fmt.Sprintf("larger than %d bytes", limit), out.data)
	}
	return out
}

// marshal is json.Marshal for types whose methods may panic.
func marshal(v any) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return json.Marshal(v)
}

// omitted returns the marker for a result that is not stored.
func omitted(why string, data []byte) output {
	sum := sha256.Sum256(data)
	b, err := json.Marshal(struct {
		Omitted string `json:"omitted"`
		Size    int    `json:"size"`
		SHA256  string `json:"sha256"`
	}{strings.ToValidUTF8(why[:min(len(why), protocol.MaxErrorBytes)], ""), len(data), hex.EncodeToString(sum[:])})
	if err != nil { // strings and an int always encode
		b = []byte("{}")
	}
	return output{b, protocol.OmittedType}
}

// decode is the inverse of encode. An omitted result decodes to the zero R, or to the marker if R
// is [Payload].
func decode[R any](data []byte, mediaType string) (R, error) {
	var v R
	if p, ok := any(&v).(*Payload); ok {
		p.Data, p.Type = bytes.Clone(data), mediaType
		return v, nil
	}
	switch {
	case mediaType == protocol.OmittedType || len(data) == 0:
		return v, nil
	case mediaType != "":
		return v, fmt.Errorf("its type is %q, and only a dedupe.Payload takes other types than JSON", mediaType)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		var zero R
		return zero, err
	}
	return v, nil
}
