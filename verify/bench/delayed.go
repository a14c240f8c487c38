package bench

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/sqstest"
)

// delayed is an HTTP client of a queue in memory. It answers after the latency of SQS.
type delayed struct {
	server *sqstest.Server
	count  func(h http.Header, body []byte)
}

// Do implements the SDK's HTTPClient.
func (d delayed) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	d.count(req.Header, body)
	time.Sleep(sqsLatency / 2)
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := d.server.Do(req)
	time.Sleep(sqsLatency - sqsLatency/2)
	return resp, err
}
