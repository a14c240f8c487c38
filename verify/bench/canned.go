package bench

import (
	"bytes"
	"crypto/md5" //nolint:gosec // SQS's checksum of a body
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// canned answers repeated calls at once, as successful. The measurements then contain no time of
// the servers. It is safe for concurrent use.
type canned struct {
	messages int
	size     int // bytes of a body

	mu    sync.Mutex
	given int // guarded by mu; messages delivered so far
}

// pacedAnswers are canned answers of one service. Each takes its latency.
type pacedAnswers struct {
	*canned
	latency time.Duration
}

// answer returns the answer to a call. It returns nil for calls that go to the server: those before
// the first message, because a worker makes failing calls at its start; those after the last
// message; and operations that are called once.
func (c *canned) answer(operation string, request []byte) []byte {
	if operation == "ReceiveMessage" {
		return c.receive()
	}
	c.mu.Lock()
	begun := c.given > 0
	c.mu.Unlock()
	if !begun {
		return nil
	}
	var in struct {
		Statements []json.RawMessage
		Entries    []struct{ Id string }
	}
	switch operation {
	case "PutItem", "UpdateItem", "DeleteMessage":
		return []byte(`{}`)
	case "BatchExecuteStatement", "DeleteMessageBatch":
		if json.Unmarshal(request, &in) != nil {
			return nil
		}
	default:
		return nil
	}
	if operation == "BatchExecuteStatement" {
		return []byte(`{"Responses":[` + strings.TrimSuffix(strings.Repeat(`{"TableName":"t"},`, len(in.Statements)), ",") + `]}`)
	}
	deleted, _ := json.Marshal(map[string]any{"Successful": in.Entries})
	return deleted
}

// receive answers with the next ten messages. Each has its own name.
func (c *canned) receive() []byte {
	c.mu.Lock()
	first := c.given
	c.given = min(c.given+10, c.messages)
	last := c.given
	c.mu.Unlock()
	if first == last {
		return nil
	}
	var b bytes.Buffer
	for i := first; i < last; i++ {
		body := body("one", i, c.size)
		sum := md5.Sum([]byte(body)) //nolint:gosec // as above
		quoted, _ := json.Marshal(body)
		_, _ = fmt.Fprintf(&b, `,{"MessageId":"00000000-0000-0000-0000-%012d","ReceiptHandle":"%s%d","MD5OfBody":"%s","Body":%s,`+
			`"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1795606012476","ApproximateFirstReceiveTimestamp":"1795606012476"}}`,
			i, strings.Repeat("r", 170), i, hex.EncodeToString(sum[:]), quoted)
	}
	return []byte(`{"Messages":[` + b.String()[1:] + `]}`)
}

// write writes an answer like AWS.
func write(w http.ResponseWriter, answer []byte) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(answer)), 10))
	_, _ = w.Write(answer) // fails if the client has gone
}
