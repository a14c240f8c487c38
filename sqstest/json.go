package sqstest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

// jsonProtocol is AWS JSON 1.0, which SDKs have used since November 2023.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-faqs.html
type jsonProtocol struct{}

func (jsonProtocol) request(r *http.Request, body []byte) (operation string, input []byte, err error) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	if _, ok := operations[name]; !ok || r.Method != http.MethodPost {
		return "", nil, sender("UnsupportedOperation", "Operation %q is not supported: want a POST with X-Amz-Target: AmazonSQS.<operation>.", name)
	}
	return name, body, nil
}

func (jsonProtocol) result(a *answer, _ string, out any) (err error) {
	a.header.Set("Content-Type", "application/x-amz-json-1.0")
	a.body, err = marshal(out)
	return err
}

func (p jsonProtocol) failure(a *answer, e *Error, _ string) error {
	a.header.Set("x-amzn-query-error", e.queryError())
	return p.result(a, "", struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.wireType(), e.Message})
}

// marshal encodes v as JSON without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}
