package workercmd

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/names"
)

func typed(kind, value string) map[string]types.MessageAttributeValue {
	v := types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	if strings.HasPrefix(kind, "Binary") {
		v.StringValue, v.BinaryValue = nil, []byte(value)
	}
	return map[string]types.MessageAttributeValue{"order": v}
}

// messageCase is a message and its expected treatment.
type messageCase struct {
	args       []string
	body       string
	attributes map[string]types.MessageAttributeValue
	name       string // empty: a dead letter; *: its id
	wrong      string // text in its error
}

func keyed(key string, more ...string) []string { return append([]string{"--key", key}, more...) }

func nested(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }

var messageCases = map[string]messageCase{
	"JSON in a string":              {keyed("powertools_json(Message).order_id"), `{"Message":"{\"order_id\":\"o-1\"}"}`, nil, "o-1", ""},
	"JSON in a string in a string":  {keyed("from_json(from_json(a).b).c"), `{"a":"{\"b\":\"{\\\"c\\\":17}\"}"}`, nil, "17", ""},
	"JSON in a string, none":        {keyed("from_json(Message).order_id"), `{"Message":"paid"}`, nil, "", "not JSON"},
	"a long integer":                {keyed("id"), `{"id":820982911946154508}`, nil, "820982911946154508", ""},
	"a negative integer":            {keyed("id"), `{"id":-820982911946154508}`, nil, "-820982911946154508", ""},
	"a number":                      {keyed("id"), `{"id":17.0}`, nil, "17", ""},
	"an exponent":                   {keyed("id"), `{"id":1e3}`, nil, "1000", ""},
	"a negative exponent":           {keyed("id"), `{"id":15E-1}`, nil, "1.5", ""},
	"zero":                          {keyed("id"), `{"id":0}`, nil, "0", ""},
	"minus zero":                    {keyed("id"), `{"id":-0.0e5}`, nil, "0", ""},
	"forty digits":                  {keyed("id"), `{"id":1e39}`, nil, "1" + strings.Repeat("0", 39), ""},
	"too many digits":               {keyed("id"), `{"id":1e40}`, nil, "", "more than 40 digits"},
	"beyond a float":                {keyed("id"), `{"id":1E400}`, nil, "", "more than 40 digits"},
	"next to nothing":               {keyed("id"), `{"id":1e-400}`, nil, "", "more than 40 digits"},
	"a huge exponent":               {keyed("id"), `{"id":1e99999999999999999999}`, nil, "", "exponent out of range"},
	"a leading zero":                {keyed("id"), `{"id":017}`, nil, "", "bad number"},
	"a leading plus":                {keyed("id"), `{"id":+17}`, nil, "", "no value"},
	"a boolean":                     {keyed("id"), `{"id":true}`, nil, "", "is a boolean (true)"},
	"null":                          {keyed("id"), `{"id":null}`, nil, "", "is missing"},
	"an object":                     {keyed("id"), `{"id":{}}`, nil, "", "is an object"},
	"an empty text":                 {keyed("id"), `{"id":""}`, nil, "", "is empty"},
	"a space":                       {keyed("id"), `{"id":" "}`, nil, " ", ""},
	"a composite":                   {keyed("Records[0].s3.[bucket.name, object.key, object.size]"), `{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k","size":7}}}]}`, nil, `["b","k","7"]`, ""},
	"a composite with a hole":       {keyed("[a, b]"), `{"a":"x"}`, nil, "", "member 1 is missing"},
	"a composite, empty member":     {keyed("[a, b]"), `{"a":"x","b":""}`, nil, `["x",""]`, ""},
	"a list":                        {keyed("id"), `{"id":["a",17,"17"]}`, nil, `["a","17","17"]`, ""},
	"an empty list":                 {keyed("id"), `{"id":[]}`, nil, "", "is an empty list"},
	"a list of lists":               {keyed("id"), `{"id":[["a"]]}`, nil, "", "member 0 is a list"},
	"an array as the body":          {keyed("[0].id"), `[{"id":"o-1"}]`, nil, "o-1", ""},
	"a text as the body":            {keyed("@"), `"o-1"`, nil, "o-1", ""},
	"a number as the body":          {keyed("@"), ` 17 `, nil, "17", ""},
	"Unicode":                       {keyed("id"), `{"id":"b\u00fcro-\ud83d\ude00-名"}`, nil, "büro-😀-名", ""},
	"Unicode in the key":            {keyed(`"straße"`), `{"stra\u00dfe":"o-1"}`, nil, "o-1", ""},
	"half of a surrogate pair":      {keyed("id"), `{"id":"\ud83d"}`, nil, "", "half of a surrogate pair"},
	"a control character":           {keyed("id"), `{"id":"a\u0000"}`, nil, "", "control character"},
	"a repeated key":                {keyed("name"), `{"type":"A","name":"d","type":"A"}`, nil, "d", ""},
	"a repeated key deep inside":    {keyed("name"), `{"name":"d","x":[{"y":1,"y":2}]}`, nil, "d", ""},
	"a repeated name":               {keyed("name"), `{"name":"d","name":"e"}`, nil, "", `key "name" is repeated`},
	"a byte order mark":             {keyed("name"), "\ufeff" + `{"name":"b"}`, nil, "b", ""},
	"NaN":                           {keyed("name"), `{"name":"n","lat":NaN}`, nil, "", "not JSON"},
	"NaN, an attribute":             {keyed("@attribute:order"), `{"lat":NaN}`, typed("String", "o-1"), "o-1", ""},
	"a repeated key, an attribute":  {keyed("@attribute:order"), `{"type":"A","type":"A"}`, typed("String", "o-1"), "o-1", ""},
	"gzip in base64":                {keyed("id", "--unwrap", "base64"), zippedOrder, nil, "17", ""},
	"gzip in base64, by a function": {keyed("from_json(powertools_base64_gzip(data)).id"), `{"data":"` + zippedOrder + `"}`, nil, "17", ""},
	"base64, left closed":           {keyed("id"), zippedOrder, nil, "", "unwrap it with --unwrap base64"},
	"String":                        {keyed("@attribute:order"), "x", typed("String", "o-1"), "o-1", ""},
	"String.json":                   {keyed("@attribute:order"), "x", typed("String.json", `{"a":1}`), `{"a":1}`, ""},
	"Number":                        {keyed("@attribute:order"), "x", typed("Number", "17"), "17", ""},
	"Number.int":                    {keyed("@attribute:order"), "x", typed("Number.int", "820982911946154508"), "820982911946154508", ""},
	"Binary":                        {keyed("@attribute:order"), "x", typed("Binary", "o-1"), "", "is a Binary attribute"},
	"Binary.uuid":                   {keyed("@attribute:order"), "x", typed("Binary.uuid", "o-1"), "", "is a Binary attribute"},
	"no attribute":                  {keyed("@attribute:order"), "x", nil, "", "the message has no such attribute"},
	"a large attribute":             {keyed("@message-id", "--fingerprint", "off"), "x", typed("String", strings.Repeat("v", 40<<10)), "*", ""},
	"deep":                          {keyed("a.a.a"), `{"a":{"a":{"a":"o-1","b":` + nested(500) + `}}}`, nil, "o-1", ""},
	"too deep":                      {keyed("a"), nested(513), nil, "", "nested deeper than 512"},
	"too deep, an attribute":        {keyed("@attribute:order"), nested(600), typed("String", "o-1"), "o-1", ""},
	"an SNS notification":           {keyed("order_id"), `{"Type":"Notification","TopicArn":"arn:aws:sns:us-west-2:1:t","Message":"{\"order_id\":1}"}`, nil, "", "unwrap it with --unwrap sns"},
	"an EventBridge event":          {keyed("id"), `{"detail-type":"d","source":"s","detail":{"id":1}}`, nil, "", "unwrap it with --unwrap eventbridge"},
}

