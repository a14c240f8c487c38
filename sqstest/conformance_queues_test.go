package sqstest_test

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// again creates a queue of this name and returns the error.
func (c *trial) again(name string, attributes ...string) (url string, err error) {
	in := &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		in.Attributes[attributes[i]] = attributes[i+1]
	}
	out, err := c.CreateQueue(c.t.Context(), in)
	if err != nil {
		return "", err
	}
	return c.made1(*out.QueueUrl), nil
}

// same creates a queue that exists and checks that its URL is returned.
func (c *trial) same(url, name string, attributes ...string) {
	c.t.Helper()
	if got, err := c.again(name, attributes...); err != nil || got != url {
		c.t.Errorf("made again it is %s, %v, want %s", got, err, url)
	}
}

func nameOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// otherValue returns the text of QueueNameExists.
func otherValue(attribute string) string {
	return "A queue already exists with the same name and a different value for attribute " + attribute
}

var createFacts = []fact{
	{source: "create_queue_and_get_attributes", asserts: "a new queue has its ARN, its time and a timeout of 30 s", run: func(c *trial) {
		got := c.attributes(c.queue(), "QueueArn", "CreatedTimestamp", "VisibilityTimeout")
		c.equal("the number of attributes", len(got), 3)
		c.equal("VisibilityTimeout", got["VisibilityTimeout"], "30")
		c.equal("CreatedTimestamp is a number", strings.Trim(got["CreatedTimestamp"], "0123456789"), "")
	}},
	{source: "create_queue_recently_deleted", asserts: "the name of a deleted queue is taken for a minute", run: func(c *trial) {
		url := c.queue()
		if _, err := c.DeleteQueue(c.t.Context(), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
			c.t.Fatalf("DeleteQueue: %v", err)
		}
		_, err := c.again(nameOf(url))
		c.refused(err, "AWS.SimpleQueueService.QueueDeletedRecently", 400, "")
	}},
	{source: "create_queue_with_tags", asserts: "tags come with the queue", run: func(c *trial) {
		want := map[string]string{"tag1": "value1", "tag2": "value2"}
		out, err := c.CreateQueue(c.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(c.named("t")), Tags: want})
		if err != nil {
			c.t.Fatalf("CreateQueue: %v", err)
		}
		c.equal("the tags", c.tags(c.made1(*out.QueueUrl)), want)
	}},
	{source: "create_queue_without_attributes_is_idempotent", asserts: "a queue made again is the same", run: func(c *trial) {
		url := c.queue()
		c.same(url, nameOf(url))
	}},
	{source: "create_queue_with_same_attributes_is_idempotent", asserts: "a queue made again with its attributes is the same", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "69")
		c.same(url, nameOf(url), "VisibilityTimeout", "69")
	}},
	{source: "create_queue_with_default_attributes_is_idempotent", asserts: "a queue made again without its attributes is the same", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "69", "ReceiveMessageWaitTimeSeconds", "1")
		c.same(url, nameOf(url))
	}},
	{source: "create_fifo_queue_with_same_attributes_is_idempotent", asserts: "a FIFO queue made again is the same", run: func(c *trial) {
		url := c.fifo()
		c.same(url, nameOf(url), "FifoQueue", "true")
	}},
	{source: "create_queue_with_different_attributes_raises_exception", asserts: "another value of an attribute is refused, the one it has now is not", run: func(c *trial) {
		url := c.queue("ReceiveMessageWaitTimeSeconds", "1", "DelaySeconds", "1")
		name := nameOf(url)
		c.same(url, name)
		c.same(url, name, "DelaySeconds", "1")
		_, err := c.again(name, "ReceiveMessageWaitTimeSeconds", "1", "DelaySeconds", "2")
		c.refused(err, "QueueAlreadyExists", 400, otherValue("DelaySeconds"))
		c.set(url, "DelaySeconds", "2")
		c.same(url, name, "ReceiveMessageWaitTimeSeconds", "1", "DelaySeconds", "2")
		_, err = c.again(name, "ReceiveMessageWaitTimeSeconds", "1", "DelaySeconds", "1")
		c.refused(err, "QueueAlreadyExists", 400, otherValue("DelaySeconds"))
	}},
	{source: "create_fifo_queue_with_different_attributes_raises_error", asserts: "another value of a FIFO attribute is refused", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true")
		_, err := c.again(nameOf(url), "FifoQueue", "true", "ContentBasedDeduplication", "false")
		c.refused(err, "QueueAlreadyExists", 400, otherValue("ContentBasedDeduplication"))
	}},
	{source: "create_queue_after_internal_attributes_changes_works", asserts: "delayed messages make no other queue of it", run: func(c *trial) {
		url := c.queue()
		c.sent(url, sqs.SendMessageInput{DelaySeconds: 1})
		c.send(url, "b")
		c.same(url, nameOf(url))
	}},
	{source: "create_queue_after_send", asserts: "messages make no other queue of it", run: func(c *trial) {
		url := c.queue()
		c.send(url, "a", "b", "c")
		c.same(url, nameOf(url))
	}},
	{source: "create_and_update_queue_attributes", asserts: "attributes are those given at the creation and later, and defaults", run: func(c *trial) {
		url := c.queue("MessageRetentionPeriod", "604800", "ReceiveMessageWaitTimeSeconds", "10", "VisibilityTimeout", "20")
		want := map[string]string{
			"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesDelayed": "0", "ApproximateNumberOfMessagesNotVisible": "0",
			"DelaySeconds": "0", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "604800", "ReceiveMessageWaitTimeSeconds": "10",
			"SqsManagedSseEnabled": "true", "VisibilityTimeout": "20",
		}
		got := c.attributes(url, "All")
		c.subset(got, want)
		c.equal("the number of attributes", len(got), len(want)+3) // two times and the ARN
		if _, err := c.SetQueueAttributes(c.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{
			"MaximumMessageSize": "2048", "VisibilityTimeout": "69", "DelaySeconds": "420",
		}}); err != nil {
			c.t.Fatalf("SetQueueAttributes: %v", err)
		}
		want["MaximumMessageSize"], want["VisibilityTimeout"], want["DelaySeconds"] = "2048", "69", "420"
		c.subset(c.attributes(url, "All"), want)
	}},
	{source: "create_standard_queue_with_fifo_attribute_raises_error", asserts: "FIFO attributes are unknown to a standard queue", run: func(c *trial) {
		for attribute, value := range map[string]string{"FifoQueue": "false", "ContentBasedDeduplication": "false"} {
			_, err := c.again(c.named("s"), attribute, value)
			c.refused(err, "InvalidAttributeName", 400, "Unknown Attribute "+attribute+".")
		}
		for attribute, value := range map[string]string{"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"} {
			_, err := c.again(c.named("s"), attribute, value)
			c.refused(err, "InvalidAttributeName", 400, "You can specify the "+attribute+" only when FifoQueue is set to true.")
		}
	}},
	{source: "create_and_send_to_fifo_queue", asserts: "a FIFO queue keeps its suffix and delivers", run: func(c *trial) {
		url := c.fifo()
		c.equal("the suffix", strings.HasSuffix(url, ".fifo"), true)
		out := c.sent(url, sqs.SendMessageInput{MessageDeduplicationId: aws.String("d"), MessageGroupId: aws.String("g")})
		c.equal("the message's id", c.one(url).MessageId, out.MessageId)
	}},
	{source: "fifo_queue_requires_suffix", asserts: "FifoQueue wants a name that ends in .fifo", run: func(c *trial) {
		_, err := c.again(c.named("s"), "FifoQueue", "true")
		c.refused(err, "InvalidParameterValue", 400, "")
	}},
	{source: "standard_queue_cannot_have_fifo_suffix", asserts: "a name that ends in .fifo wants FifoQueue", run: func(c *trial) {
		_, err := c.again(c.named("s.fifo"))
		c.refused(err, "InvalidParameterValue", 400, "")
	}},
	{source: "dead_letter_queue_config", asserts: "a queue may be made with a redrive policy", run: func(c *trial) {
		c.queue("RedrivePolicy", c.policy(c.queue()))
	}},
}

