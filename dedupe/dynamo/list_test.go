package dynamo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Only a write that takes a record out of the list has to replace the item.
func TestListedWrites(t *testing.T) {
	for name, tc := range map[string]struct {
		listed bool
		next   protocol.Status
		number int  // of the attempt
		alone  bool // else in a batch
	}{
		"failed":                    {false, protocol.Retrying, 1, false},
		"failed again":              {true, protocol.Retrying, 2, false},
		"rejected":                  {true, protocol.Rejected, 2, false},
		"the next attempt":          {true, protocol.InProgress, 2, false},
		"it starts over":            {true, protocol.InProgress, 1, true},
		"completed, never listed":   {false, protocol.Completed, 1, false},
		"completed, once listed":    {true, protocol.Completed, 2, true},
		"forgotten, never listed":   {false, protocol.Forgotten, 1, false},
		"forgotten, once listed":    {true, protocol.Forgotten, 2, true},
		"the first, never listed":   {false, protocol.InProgress, 1, false},
		"unknown, of the first one": {false, protocol.Unknown, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{}
			inBubble(t, w, func(wr *writer) {
				r := record("it", 5)
				r.Status, r.Listed, r.Attempts = tc.next, tc.listed, tc.number
				wr.swap(4, record("other", 5))
				wr.swap(4, r)
				wr.wait()
			})
			batches := strings.Join(slices.Concat(w.texts(), []string{""}), "\n")
			for _, c := range w.calls {
				if strings.Contains(string(c.body), "test#it") && (c.op == "PutItem") != tc.alone {
					t.Errorf("written by %s", c.op)
				}
			}
			if sets := strings.Contains(batches, `"attention"=?`); sets != (tc.next.NeedsAttention()) {
				t.Errorf("sets the keys of the list: %v in %s", sets, batches)
			}
		})
	}
}

// texts returns the statements of all batches.
func (w *wire) texts() []string {
	var texts []string
	for _, c := range w.calls {
		texts = append(texts, c.texts()...)
	}
	return texts
}

func TestList_withoutIndex(t *testing.T) {
	_, client := wired(t)
	table := makeTable(t, client, map[string]types.KeyType{dynamo.AttrID: types.KeyTypeHash}, types.ScalarAttributeTypeS)
	q := listing.Query{Scope: "test", Status: protocol.Retrying, Limit: 10}
	for what, client := range map[string]dynamo.API{"no index": client, "no Query": onlyAPI{client}} {
		s := newStore(t, client, dynamo.Config{Table: table})
		r := record("a-"+what, 1)
		if err := s.Swap(t.Context(), 0, r); err != nil {
			t.Fatal(err)
		}
		r.Status, r.Version = protocol.Retrying, 2
		if err := s.Swap(t.Context(), 1, r); err != nil { // everything else works
			t.Error(err)
		}
		if _, err := s.List(t.Context(), q); !errors.Is(err, listing.ErrNoList) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	s := newStore(t, client, dynamo.Config{Table: "not-there"})
	if _, err := s.List(t.Context(), q); !errors.Is(err, dynamo.ErrNoTable) || errors.Is(err, listing.ErrNoList) {
		t.Errorf("no table: got %v", err)
	}
}

// onlyAPI is a client with no other methods than the store's API.
type onlyAPI struct{ dynamo.API }

func TestList(t *testing.T) {
	t.Run("list left by earlier releases", testList_leftByEarlierReleases)
}

// An earlier release writes over a record without touching its keys of the list.
func testList_leftByEarlierReleases(t *testing.T) {
	w, client := wired(t)
	table := newTable(t, client)
	s := newStore(t, client, dynamo.Config{Table: table})
	r := record("a", 1)
	if err := s.Swap(t.Context(), 0, r); err != nil {
		t.Fatal(err)
	}
	r.Status, r.Version = protocol.Retrying, 2
	if err := s.Swap(t.Context(), 1, r); err != nil {
		t.Fatal(err)
	}
	_, err := client.ExecuteStatement(t.Context(), &dynamodb.ExecuteStatementInput{
		Statement: aws.String(fmt.Sprintf(`UPDATE %q SET "status"='COMPLETED', "version"=3 WHERE "id"='test#a' AND "version"=2`, table)),
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.List(t.Context(), listing.Query{Scope: "test", Status: protocol.Retrying, Limit: 10})
	if err != nil || len(page.Entries) != 0 || page.Next != "" {
		t.Errorf("listed %+v, %v", page, err)
	}
	got, err := s.Get(t.Context(), r.ID)
	if err != nil || !got.Listed || got.Status != protocol.Completed {
		t.Errorf("read %+v, %v", got, err)
	}
	w.calls = nil
	got.Status, got.Version = protocol.Forgotten, 4
	if err := s.Swap(t.Context(), 3, got); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Get(t.Context(), r.ID); err != nil || got.Listed {
		t.Errorf("read %+v, %v", got, err)
	}
}

// A name that is completed at its first attempt costs the same with the index as
// without.
func TestList_writeUnits(t *testing.T) {
	units := make(map[string]float64)
	for what, make := range map[string]func(*testing.T, *dynamodb.Client) string{
		"with": func(t *testing.T, c *dynamodb.Client) string { return newTable(t, c) },
		"without": func(t *testing.T, c *dynamodb.Client) string {
			return makeTable(t, c, map[string]types.KeyType{dynamo.AttrID: types.KeyTypeHash}, types.ScalarAttributeTypeS)
		},
	} {
		w, client := wired(t)
		s := newStore(t, client, dynamo.Config{Table: make(t, client)})
		w.server = &metered{server: w.server}
		finish := held(t, w, s)
		records := many("a", 25, 1)
		if err := errors.Join(swapAll(t, s, records)...); err != nil {
			t.Error(err)
		}
		for i := range records {
			records[i].Status, records[i].Version, records[i].Result = protocol.Completed, 2, []byte(`{"done":true}`)
		}
		if err := errors.Join(swapAll(t, s, records)...); err != nil {
			t.Error(err)
		}
		finish()
		units[what] = w.server.(*metered).units
	}
	if units["with"] != units["without"] || units["with"] < 51 {
		t.Errorf("write units: %v, want those of 51 writes both times", units)
	}
}

// metered asks for the capacity that writes consume, of table and indexes, and adds it up.
type metered struct {
	server doer

	mu    sync.Mutex
	units float64 // guarded by mu
}

// Do sends one request.
func (m *metered) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := m.server.Do(resend(r, append(bytes.TrimSuffix(body, []byte("}")), `,"ReturnConsumedCapacity":"INDEXES"}`...)))
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var out struct{ ConsumedCapacity json.RawMessage }
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, err
	}
	type capacity struct{ CapacityUnits float64 }
	var one capacity
	var several []capacity
	if json.Unmarshal(out.ConsumedCapacity, &several) != nil && json.Unmarshal(out.ConsumedCapacity, &one) == nil {
		several = []capacity{one}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range several {
		m.units += c.CapacityUnits
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}
