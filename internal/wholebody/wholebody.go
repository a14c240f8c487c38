// Package wholebody keeps answers of AWS from being lost in the client.
package wholebody

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Client hands the bodies of requests to net/http as what they are: bytes
// in memory.
//
// The SDK (smithy-go v1.28.8) hides them behind a reader, which it closes with
// the answer, and whose WriteTo then returns io.EOF. net/http writes such a body
// to the wire and then looks whether there is more. When the answer is faster
// than that look, EOF is an error of the request, and the connection is closed
// while the answer is being read. A receive's messages are lost with it until
// their visibility timeout ends, and each has a receive less. On a busy machine
// with local servers that happened to one worker in seven in its first second.
//
// It saves work, too: net/http sends the head of a request whose body it does not
// know in a packet of its own.
type Client struct{ aws.HTTPClient }

// Do implements [aws.HTTPClient].
func (c Client) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return c.HTTPClient.Do(r)
	}
	defer func() { _ = r.Body.Close() }()
	body := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead)) // without growing, as a rule
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, fmt.Errorf("read the body of a request: %w", err)
	}
	sent := r.WithContext(r.Context()) // a copy: the SDK keeps its own
	sent.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body.Bytes())), nil }
	sent.Body, _ = sent.GetBody()
	return c.HTTPClient.Do(sent)
}
