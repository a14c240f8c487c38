// Package producerapi is the HTTP front of a queue: POST puts a named message
// on it, GET says what became of a name.
package producerapi

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/jsonkey"
)

// Config says what the API works on.
type Config struct {
	SQS      *sqs.Client        // required
	QueueURL string             // required
	Records  dedupe.Reader      // required
	Scope    string             // required
	Keys     *jsonkey.Extractor // required
	Logger   *slog.Logger       // default [slog.Default]
}

// New returns the API's handler, or an error that names what is missing.
func New(cfg Config) (http.Handler, error) {
	if cfg.SQS == nil || cfg.QueueURL == "" || cfg.Records == nil || cfg.Keys == nil {
		return nil, errors.New("producerapi: SQS, QueueURL, Records and Keys must be set")
	}
	return http.NewServeMux(), nil
}
