package bench

import (
	"crypto/md5" //nolint:gosec // SQS's checksum of a body
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// canned answers every call of the floor at once, as if all had gone well.
type canned struct {
	server  *httptest.Server
	key     string // the access key that the floor signs with
	calls   *counter
	answers map[string][]byte // by operation
}

func newCanned() *canned {
	body := Bodies("one", 1, 1, 1<<10)[0]
	sum := md5.Sum([]byte(body)) //nolint:gosec // as above
	quoted, _ := json.Marshal(body)
	var messages, statements, deleted []string
	for i := range 10 {
		messages = append(messages, fmt.Sprintf(`{"MessageId":"00000000-0000-0000-0000-00000000000%d","ReceiptHandle":"%s",`+
			`"MD5OfBody":"%s","Body":%s,"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1795606012476"}}`,
			i, strings.Repeat("r", 180), hex.EncodeToString(sum[:]), quoted))
		deleted = append(deleted, fmt.Sprintf(`{"Id":"%d"}`, i))
	}
	for range 25 {
		statements = append(statements, `{"TableName":"t"}`)
	}
	c := &canned{calls: newCounter(), key: rand.Text(), answers: map[string][]byte{
		"ReceiveMessage":        []byte(`{"Messages":[` + strings.Join(messages, ",") + `]}`),
		"BatchExecuteStatement": []byte(`{"Responses":[` + strings.Join(statements, ",") + `]}`),
		"DeleteMessageBatch":    []byte(`{"Successful":[` + strings.Join(deleted, ",") + `]}`),
	}}
	c.server = httptest.NewServer(c)
	return c
}

// ServeHTTP implements [http.Handler].
func (c *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	// A port that another test's server has left may still be called by its clients.
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+c.key+"/") {
		http.Error(w, "not of this run", http.StatusForbidden)
		return
	}
	c.calls.count(r.Header, body)
	answer := c.answers[operation(r.Header)]
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE(answer)))
	_, _ = w.Write(answer) // the client may have gone
}
