package dynamo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Values of result_type that are not media types.
const (
	jsonText = "json" // JSON as text; an empty text means no result
	escape   = "="    // precedes a media type that equals one of these two
)

// storedType returns the result_type for a media type. Empty means JSON.
func storedType(mediaType string) string {
	switch {
	case mediaType == "":
		return jsonText
	case mediaType == jsonText, strings.HasPrefix(mediaType, escape):
		return escape + mediaType
	default:
		return mediaType
	}
}

// decodeResult returns the result in v and its media type. An empty value is no result.
func decodeResult(v types.AttributeValue, resultType string) (data []byte, mediaType string, err error) {
	switch {
	case resultType == "" && v != nil:
		data, err = nativeJSON(v)
		return data, "", err
	case resultType == jsonText:
	default:
		mediaType = strings.TrimPrefix(resultType, escape)
	}
	switch v := v.(type) {
	case nil:
	case *types.AttributeValueMemberS:
		data = []byte(v.Value)
	case *types.AttributeValueMemberB:
		data = bytes.Clone(v.Value) // concurrent reads share an item
	default:
		return nil, "", fmt.Errorf("%T cannot be of type %q", v, resultType)
	}
	if len(data) == 0 {
		return nil, mediaType, nil
	}
	return data, mediaType, nil
}

// nativeJSON returns a native value as JSON with sorted object keys. Earlier releases stored JSON
// results as native values without a result_type.
func nativeJSON(v types.AttributeValue) ([]byte, error) {
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
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil // the encoder appends a line feed
}

// plain returns a native value in a form for encoding/json.
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
		return nil, fmt.Errorf("JSON has no %T", v)
	}
}
