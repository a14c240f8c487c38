// Package guard compares the deployed template with the next one. It finds resources with data that
// would be dropped or replaced, and a worker that would get another target, queue or table.
package guard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Loss is one change that needs confirmation on the command line of a deployment.
type Loss struct {
	// Key is the configuration key that confirms the change in -c change=KEY.
	Key string
	// What describes the change, with the resource or the values.
	What string
}

// String returns the change and its confirmation in one line.
func (l Loss) String() string { return l.What + " (-c change=" + l.Key + ")" }

// stateful are the types of resources that hold data. Each has the configuration key that creates
// it, and the properties that CloudFormation changes only by replacement.
var stateful = map[string]struct {
	key       string
	immutable map[string]string // property to the configuration key that sets it
}{
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
	"AWS::SQS::Queue": {"queueArn", map[string]string{"FifoQueue": "fifo", "QueueName": "fifo"}},
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
	"AWS::DynamoDB::Table": {"tableName", map[string]string{
		"TableName": "tableName", "KeySchema": "tableName", "ImportSourceSpecification": "tableName",
	}},
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-secret.html
	"AWS::SecretsManager::Secret": {"producer", map[string]string{"Name": "producer"}},
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
	"AWS::S3::Bucket": {"public", map[string]string{"BucketName": "public", "BucketNamePrefix": "public", "BucketNamespace": "public", "ObjectLockEnabled": "public"}},
}

// template is the compared part of a CloudFormation template.
type template struct {
	Resources map[string]resource
}

type resource struct {
	Type       string
	Properties map[string]any
}

// Losses returns the changes that need confirmation if next replaces deployed, sorted. It fails if
// one of them is not a template.
func Losses(deployed, next []byte) ([]Loss, error) {
	var was, is template
	if err := json.Unmarshal(deployed, &was); err != nil {
		return nil, fmt.Errorf("the deployed template: %w", err)
	}
	if err := json.Unmarshal(next, &is); err != nil {
		return nil, fmt.Errorf("the new template: %w", err)
	}
	found := append(resources(was, is), settings(was, is)...)
	slices.SortFunc(found, func(a, b Loss) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.What, b.What)) })
	return slices.Compact(found), nil
}

// resources returns the losses of resources that hold data.
func resources(was, is template) (found []Loss) {
	for id, old := range was.Resources {
		kind, holds := stateful[old.Type]
		if !holds {
			continue
		}
		next, stays := is.Resources[id]
		if !stays {
			key := kind.key
			switch {
			case strings.HasPrefix(id, "Worker"): // its token
				key = "adminFrom"
			case strings.HasPrefix(id, "Schedules"): // the queue for unsent messages
				key = "delays"
			}
			found = append(found, Loss{key, "drops " + id + ", " + old.Type})
			continue
		}
		for property, key := range kind.immutable {
			if !reflect.DeepEqual(old.Properties[property], next.Properties[property]) {
				found = append(found, Loss{key, fmt.Sprintf("replaces %s, %s: %s is %v, and would be %v",
					id, old.Type, property, shown(old.Properties[property]), shown(next.Properties[property]))})
			}
		}
	}
	return found
}

// addresses are the worker's environment variables with the addresses of its state, and their
// configuration keys.
var addresses = map[string]string{
	"SQSONCE_QUEUE_URL": "queueArn", "SQSONCE_DLQ_URL": "dlqArn", "SQSONCE_TABLE": "tableName", "SQSONCE_SCOPE": "name",
}

// settings returns the changes of the worker's queue, table, scope and target.
func settings(was, is template) (found []Loss) {
	old, had := was.worker()
	next, has := is.worker()
	if !had || !has {
		return nil
	}
	// A worker of several queues has their addresses in one text.
	const several = "SQSONCE_CONFIG_TEXT"
	if a, b := old.variable(several), next.variable(several); !reflect.DeepEqual(a, b) {
		found = append(found, Loss{"workerConfig", "changes the queues of the worker, in " + several})
	}
	moved := (old.variable(several) == nil) != (next.variable(several) == nil)
	for variable, key := range addresses {
		if moved && variable != "SQSONCE_TABLE" {
			continue
		}
		if a, b := old.variable(variable), next.variable(variable); !reflect.DeepEqual(a, b) {
			found = append(found, Loss{key, fmt.Sprintf("changes %s of the worker: %s, and would be %s", variable, shown(a), shown(b))})
		}
	}
	if a, b := was.target(old), is.target(next); a != b {
		found = append(found, Loss{"target", fmt.Sprintf("changes the target: %s, and would be %s", a, b)})
	}
	return found
}

// container is a container of a task definition.
type container map[string]any

// worker returns the container of the worker.
func (t template) worker() (container, bool) { return t.container("worker") }

func (t template) container(name string) (container, bool) {
	for _, r := range t.Resources {
		list, _ := r.Properties["ContainerDefinitions"].([]any)
		for _, c := range list {
			if c, ok := c.(map[string]any); ok && c["Name"] == name {
				return c, true
			}
		}
	}
	return nil, false
}

// variable returns the value of an environment variable of the container, nil if it is not set.
func (c container) variable(name string) any {
	list, _ := c["Environment"].([]any)
	for _, v := range list {
		if v, ok := v.(map[string]any); ok && v["Name"] == name {
			return v["Value"]
		}
	}
	return nil
}

// target returns a text that identifies the worker's target. It leaves out the tag of an image,
// because another version of an app is the same target.
func (t template) target(worker container) string {
	if beside, ok := t.container("target"); ok {
		image := shown(beside["Image"])
		if at := strings.LastIndexAny(image, ":@"); at > strings.LastIndex(image, "/") {
			image = image[:at]
		}
		return "image " + image
	}
	if url := worker.variable("SQSONCE_TARGET_URL"); url != nil {
		return shown(url)
	}
	return "none"
}

// shown returns a value of a template as text.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "unset"
	case string:
		return v
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
}

// Immutable returns the compared properties of each type, sorted.
func Immutable() map[string][]string {
	found := make(map[string][]string)
	for kind, s := range stateful {
		found[kind] = slices.Sorted(maps.Keys(s.immutable))
	}
	return found
}
