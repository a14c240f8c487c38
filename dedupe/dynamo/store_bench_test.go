package dynamo_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// canned answers every call at once that all went well.
type canned struct{ calls atomic.Int64 }

var cannedBatches = func() []string {
	bodies := make([]string, 26)
	for n := range bodies {
		bodies[n] = `{"Responses":[` + strings.Join(slices.Repeat([]string{`{"TableName":"t"}`}, n), ",") + `]}`
	}
	return bodies
}()

func (c *canned) Do(r *http.Request) (*http.Response, error) {
	c.calls.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	answer := "{}"
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), batchOp) {
		answer = cannedBatches[bytes.Count(body, []byte(`"Statement":`))]
	}
	return respond(200, answer), nil
}

// BenchmarkSwap measures claims and completions of distinct names by 100
// writers at once, the SDK's work included and the network's not.
func BenchmarkSwap(b *testing.B) {
	for mode, batching := range modes {
		b.Run(mode, func(b *testing.B) {
			c := &canned{}
			cfg := emulators.Config("http://127.0.0.1:1")
			cfg.HTTPClient = c
			s := newStore(b, dynamodb.NewFromConfig(cfg), dynamo.Config{Table: "t", Batch: batching})
			var n atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(50) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := record(fmt.Sprint("name-", n.Add(1)), 1_790_000_000_000)
					if err := s.Swap(b.Context(), 0, r); err != nil {
						b.Error(err)
						return
					}
					r.Status, r.Result = protocol.Completed, []byte(`{"name":"x"}`)
					r.Version++
					if err := s.Swap(b.Context(), r.Version-1, r); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(c.calls.Load())/float64(b.N), "calls/op")
		})
	}
}

// BenchmarkLoneSwap measures one writer alone: batching must not cost it
// anything to speak of.
func BenchmarkLoneSwap(b *testing.B) {
	for mode, batching := range modes {
		b.Run(mode, func(b *testing.B) {
			c := &canned{}
			cfg := emulators.Config("http://127.0.0.1:1")
			cfg.HTTPClient = c
			s := newStore(b, dynamodb.NewFromConfig(cfg), dynamo.Config{Table: "t", Batch: batching})
			r := record("a", 1)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Swap(b.Context(), 0, r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.calls.Load())/float64(b.N), "calls/op")
		})
	}
}
