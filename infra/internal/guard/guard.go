// Package guard compares the template that is deployed with the one that would be: what would be
// dropped or replaced that holds data, and does the worker keep its target, queue and table?
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

// Loss is one change that a deployment has to be told to make.
type Loss struct {
	// Key is the key of the configuration that names the change in -c change=KEY.
	Key string
	// What would happen, with the resource or the values.
	What string
}

// String is a line for people.
func (l Loss) String() string { return l.What + " (-c change=" + l.Key + ")" }

// stateful are the types of resources that hold data, the key that decides whether there is one,
// and their properties that CloudFormation does not change in place.
var stateful = map[string]struct {
	key       string
	immutable map[string]string // property to the key that decides it
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

// template is a CloudFormation template, as far as it is compared.
type template struct {
	Resources map[string]resource
}

type resource struct {
	Type       string
	Properties map[string]any
}

// Losses returns what the deployment of a template over another one would drop or replace, in a
// fixed order. The error is that one of them is no template.
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

// resources are the losses of resources that hold data.
func resources(was, is template) (found []Loss) {
	for id, old := range was.Resources {
		kind, holds := stateful[old.Type]
		if !holds {
			continue
		}
		next, stays := is.Resources[id]
		if !stays {
			key := kind.key
			if strings.HasPrefix(id, "Worker") { // its token
				key = "adminFrom"
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

// addresses are the variables of the worker that say where its state is, with their keys.
var addresses = map[string]string{
	"SQSONCE_QUEUE_URL": "queueArn", "SQSONCE_DLQ_URL": "dlqArn", "SQSONCE_TABLE": "tableName", "SQSONCE_SCOPE": "name",
}

// settings are changes of where the worker's state and target are.
func settings(was, is template) (found []Loss) {
	old, had := was.worker()
	next, has := is.worker()
	if !had || !has {
		return nil
	}
	for variable, key := range addresses {
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

// variable is the value of a variable of the container; nil: it has none.
func (c container) variable(name string) any {
	list, _ := c["Environment"].([]any)
	for _, v := range list {
		if v, ok := v.(map[string]any); ok && v["Name"] == name {
			return v["Value"]
		}
	}
	return nil
}

// target says what the worker hands its messages to. The tag of an image does not count: another
// version of an app is the same target.
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

// shown is a value of a template as text.
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

// Immutable returns the properties that the guard compares of each type, sorted.
func Immutable() map[string][]string {
	found := make(map[string][]string)
	for kind, s := range stateful {
		found[kind] = slices.Sorted(maps.Keys(s.immutable))
	}
	return found
}
