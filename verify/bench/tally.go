package bench

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Tally is what was called. DynamoDB bills by item, so its units are counted
// beside the calls: one for each item that a request names, as ours are below
// 1 KiB; a write whose condition fails is billed like one that succeeds.
type Tally struct {
	Calls   map[string]int // by operation, such as "ReceiveMessage"
	Retries int            // those of Calls that the SDK made once more
	Writes  int            // write request units
	Reads   int            // read request units, strongly consistent
}

// Total is the number of calls.
func (t Tally) Total() int {
	n := 0
	for _, calls := range t.Calls {
		n += calls
	}
	return n
}

// SQS is the number of calls of SQS.
func (t Tally) SQS() int {
	n := 0
	for operation, calls := range t.Calls {
		if strings.Contains(operation, "Message") {
			n += calls
		}
	}
	return n
}

// Operations are the operations that were called, in order of their names.
func (t Tally) Operations() []string { return slices.Sorted(maps.Keys(t.Calls)) }

// counter makes a Tally. Safe for concurrent use.
type counter struct {
	mu sync.Mutex
	t  Tally // guarded by mu
}

func newCounter() *counter { return &counter{t: Tally{Calls: make(map[string]int)}} }

// count notes a call. What a worker asks for once, at its start, is left out.
func (c *counter) count(h http.Header, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	op := operation(h)
	switch op {
	case "GetQueueAttributes", "GetQueueUrl", "DescribeTable", "DescribeTimeToLive":
		return
	case "PutItem", "UpdateItem", "DeleteItem":
		c.t.Writes++
	case "BatchExecuteStatement":
		c.t.Writes += bytes.Count(body, []byte(`"Statement":`))
	case "TransactWriteItems":
		c.t.Writes += 2 * (bytes.Count(body, []byte(`"Put":`)) + bytes.Count(body, []byte(`"Update":`)))
	case "GetItem":
		c.t.Reads++
	case "BatchGetItem":
		c.t.Reads += bytes.Count(body, []byte(`"id":`))
	}
	c.t.Calls[op]++
	if attempt, _, _ := strings.Cut(h.Get("Amz-Sdk-Request"), ";"); attempt != "" && attempt != "attempt=1" {
		c.t.Retries++
	}
}

// take returns what was counted since the last time.
func (c *counter) take() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.t
	c.t = Tally{Calls: make(map[string]int)}
	return t
}

// operation is what an AWS JSON request asks for.
func operation(h http.Header) string {
	_, op, _ := strings.Cut(h.Get("X-Amz-Target"), ".")
	return op
}
