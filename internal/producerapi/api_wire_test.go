package producerapi

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// wireBench is a bench on the emulators.
func wireBench(t *testing.T, queue string) *bench {
	t.Helper()
	b := &bench{t: t, queue: emulators.SQSClient(t)}
	var err error
	if b.url, b.dlqURL, err = awsenv.CreateQueue(t.Context(), b.queue, queue); err != nil {
		t.Fatal(err)
	}
	client := emulators.DynamoDBClient(t)
	table := strings.TrimSuffix(queue, ".fifo")
	if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
		t.Fatal(err)
	}
	store, err := dynamo.New(client, dynamo.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	b.store = store
	b.api, err = New(Config{
		SQS: b.queue, QueueURL: b.url, Records: store, Scope: scope, Keys: defaultKeys(t),
		AuthTokens: []string{token}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.api.Close)
	return b
}

func TestWire(t *testing.T) {
	t.Run("contract holds on real servers", testContractHoldsOnRealServers)
	t.Run("concurrent posts all arrive on a real server", testConcurrentPostsAllArriveOnARealServer)
	t.Run("repeated post is one message on a real FIFO queue", testRepeatedPostIsOneMessageOnARealFIFOQueue)
}

func testContractHoldsOnRealServers(t *testing.T) {
	b := wireBench(t, "producerapi-contract")
	post := func(body string, headers ...string) reply {
		t.Helper()
		return b.post(body, append(headers, bearer...)...)
	}
	id := decode[queued](post(body("a/ü"), "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").want(http.StatusAccepted)).MessageID
	messages := b.received(b.url)
	if len(messages) != 1 || *messages[0].MessageId != id || *messages[0].Body != body("a/ü") || *messages[0].MessageAttributes["sqsonce.name"].StringValue != "a/ü" {
		t.Fatalf("messages are %+v", messages)
	}
	b.do(http.MethodGet, location("a/ü"), "", bearer...).want(http.StatusNotFound)
	b.record("a/ü", b.claim("a/ü", body("a/ü")), complete(`{"id":12345678901234567890}`))
	if got := b.do(http.MethodGet, location("a/ü"), "", bearer...).want(http.StatusOK); !strings.Contains(got.Body.String(), `"result":{"id":12345678901234567890}`) {
		t.Errorf("record is %s", got.Body)
	}
	post(body("a/ü"), "Prefer", "wait=1").want(http.StatusOK)
	post(`{"name":"a/ü","x":1}`, "Prefer", "wait=1").want(http.StatusUnprocessableEntity)
	post(body("b"), "Prefer", "wait=1").want(http.StatusAccepted)
	post(`{"nome":"b"}`).wantField(http.StatusBadRequest, "name")
	if d := decode[Depth](b.do(http.MethodGet, "/queue", "", bearer...).want(http.StatusOK)); d.Visible != 1 {
		t.Errorf("depth is %+v", d)
	}
	b.do(http.MethodGet, "/readyz", "").want(http.StatusOK)
	etag := b.do(http.MethodGet, location("a/ü"), "", bearer...).want(http.StatusOK).Header().Get("ETag")
	b.do(http.MethodGet, location("a/ü"), "", append(bearer, "If-None-Match", etag)...).want(http.StatusNotModified)
	b.post(body("c")).want(http.StatusUnauthorized)
	b.do(http.MethodPut, "/", "", bearer...).want(http.StatusMethodNotAllowed)
	post(`{"name":"c","pad":"` + strings.Repeat("x", 1<<20) + `"}`).want(http.StatusRequestEntityTooLarge)
	text := request(http.MethodPost, "/", body("c"), bearer...)
	text.Header.Set("Content-Type", "text/plain")
	b.serve(text).want(http.StatusUnsupportedMediaType)
	b.record("held", b.claim("held", body("held")))
	b.do(http.MethodDelete, location("held"), "", bearer...).want(http.StatusConflict)
	b.do(http.MethodDelete, location("a/ü"), "", bearer...).want(http.StatusAccepted)
	b.do(http.MethodGet, location("a/ü"), "", bearer...).want(http.StatusNotFound)
	if r := b.record("a/ü"); r.Status != protocol.Forgotten {
		t.Errorf("record is %+v", r)
	}
	b.postBatch("["+strings.Join(bodies(100), ",")+"]", "", bearer...).want(http.StatusAccepted)
	b.api.cfg.QueueURL += "-gone"
	post(body("c")).want(http.StatusServiceUnavailable)
	b.do(http.MethodGet, "/queue", "", bearer...).want(http.StatusServiceUnavailable)
	b.api.rates = newRates(0.1)
	b.do(http.MethodGet, location("b"), "", bearer...).want(http.StatusNotFound)
	b.do(http.MethodGet, location("b"), "", bearer...).want(http.StatusTooManyRequests)
}

func testConcurrentPostsAllArriveOnARealServer(t *testing.T) {
	b := wireBench(t, "producerapi-crowd")
	n := testutil.N(t, 700)
	seen := make(map[string]bool)
	for i, r := range b.crowdAs(n, 200, func(i int) string { return body("n-" + strconv.Itoa(i)) }, bearer...) {
		got := decode[queued](r.want(http.StatusAccepted))
		if got.Name != "n-"+strconv.Itoa(i) || seen[got.MessageID] {
			t.Fatalf("answer %d is %+v", i, got)
		}
		seen[got.MessageID] = true
	}
	if d := decode[Depth](b.do(http.MethodGet, "/queue", "", bearer...)); d.Visible != n {
		t.Errorf("%d messages in the queue, want %d", d.Visible, n)
	}
}

func testRepeatedPostIsOneMessageOnARealFIFOQueue(t *testing.T) {
	b := wireBench(t, "producerapi-once.fifo")
	first := decode[queued](b.post(body("a"), bearer...).want(http.StatusAccepted)).MessageID
	again := decode[queued](b.post(body("a"), bearer...).want(http.StatusAccepted)).MessageID
	other := decode[queued](b.post(body("a"), append(bearer, "X-Sqsonce-Dedup", "2")...).want(http.StatusAccepted)).MessageID
	if first != again || first == other {
		t.Errorf("messages %q, %q, %q", first, again, other)
	}
	for _, m := range b.received(b.url) {
		if group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; !strings.HasPrefix(group, "name-") {
			t.Errorf("group is %q", group)
		}
	}
}
