package bench

import (
	"io"
	"net/http"
	"time"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// line is an HTTP client of a real DynamoDB server for a synctest bubble. Every
// request takes the latency in virtual time, half before the server sees it
// and half after.
type line struct {
	*emulators.Line
	latency time.Duration
	count   func(h http.Header, body []byte)
}

// Do implements the SDK's HTTPClient.
func (l *line) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	l.count(req.Header, body)
	time.Sleep(l.latency / 2)
	resp, err := l.Post(req.Header, body)
	time.Sleep(l.latency - l.latency/2)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // the bubble's
	return resp, nil
}
