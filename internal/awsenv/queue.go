package awsenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/redrive"
)

const (
	fifoSuffix       = ".fifo"
	maxReceiveCount  = 10
	dlqRetention     = 14 * 24 * 60 * 60 // seconds; the longest SQS allows
	longestQueueName = 80
)

var queueNamePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.fifo)?$`)

// QueueName returns the name of the queue with the given URL, the last element of its path. A plain
// name is returned unchanged. The error names the URL if it has no valid queue name.
func QueueName(queueURL string) (string, error) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return "", fmt.Errorf("queue URL %q: %w", queueURL, errors.Unwrap(err))
	}
	name := path.Base(u.Path)
	if len(name) > longestQueueName || !queueNamePattern.MatchString(name) {
		return "", fmt.Errorf("queue URL %q: does not end in a queue name (1 to %d letters, digits, - and _)",
			queueURL, longestQueueName)
	}
	return name, nil
}

// queueHosts are the hosts of queue URLs on AWS, with the Region as the group.
// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-internetwork-traffic-privacy.html
var queueHosts = []*regexp.Regexp{
	regexp.MustCompile(`^sqs(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)$`), // also dual-stack
	regexp.MustCompile(`^([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?$`),                      // legacy
	regexp.MustCompile(`\.sqs\.([a-z0-9-]+)\.vpce\.amazonaws\.com(?:\.cn)?$`),                 // VPC endpoint
}

// QueueRegion returns the AWS Region in a queue URL, "" if the URL names none.
func QueueRegion(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if host == "queue.amazonaws.com" {
		return "us-east-1" // legacy
	}
	for _, pattern := range queueHosts {
		if found := pattern.FindStringSubmatch(host); found != nil {
			return found[1]
		}
	}
	return ""
}

// CheckRegions returns a [*SettingsError] if the URL of a queue or of its dead-letter queue names
// another Region than cfg. SQS would answer that the queue does not exist. Either URL may be empty.
// With a configured endpoint there is no check, because the SDK ignores the host of the URL.
func CheckRegions(cfg aws.Config, queueURL, dlqURL string) error {
	if EndpointOverridden(cfg, "SQS") {
		return nil
	}
	var problems []string
	for _, queue := range []struct{ flag, url string }{{"--queue-url", queueURL}, {"--dlq-url", dlqURL}} {
		if region := QueueRegion(queue.url); region != "" && region != cfg.Region {
			problems = append(problems, fmt.Sprintf("%s %s is in Region %s, but the AWS configuration (AWS_REGION, or the profile) says %s",
				queue.flag, queue.url, region, cfg.Region))
		}
	}
	if len(problems) > 0 {
		return &SettingsError{Problems: problems}
	}
	return nil
}

// CreateQueue creates the queue named by the last element of queueURL and its dead-letter queue
// unless they exist, and returns their URLs. The dead-letter queue is NAME-dlq (NAME-dlq.fifo for
// NAME.fifo) and keeps messages for 14 days. The queue moves a message to it after ten receives.
//
// An existing queue is not changed. dlqURL is then the queue in its redrive policy. Without a
// policy dlqURL is NAME-dlq, which the worker uses for its own copies of messages.
func CreateQueue(ctx context.Context, client *sqs.Client, queueURL string) (mainURL, dlqURL string, err error) {
	name, err := QueueName(queueURL)
	if err != nil {
		return "", "", err
	}
	dlqName, attributes := deadLetterName(name), map[string]string{}
	if strings.HasSuffix(name, fifoSuffix) {
		attributes["FifoQueue"] = "true"
	}
	mainURL, found, err := findQueue(ctx, client, name)
	if err != nil {
		return "", "", err
	}
	if found {
		if dlqURL, err = redriveTarget(ctx, client, mainURL); err != nil || dlqURL != "" {
			return mainURL, dlqURL, err
		}
	}

	dlqAttributes := maps.Clone(attributes)
	dlqAttributes["MessageRetentionPeriod"] = strconv.Itoa(dlqRetention)
	if dlqURL, err = ensureQueue(ctx, client, dlqName, dlqAttributes); err != nil || found {
		return mainURL, dlqURL, err
	}
	if attributes["RedrivePolicy"], err = redrivePolicy(ctx, client, dlqURL); err != nil {
		return "", "", err
	}
	mainURL, err = ensureQueue(ctx, client, name, attributes)
	return mainURL, dlqURL, err
}

// deadLetterName returns the name of the dead-letter queue for a queue. It is cut to the longest
// name that SQS allows.
func deadLetterName(name string) string {
	base, fifo := strings.CutSuffix(name, fifoSuffix)
	suffix := "-dlq"
	if fifo {
		suffix += fifoSuffix
	}
	return base[:min(len(base), longestQueueName-len(suffix))] + suffix
}

// findQueue returns the URL of a queue and whether it exists.
func findQueue(ctx context.Context, client *sqs.Client, name string) (string, bool, error) {
	out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look for queue %q: %w", name, err)
	}
	return aws.ToString(out.QueueUrl), true, nil
}

// ensureQueue creates a queue unless one of that name exists, with any attributes.
func ensureQueue(ctx context.Context, client *sqs.Client, name string, attributes map[string]string) (string, error) {
	if queueURL, found, err := findQueue(ctx, client, name); err != nil || found {
		return queueURL, err
	}
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err == nil {
		return aws.ToString(out.QueueUrl), nil
	}
	// Another process may have created it in the meantime, with other attributes.
	if queueURL, found, _ := findQueue(ctx, client, name); found {
		return queueURL, nil
	}
	return "", fmt.Errorf("create queue %q: %w", name, err)
}

// redrivePolicy returns the policy that moves messages to the given queue after ten receives.
func redrivePolicy(ctx context.Context, client *sqs.Client, dlqURL string) (string, error) {
	arn, err := queueAttribute(ctx, client, dlqURL, types.QueueAttributeNameQueueArn)
	if err != nil {
		return "", err
	}
	policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": arn, "maxReceiveCount": maxReceiveCount})
	if err != nil {
		return "", fmt.Errorf("redrive policy to %s: %w", dlqURL, err)
	}
	return string(policy), nil
}

// redriveTarget returns the URL of a queue's dead-letter queue, "" if it has none.
func redriveTarget(ctx context.Context, client *sqs.Client, queueURL string) (string, error) {
	policy, err := redrive.Read(ctx, client, queueURL)
	if err != nil {
		return "", err
	}
	dlqURL, err := policy.TargetURL(ctx, client)
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		err = fmt.Errorf("redrive policy of %s: its dead-letter queue %q does not exist", queueURL, policy.TargetARN)
	}
	return dlqURL, err
}

// queueAttribute returns one attribute of a queue, "" if it is not set.
func queueAttribute(
	ctx context.Context, client *sqs.Client, queueURL string, name types.QueueAttributeName,
) (string, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{name},
	})
	if err != nil {
		return "", fmt.Errorf("read %s of %s: %w", name, queueURL, err)
	}
	return out.Attributes[string(name)], nil
}
