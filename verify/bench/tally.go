package bench

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Tally holds counts of calls. DynamoDB bills by item, so its units are counted as well: one for
// each item in a request, because the project's items are smaller than 1 KiB. A write whose
// condition fails is billed like a successful one.
type Tally struct {
	Calls   map[string]int // by operation, such as "ReceiveMessage"
	Retries int            // retries of the SDK, included in Calls
	Writes  int            // write request units
	Reads   int            // read request units, strongly consistent
}

// Total returns the number of calls.
func (t Tally) Total() int {
	n := 0
	for _, calls := range t.Calls {
		n += calls
	}
	return n
}

// SQS returns the number of SQS calls.
func (t Tally) SQS() int {
	n := 0
	for operation, calls := range t.Calls {
		if strings.Contains(operation, "Message") {
			n += calls
		}
	}
	return n
}

// Operations returns the called operations, sorted by name.
func (t Tally) Operations() []string { return slices.Sorted(maps.Keys(t.Calls)) }

// counter counts a Tally. It is safe for concurrent use.
type counter struct {
	mu sync.Mutex
	t  Tally // guarded by mu
}

func newCounter() *counter { return &counter{t: Tally{Calls: make(map[string]int)}} }

// count counts a call. It ignores calls that a worker makes once at its start.
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

// take returns the counts since the last take.
func (c *counter) take() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.t
	c.t = Tally{Calls: make(map[string]int)}
	return t
}

// operation returns the operation of an AWS JSON request.
func operation(h http.Header) string {
	_, op, _ := strings.Cut(h.Get("X-Amz-Target"), ".")
	return op
}
