package awsenv

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestQueue(t *testing.T) {
	t.Run("queue name is the last element of the URL", testQueueNameIsTheLastElementOfTheURL)
	t.Run("missing queues are created with a redrive policy", testMissingQueuesAreCreatedWithARedrivePolicy)
	t.Run("existing queues are taken as they are", testExistingQueuesAreTakenAsTheyAre)
	t.Run("queue that another process creates meanwhile is taken", testQueueThatAnotherProcessCreatesMeanwhileIsTaken)
	t.Run("refused call names the queue", testRefusedCallNamesTheQueue)
}

func testQueueNameIsTheLastElementOfTheURL(t *testing.T) {
	long := strings.Repeat("q", 81)
	for in, want := range map[string]string{
		"https://sqs.eu-central-1.amazonaws.com/123456789012/orders": "orders",
		"http://127.0.0.1:4566/000000000000/orders.fifo":             "orders.fifo",
		"http://127.0.0.1:4566/000000000000/orders/":                 "orders",
		"orders_2-b":                             "orders_2-b",
		"":                                       "",
		"https://sqs.eu-central-1.amazonaws.com": "",
		"https://example.com/a/b.c":              "",
		"https://example.com/a#b":                "a",
		"https://example.com/%zz":                "",
		"https://example.com/a b":                "",
		"https://example.com/" + long:            "",
		"https://example.com/" + long[1:]:        long[1:],
	} {
		t.Run(in, func(t *testing.T) {
			got, err := QueueName(in)
			if got != want || (err == nil) != (want != "") {
				t.Fatalf("QueueName(%q) = %q, %v; want %q", in, got, err, want)
			}
			if err != nil && !strings.Contains(err.Error(), `"`+in+`"`) {
				t.Errorf("error does not show the URL: %v", err)
			}
		})
	}
}

func testMissingQueuesAreCreatedWithARedrivePolicy(t *testing.T) {
	longest := strings.Repeat("q", 80)
	for name, tc := range map[string]struct{ queueURL, queue, dlq, fifo string }{
		"standard":  {"https://example.com/1/orders", "orders", "orders-dlq", ""},
		"FIFO":      {"https://example.com/1/orders.fifo", "orders.fifo", "orders-dlq.fifo", "true"},
		"bare name": {"orders", "orders", "orders-dlq", ""},
		"long name": {longest, longest, longest[:76] + "-dlq", ""},
	} {
		t.Run(name, func(t *testing.T) {
			fake, client := newFakeSQS(t)
			mainURL, dlqURL, err := CreateQueue(t.Context(), client, tc.queueURL)
			if err != nil {
				t.Fatal(err)
			}
			if mainURL != fakeBase+tc.queue || dlqURL != fakeBase+tc.dlq {
				t.Errorf("URLs %q and %q, want those of %q and %q", mainURL, dlqURL, tc.queue, tc.dlq)
			}
			var policy struct {
				DeadLetterTargetArn string
				MaxReceiveCount     int
			}
			if err := json.Unmarshal([]byte(fake.queues[tc.queue]["RedrivePolicy"]), &policy); err != nil {
				t.Fatal(err)
			}
			if policy.DeadLetterTargetArn != fake.queues[tc.dlq]["QueueArn"] || policy.MaxReceiveCount != 10 {
				t.Errorf("redrive policy is %+v", policy)
			}
			if got := fake.queues[tc.dlq]["MessageRetentionPeriod"]; got != "1209600" {
				t.Errorf("dead-letter queue keeps messages for %q s", got)
			}
			for _, q := range []string{tc.queue, tc.dlq} {
				if got := fake.queues[q]["FifoQueue"]; got != tc.fifo {
					t.Errorf("FifoQueue of %s is %q, want %q", q, got, tc.fifo)
				}
			}
		})
	}
}