// The messages of common senders pass through the whole worker. Each is sent twice and handled
// once, under its name, or becomes a dead letter with an error.
func TestCases(t *testing.T) {
	for name, tc := range messageCases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var bodies []string // guarded by mu
				b := newInBubble(t, 3, func(_ http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					defer mu.Unlock()
					bodies = append(bodies, string(body))
				}, tc.args...)
				b.begin()
				copies := 2
				if tc.name == "*" { // its id is its name
					copies = 1
				}
				for range copies {
					if _, err := b.back.queue.SendMessage(t.Context(), &sqs.SendMessageInput{
						QueueUrl: &b.back.queueURL, MessageBody: &tc.body, MessageAttributes: tc.attributes,
					}); err != nil {
						t.Fatal(err)
					}
				}
				if !b.await(time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Error("messages are left")
				}
				b.end()
				dead := b.dead()
				if tc.wrong != "" {
					if len(bodies) != 0 || len(dead) != 2 || attribute(dead[0], "sqsonce.reason") != "bad message" || !strings.Contains(attribute(dead[0], "sqsonce.error"), tc.wrong) {
						t.Errorf("%d requests, dead letters %+v", len(bodies), dead)
					}
					return
				}
				if len(bodies) != 1 || len(dead) != 0 {
					t.Fatalf("%d requests, dead letters %+v", len(bodies), dead)
				}
				if opened := strings.Contains(strings.Join(tc.args, " "), "--unwrap"); !opened && bodies[0] != tc.body {
					t.Errorf("the target got %q", bodies[0])
				}
				if tc.name != "*" && b.record(tc.name).Status != protocol.Completed {
					t.Errorf("no completed record of %q", tc.name)
				}
			})
		})
	}
}