var queueFacts = []fact{
	{source: "list_queues", asserts: "queues are listed, also by prefix, and the list is absent when empty", run: func(c *trial) {
		var urls []string
		for _, name := range []string{"a-1", "a-2", "b-1"} {
			url, err := c.again(c.named(name))
			if err != nil {
				c.t.Fatalf("CreateQueue: %v", err)
			}
			urls = append(urls, url)
		}
		c.equal("the queues a-", c.list("a-"), urls[:2])
		c.equal("the queues b-", c.list("b-"), urls[2:])
		c.equal("the queues c-", c.list("c-"), nil)
		all, err := c.ListQueues(c.t.Context(), &sqs.ListQueuesInput{})
		if err != nil || !slices.Contains(all.QueueUrls, urls[2]) {
			c.t.Errorf("without a prefix: %v, %v", all, err)
		}
	}},
	{source: "list_queues_pagination", asserts: "a page has a token when more queues follow", run: func(c *trial) {
		var urls []string
		for _, digit := range "0123456789" {
			url, err := c.again(c.named("p-" + string(digit)))
			if err != nil {
				c.t.Fatalf("CreateQueue: %v", err)
			}
			urls = append(urls, url)
		}
		in := &sqs.ListQueuesInput{QueueNamePrefix: aws.String(c.named("p-")), MaxResults: aws.Int32(2)}
		first, err := c.ListQueues(c.t.Context(), in)
		if err != nil || first.NextToken == nil {
			c.t.Fatalf("first page %v, %v", first, err)
		}
		in.MaxResults, in.NextToken = aws.Int32(10), first.NextToken
		rest, err := c.ListQueues(c.t.Context(), in)
		if err != nil {
			c.t.Fatalf("ListQueues: %v", err)
		}
		c.equal("the pages", [][]string{first.QueueUrls, rest.QueueUrls}, [][]string{urls[:2], urls[2:]})
		c.equal("the last token", rest.NextToken, nil)
	}},
	{source: "list_queues_multi_region_with_endpoint_strategy_standard", asserts: "a Region lists its own queues", run: otherRegion},
	{source: "list_queues_multi_region_with_endpoint_strategy_domain", asserts: "a Region lists its own queues", run: otherRegion},
	{source: "get_queue_url_multi_region[standard]", asserts: "a Region finds its own queues", run: otherRegion},
	{source: "get_queue_url_multi_region[domain]", asserts: "a Region finds its own queues", run: otherRegion},
	{source: "get_queue_url_multi_region[path]", asserts: "a Region finds its own queues", run: otherRegion},
	{source: "non_existent_queue", asserts: "a deleted queue does not exist", run: func(c *trial) {
		url := c.queue()
		if _, err := c.DeleteQueue(c.t.Context(), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
			c.t.Fatalf("DeleteQueue: %v", err)
		}
		_, err := c.GetQueueAttributes(c.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url})
		c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", 400, "The specified queue does not exist.")
		_, err = c.GetQueueUrl(c.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(nameOf(url))})
		c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", 400, "The specified queue does not exist.")
		expectError[*types.QueueDoesNotExist](c.t, err)
	}},
	{source: "sqs_permission_lifecycle", asserts: "a permission becomes a statement of the policy, and goes by its label", run: func(c *trial) {
		url := c.queue()
		_, err := c.AddPermission(c.t.Context(), &sqs.AddPermissionInput{
			QueueUrl: &url, Label: aws.String("l"), AWSAccountIds: []string{"668614515564"}, Actions: []string{"ReceiveMessage"},
		})
		if err != nil || !strings.Contains(c.attributes(url, "Policy")["Policy"], "SQS:ReceiveMessage") {
			c.t.Errorf("AddPermission: %v", err)
		}
	}},
	{source: "get_specific_queue_attribute_response", asserts: "only the attributes asked for come", run: func(c *trial) {
		url := c.queue("MessageRetentionPeriod", "604800", "DelaySeconds", "10", "RedrivePolicy", c.policy(c.queue()))
		got := c.attributes(url, "MessageRetentionPeriod", "RedrivePolicy")
		c.equal("the number of attributes", len(got), 2)
		c.equal("MessageRetentionPeriod", got["MessageRetentionPeriod"], "604800")
		c.equal("maxReceiveCount is a number", strings.Contains(got["RedrivePolicy"], `"maxReceiveCount":1`), true)
		c.equal("the ARN", strings.HasSuffix(c.arn(url), ":"+nameOf(url)), true)
	}},
	{source: "set_unsupported_attribute_standard", asserts: "a standard queue does not know FifoQueue", run: func(c *trial) {
		url := c.queue()
		for _, value := range []string{"true", "false"} {
			c.refused(c.setting(url, "FifoQueue", value), "InvalidAttributeName", 400, "Unknown Attribute FifoQueue.")
		}
	}},
	{source: "set_unsupported_attribute_fifo", asserts: "FifoQueue cannot be changed", run: func(c *trial) {
		c.refused(c.setting(c.queue(), "FifoQueue", "true"), "InvalidAttributeName", 400, "Unknown Attribute FifoQueue.")
		url := c.fifo()
		c.set(url, "FifoQueue", "true")
		c.refused(c.setting(url, "FifoQueue", "false"), "InvalidAttributeValue", 400,
			"Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.")
	}},
	{source: "set_queue_policy", asserts: "a policy comes back", run: func(c *trial) {
		url := c.queue()
		c.set(url, "Policy", accessPolicy(c.arn(url)))
		c.equal("Policy", strings.Contains(c.attributes(url, "Policy")["Policy"], "sqs:SendMessage"), true)
		c.equal("Policy among all", strings.Contains(c.attributes(url, "All")["Policy"], "sqs:SendMessage"), true)
	}},
	{source: "set_empty_queue_policy", asserts: "an empty policy takes the attribute away", run: func(c *trial) {
		url := c.queue()
		for _, policy := range []string{"", accessPolicy(c.arn(url)), ""} {
			c.set(url, "Policy", policy)
			_, has := c.attributes(url, "All")["Policy"]
			c.equal("the queue has a policy", has, policy != "")
		}
	}},
	{source: "set_empty_redrive_policy", asserts: "an empty redrive policy takes the attribute away; a queue may be its own target", run: func(c *trial) {
		url := c.queue()
		for _, policy := range []string{"", strings.Replace(c.policy(url), ":1}", `:"42"}`, 1), ""} {
			c.set(url, "RedrivePolicy", policy)
			got, has := c.attributes(url, "All")["RedrivePolicy"]
			c.equal("the queue has a redrive policy", has, policy != "")
			c.equal("it names the target", strings.Contains(got, c.arn(url)), policy != "")
		}
	}},
	{source: "sse_queue_attributes", asserts: "a queue has either KMS's encryption or SQS's", run: func(c *trial) {
		url := c.queue()
		want := map[string]string{"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000", "SqsManagedSseEnabled": "false"}
		c.setAll(url, want)
		c.equal("with a key", c.attributes(url, "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"), want)
		url = c.queue()
		c.set(url, "SqsManagedSseEnabled", "true")
		c.equal("without", c.attributes(url, "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"), map[string]string{"SqsManagedSseEnabled": "true"})
	}},
	{source: "set_queue_attributes_default_values", asserts: "a key turns SQS's encryption off, and an empty one goes", run: func(c *trial) {
		url := c.queue()
		c.subset(c.attributes(url, "All"), map[string]string{"SqsManagedSseEnabled": "true", "KmsMasterKeyId": "", "VisibilityTimeout": "30", "MaximumMessageSize": "1048576"})
		c.setAll(url, map[string]string{"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"})
		c.subset(c.attributes(url, "All"), map[string]string{"SqsManagedSseEnabled": "false", "KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"})
		c.setAll(url, map[string]string{"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"})
		got := c.attributes(url, "All")
		_, key := got["KmsMasterKeyId"]
		_, period := got["KmsDataKeyReusePeriodSeconds"]
		c.equal("key, period, SQS's encryption", []any{key, period, got["SqsManagedSseEnabled"]}, []any{false, false, "false"})
	}},
	{source: "approximate_number_of_messages_not_visible", asserts: "a received message counts as not visible until its timeout", run: func(c *trial) {
		url := c.queue("VisibilityTimeout", "2")
		c.send(url, "1", "2", "3", "4", "5", "6")
		c.receive(url, most(1))
		c.expectCounts(url, 5, 1, 0)
		c.pass(2)
		c.expectCounts(url, 6, 0, 0)
	}},
	{source: "fifo_approximate_number_of_messages_not_visible", asserts: "messages that are only blocked count as visible", run: func(c *trial) {
		url := c.made1(c.create(c.named("f.fifo"), "FifoQueue", "True", "ContentBasedDeduplication", "True", "VisibilityTimeout", "2"))
		for _, group := range []string{"1", "2", "3"} {
			c.grouped(url, group, group+"-a", group+"-b")
		}
		for _, group := range []string{"1", "2"} {
			c.equal("the group", c.one(url, most(1)).Attributes["MessageGroupId"], group)
		}
		c.expectCounts(url, 4, 2, 0)
		c.pass(2)
		c.expectCounts(url, 6, 0, 0)
	}},
	{source: "fifo_approx_number_of_messages", asserts: "received and deleted messages do not count as visible", run: func(c *trial) {
		url := c.fifo("ContentBasedDeduplication", "true")
		c.expectCounts(url, 0, 0, 0)
		c.grouped(url, "1", "a", "b", "c")
		c.grouped(url, "2", "d")
		c.grouped(url, "3", "e")
		c.expectCounts(url, 5, 0, 0)
		got := c.receive(url, most(4))
		c.expectCounts(url, 1, 4, 0)
		for _, m := range got {
			c.delete(url, m.ReceiptHandle)
		}
		c.expectCounts(url, 1, 0, 0)
	}},
	{source: "fifo_set_content_based_deduplication_strategy", asserts: "ContentBasedDeduplication can be changed", run: func(c *trial) {
		url := c.fifo("SqsManagedSseEnabled", "true", "ContentBasedDeduplication", "true")
		want := map[string]string{
			"ContentBasedDeduplication": "true", "DeduplicationScope": "queue", "FifoQueue": "true", "FifoThroughputLimit": "perQueue", "SqsManagedSseEnabled": "true",
		}
		c.subset(c.attributes(url, "All"), want)
		c.set(url, "ContentBasedDeduplication", "false")
		want["ContentBasedDeduplication"] = "false"
		c.subset(c.attributes(url, "All"), want)
	}},
	{source: api + "API_ListDeadLetterSourceQueues.html", asserts: "the sources of a dead-letter queue are listed", run: func(c *trial) {
		url, dlq := c.pipe()
		out, err := c.ListDeadLetterSourceQueues(c.t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
		if err != nil {
			c.t.Fatalf("ListDeadLetterSourceQueues: %v", err)
		}
		c.equal("the sources", out.QueueUrls, []string{url})
	}},
}