func testExistingQueuesAreTakenAsTheyAre(t *testing.T) {
	policyTo := func(name string) map[string]string {
		return map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:r:1:` + name + `","maxReceiveCount":"3"}`}
	}
	for name, tc := range map[string]struct {
		queues  map[string]map[string]string
		dlq     string
		created []string
		err     string
	}{
		"both, linked":               {queues: map[string]map[string]string{"q": policyTo("other"), "other": {}}, dlq: "other"},
		"both, not linked":           {queues: map[string]map[string]string{"q": {}, "q-dlq": {}}, dlq: "q-dlq"},
		"queue without policy":       {queues: map[string]map[string]string{"q": {}}, dlq: "q-dlq", created: []string{"q-dlq"}},
		"dead-letter queue only":     {queues: map[string]map[string]string{"q-dlq": {"QueueArn": "arn"}}, dlq: "q-dlq", created: []string{"q"}},
		"linked to one that is gone": {queues: map[string]map[string]string{"q": policyTo("gone")}, err: "gone"},
		"unreadable policy":          {queues: map[string]map[string]string{"q": {"RedrivePolicy": "{"}}, err: "redrive policy"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, client := newFakeSQS(t)
			fake.queues = tc.queues
			before := maps.Clone(tc.queues["q"])
			_, dlqURL, err := CreateQueue(t.Context(), client, "http://x/1/q")
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error is %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil || dlqURL != fakeBase+tc.dlq {
				t.Fatalf("dead-letter queue %q, %v; want %q", dlqURL, err, tc.dlq)
			}
			if before != nil && !maps.Equal(before, fake.queues["q"]) {
				t.Errorf("attributes changed from %v to %v", before, fake.queues["q"])
			}
			var created []string
			for _, call := range fake.calls {
				if queue, ok := strings.CutPrefix(call, "CreateQueue "); ok {
					created = append(created, queue)
				}
			}
			if !slices.Equal(created, tc.created) {
				t.Errorf("created %q, want %q", created, tc.created)
			}
		})
	}
}

func testQueueThatAnotherProcessCreatesMeanwhileIsTaken(t *testing.T) {
	fake, client := newFakeSQS(t)
	fake.beforeCreate = func() {
		for _, name := range []string{"q", "q-dlq"} {
			if fake.queues[name] == nil {
				fake.queues[name] = map[string]string{"QueueArn": "arn:aws:sqs:r:1:" + name}
			}
		}
	}
	mainURL, dlqURL, err := CreateQueue(t.Context(), client, "q")
	if err != nil || mainURL != fakeBase+"q" || dlqURL != fakeBase+"q-dlq" {
		t.Fatalf("got %q, %q, %v", mainURL, dlqURL, err)
	}
}

func testRefusedCallNamesTheQueue(t *testing.T) {
	for _, action := range []string{"GetQueueUrl", "CreateQueue", "GetQueueAttributes"} {
		t.Run(action, func(t *testing.T) {
			fake, client := newFakeSQS(t)
			fake.refuse = action
			_, _, err := CreateQueue(t.Context(), client, "orders")
			if err == nil || !strings.Contains(err.Error(), "orders") || !strings.Contains(err.Error(), "AccessDenied") {
				t.Fatalf("error is %v", err)
			}
		})
	}
}

func TestQueueRegion(t *testing.T) {
	for queueURL, want := range map[string]string{
		"https://sqs.us-east-2.amazonaws.com/123456789012/orders":                       "us-east-2",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders":                   "cn-north-1",
		"https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/orders":              "us-gov-west-1",
		"https://sqs.eu-west-1.api.aws/123456789012/orders":                             "eu-west-1",
		"https://eu-central-1.queue.amazonaws.com/123456789012/orders":                  "eu-central-1",
		"https://queue.amazonaws.com/123456789012/orders":                               "us-east-1",
		"https://vpce-0a1b-c2d3.sqs.us-west-2.vpce.amazonaws.com/123456789012/orders":   "us-west-2",
		"https://vpce-0a1b-c2d3-a.sqs.us-west-2.vpce.amazonaws.com/123456789012/orders": "us-west-2",
		"https://SQS.US-East-2.amazonaws.com/123456789012/orders":                       "us-east-2",
		"http://127.0.0.1:4566/000000000000/orders":                                     "",
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/orders":      "",
		"https://sqs.us-east-2.amazonaws.com.example.com/123456789012/orders":           "",
		"orders": "",
		"":       "",
		":":      "",
	} {
		t.Run(queueURL, func(t *testing.T) {
			if got := QueueRegion(queueURL); got != want {
				t.Errorf("Region %q, want %q", got, want)
			}
		})
	}
}
