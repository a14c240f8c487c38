// Package wholebody keeps the HTTP client from losing answers of AWS.
package wholebody

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Client replaces the body of a request by a copy in memory that net/http recognises.
//
// The SDK (smithy-go v1.28.8) wraps the body in a reader and closes the reader with the answer. Its
// WriteTo then returns io.EOF. After writing such a body net/http checks for more. If the answer
// comes first, the EOF counts as an error of the request, and net/http closes the connection while
// the answer is being read. The messages of such a receive stay invisible until their visibility
// timeout ends, and each has lost a receive. On a busy machine with local servers this happened to
// one worker in seven in its first second.
//
// Client also saves a packet: net/http sends the header of a request with an unknown body
// separately.
type Client struct{ aws.HTTPClient }

// Do implements [aws.HTTPClient].
func (c Client) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return c.HTTPClient.Do(r)
	}
	defer func() { _ = r.Body.Close() }()
	body := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead)) // so large that the buffer rarely grows
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, fmt.Errorf("read the body of a request: %w", err)
	}
	sent := r.WithContext(r.Context()) // a copy: the SDK keeps using r
	sent.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body.Bytes())), nil }
	sent.Body, _ = sent.GetBody()
	return c.HTTPClient.Do(sent)
}