// otherRegion asks another Region for a queue that it does not have.
func otherRegion(c *trial) {
	url := c.queue()
	_, err := c.GetQueueUrl(c.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(nameOf(url))}, func(o *sqs.Options) { o.Region = "eu-central-1" })
	c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", 400, "")
}

func accessPolicy(arn string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sqs:SendMessage","Resource":"` + arn + `"}]}`
}

func (c *trial) list(prefix string) []string {
	c.t.Helper()
	out, err := c.ListQueues(c.t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String(c.named(prefix))})
	if err != nil {
		c.t.Fatalf("ListQueues: %v", err)
	}
	return out.QueueUrls
}

// setting sets an attribute and returns the error.
func (c *trial) setting(url, name, value string) error {
	_, err := c.SetQueueAttributes(c.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}})
	return err
}

func (c *trial) setAll(url string, attributes map[string]string) {
	c.t.Helper()
	if _, err := c.SetQueueAttributes(c.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: attributes}); err != nil {
		c.t.Fatalf("SetQueueAttributes: %v", err)
	}
}

var tagFacts = []fact{
	{source: "tag_untag_queue", asserts: "tags are set and taken away, also empty ones", run: func(c *trial) {
		url := c.queue()
		tags := map[string]string{"tag1": "value1", "tag2": "value2", "tag3": ""}
		c.tag(url, tags)
		c.equal("the tags", c.tags(url), tags)
		c.untag(url, "tag1", "tag3")
		c.equal("the tags", c.tags(url), map[string]string{"tag2": "value2"})
		c.untag(url, "tag2")
		c.equal("the number of tags", len(c.tags(url)), 0)
	}},
	{source: "tags_case_sensitive", asserts: "names of tags differ by case", run: func(c *trial) {
		url, tags := c.queue(), map[string]string{"MyTag": "value1", "mytag": "value2"}
		c.tag(url, tags)
		c.equal("the tags", c.tags(url), tags)
	}},
	{source: "untag_queue_ignores_non_existing_tag", asserts: "a tag that is not there is taken away without an error", run: func(c *trial) {
		url := c.queue()
		c.tag(url, map[string]string{"tag1": "value1", "tag2": "value2"})
		c.untag(url, "tag1", "tag3")
		c.equal("the tags", c.tags(url), map[string]string{"tag2": "value2"})
	}},
	{source: "tag_queue_overwrites_existing_tag", asserts: "a tag is overwritten, the others stay", run: func(c *trial) {
		url := c.queue()
		c.tag(url, map[string]string{"tag1": "value1", "tag2": "value2"})
		c.tag(url, map[string]string{"tag1": "VALUE1", "tag3": "value3"})
		c.equal("the tags", c.tags(url), map[string]string{"tag1": "VALUE1", "tag2": "value2", "tag3": "value3"})
	}},
	{source: "list_queue_tags", asserts: "tags are listed", run: func(c *trial) {
		url, tags := c.queue(), map[string]string{"testTag1": "test1", "testTag2": "test2"}
		c.tag(url, tags)
		c.equal("the tags", c.tags(url), tags)
	}},
	{source: "queue_list_nonexistent_tags", asserts: "a queue without tags has none", run: func(c *trial) {
		c.equal("the number of tags", len(c.tags(c.queue())), 0)
	}},
}

func (c *trial) tag(url string, tags map[string]string) {
	c.t.Helper()
	if _, err := c.TagQueue(c.t.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: tags}); err != nil {
		c.t.Fatalf("TagQueue: %v", err)
	}
}

func (c *trial) untag(url string, names ...string) {
	c.t.Helper()
	if _, err := c.UntagQueue(c.t.Context(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: names}); err != nil {
		c.t.Fatalf("UntagQueue: %v", err)
	}
}

func (c *trial) tags(url string) map[string]string {
	c.t.Helper()
	out, err := c.ListQueueTags(c.t.Context(), &sqs.ListQueueTagsInput{QueueUrl: &url})
	if err != nil {
		c.t.Fatalf("ListQueueTags: %v", err)
	}
	return out.Tags
}
