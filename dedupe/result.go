package dedupe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Payload is a result that is stored as it is: for work whose answer need not
// be JSON. With an empty Type, Data must be JSON (empty: null).
type Payload struct {
	Data []byte
	Type string // media type; empty means JSON
}

// OmittedType is the ResultType of a marker that stands for a result which
// could not be stored. Its data is a JSON object with "omitted" (why), "size"
// in bytes, and "sha256" in hex.
const OmittedType = "application/vnd.sqsonce.omitted+json"

// encode returns what to store of a result. It never fails: the work is done,
// and must not run again because of what it returned.
func encode(v any, limit int) (data []byte, mediaType string) {
	if p, ok := v.(Payload); ok {
		data, mediaType = p.Data, p.Type
		if mediaType == "" && len(data) > 0 && !json.Valid(data) {
			return omitted("not JSON", data), OmittedType
		}
	} else {
		var err error
		if data, err = json.Marshal(v); err != nil {
			return omitted("cannot be encoded: "+err.Error(), nil), OmittedType
		}
	}
	if len(data) > limit {
		return omitted(fmt.Sprintf("larger than %d bytes", limit), data), OmittedType
	}
	return data, mediaType
}

func omitted(why string, data []byte) []byte {
	sum := sha256.Sum256(data)
	b, err := json.Marshal(map[string]any{"omitted": why, "size": len(data), "sha256": hex.EncodeToString(sum[:])})
	if err != nil { // a map of strings and an int always encodes
		return []byte("{}")
	}
	return b
}

// decode is the reverse of encode. An omitted result decodes to the zero R,
// except for a Payload, which shows the marker.
func decode[R any](data []byte, mediaType string) (R, error) {
	var v R
	if p, ok := any(&v).(*Payload); ok {
		p.Data, p.Type = data, mediaType
		return v, nil
	}
	if mediaType != "" || len(data) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode result: %w", err)
	}
	return v, nil
}