// SQS itself moves a message that the worker cannot copy to the dead-letter queue, without a
// reason. After the target works again, a redrive runs it.
func TestRedriveWithoutACopy(t *testing.T) {
	pad := strings.Repeat("x", 2000)
	full := make(map[string]types.MessageAttributeValue)
	for i := range 10 {
		full["a"+strconv.Itoa(i)] = typed("String", "v")["order"]
	}
	for name, tc := range map[string]struct {
		attributes map[string]types.MessageAttributeValue
		says       string // text in the log
	}{
		"ten attributes": {full, "it has no room for an attribute"},
		"larger than the dead-letter queue takes": {nil, "the dead-letter queue does not take it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := failingTarget{latency: newLatencies(t)}
				target.set(http.StatusUnprocessableEntity)
				b := newInBubble(t, 3, target.ServeHTTP)
				if _, err := b.back.queue.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
					QueueUrl: &b.dlqURL, Attributes: map[string]string{"MaximumMessageSize": "1024"},
				}); err != nil {
					t.Fatal(err)
				}
				text := `{"name":"o-1","pad":"` + pad + `"}`
				if _, err := b.back.queue.SendMessage(t.Context(), &sqs.SendMessageInput{
					QueueUrl: &b.back.queueURL, MessageBody: &text, MessageAttributes: tc.attributes,
				}); err != nil {
					t.Fatal(err)
				}
				b.begin()
				defer b.end()
				if !b.await(time.Hour, func() bool { return b.depth(b.dlqURL) == 1 }) || b.record("o-1").Status != protocol.Rejected {
					t.Fatalf("%d dead letters of %s", b.depth(b.dlqURL), b.record("o-1").Status)
				}
				if log := b.log.String(); !strings.Contains(log, tc.says) {
					t.Errorf("log: %s", log)
				}
				target.set(http.StatusNoContent)
				report := b.redrive()
				if !b.await(time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Error("the message is left")
				}
				if r := b.record("o-1"); report.Count(deadletter.Moved) != 1 || r.Status != protocol.Completed || b.depth(b.dlqURL) != 0 {
					t.Errorf("%s, %d dead letters, after %+v", r.Status, b.depth(b.dlqURL), report)
				}
			})
		})
	}
}

// redrive moves all dead letters back to the queue.
func (b *inBubble) redrive() deadletter.Report {
	b.t.Helper()
	keys, err := names.New(names.Config{})
	if err != nil {
		b.t.Fatal(err)
	}
	operator, err := dedupe.NewOperator(b.store.Store, dedupe.Config{Scope: localQueue, Logger: b.worker.log})
	if err != nil {
		b.t.Fatal(err)
	}
	dead, err := deadletter.New(deadletter.Config{SQS: b.back.queue, QueueURL: b.back.queueURL, Keys: keys, Records: operator, Logger: b.worker.log})
	if err != nil {
		b.t.Fatal(err)
	}
	report, err := dead.Redrive(b.t.Context(), deadletter.Order{}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

// zippedOrder is {"id":17}, compressed with gzip and encoded in base64.
const zippedOrder = "H4sIAAAAAAACA6tWykxRsjI0rwUARC5qHQkAAAA="
