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

// Payload is a result that is stored as it is: for work whose answer need not
// be JSON. With an empty Type, Data must be JSON (empty: null).
type Payload struct {
	Data []byte
	Type string // media type; empty means JSON
}

// output is a result as it is stored.
type output struct {
	data      []byte
	mediaType string
}

// encode returns what to store of a result. It never fails: the work is done,
// and must not run again because of what it returned.
func encode(v any, limit int) output {
	var out output
	if p, ok := v.(Payload); ok {
		// The handler may go on using its buffer; the record is written later.
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

// omitted is the marker for a result that is not stored.
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

// decode is the reverse of encode. An omitted result decodes to the zero R,
// except for a Payload, which shows the marker.
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
