package dynamo_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/partiql"
)

// line is HTTP over one connection, for use in a bubble.
type line struct{ *emulators.Line }

// Do sends one request.
func (l line) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return l.Post(r.Header, body)
}

// The local server, given the grammar of AWS's reference, accepts every batch:
// two writes a message, up to 25 of them in a call.
func TestCallsUnderGrammar(t *testing.T) {
	const (
		messages, slots = 3000, 100
		most            = messages * 15 / 100
	)
	endpoint := emulators.DynamoDB(t)
	table := newTable(t, dynamodb.NewFromConfig(emulators.Config(endpoint)))
	connection, err := emulators.Dial(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	synctest.Test(t, func(t *testing.T) {
		server := &partiql.Server{Base: line{connection}}
		w := &wire{server: server, delay: latency}
		s := newStore(t, w.client(), dynamo.Config{Table: table})
		g, err := dedupe.New[string](s, dedupe.Config{Scope: "q", Now: s.Now})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for slot := range slots {
			wg.Go(func() {
				for i := slot; i < messages; i += slots {
					_, err := g.Do(t.Context(), dedupe.Key{Name: fmt.Sprint("n", i)}, func(context.Context) (string, error) { return "done", nil })
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if calls := len(w.ops()); calls > most || server.Refused.Load() != 0 {
			t.Errorf("%d messages took %d calls, want at most %d; %d statements were refused", messages, calls, most, server.Refused.Load())
		} else {
			t.Logf("%d messages took %d calls", messages, calls)
		}
	})
}
