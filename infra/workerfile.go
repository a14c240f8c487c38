package infra

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"go.yaml.in/yaml/v3"
)

// Fields of a queue in a file of worker --config.
const (
	fieldQueueURL = "queue-url"
	fieldDLQURL   = "dlq-url"
	fieldTable    = "table"
	fieldScope    = "scope"
)

// workerFile is a file of worker --config. The stack reads the fields that its rights depend on.
// The worker checks all of it when it starts.
type workerFile struct {
	document yaml.Node
	// items are the entries of the list of queues in the document, queues their fields.
	items  []*yaml.Node
	queues []map[string]yaml.Node
}

// otherQueue is a queue of the file that is not the stack's own.
type otherQueue struct {
	name, arn, dlqARN string
	table             string // empty: the stack's
}

// workerFileOf reads the text of a file; nil for an empty text.
func workerFileOf(text string) (*workerFile, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no file is no error
	}
	var f workerFile
	var top struct {
		Queues yaml.Node `yaml:"queues"`
	}
	err := yaml.Unmarshal([]byte(text), &f.document)
	if err == nil && len(f.document.Content) == 0 {
		err = errors.New("it is empty")
	}
	if err == nil {
		err = f.document.Decode(new(any)) // refuses an anchor that contains itself
	}
	if err == nil {
		expand(&f.document)
		err = f.document.Decode(&top)
	}
	if err == nil {
		err = top.Queues.Decode(&f.queues)
	}
	if err == nil {
		fields := f.document.Content[0].Content
		for i := 1; i < len(fields); i += 2 {
			if fields[i-1].Value == "queues" {
				f.items = fields[i].Content
			}
		}
		if len(f.items) != len(f.queues) {
			err = errors.New("no list of queues in the field queues")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not a file of worker --config: %w", err)
	}
	return &f, nil
}

// expand replaces each alias below the node by a copy of what it stands for, and drops anchors. No
// anchor contains itself.
func expand(node *yaml.Node) {
	for node.Kind == yaml.AliasNode {
		*node = *node.Alias
	}
	node.Anchor = ""
	node.Content = slices.Clone(node.Content)
	for i, child := range node.Content {
		part := *child // an alias elsewhere may need the original
		node.Content[i] = &part
		expand(&part)
	}
}

// readFile is the setter of a field that gets the text of a file.
func readFile(field *string) setter {
	return func(path string) error {
		text, err := os.ReadFile(path)
		if err == nil && len(text) == 0 {
			err = errors.New("the file is empty")
		}
		if err == nil {
			*field = string(text)
		}
		return err
	}
}

// addressPattern matches the URL of a queue on AWS.
// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
var addressPattern = regexp.MustCompile(`^sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$`)

// arnOf returns the ARN of the queue with a URL; "" for any other text.
func arnOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	host, path := addressPattern.FindStringSubmatch(u.Host), strings.Split(u.Path, "/")
	if host == nil || len(path) != 3 {
		return ""
	}
	arn := "arn:" + partition(host[1]) + ":sqs:" + host[1] + ":" + path[1] + ":" + path[2]
	if !queuePattern.MatchString(arn) {
		return ""
	}
	return arn
}

// partition returns the partition of a Region.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// others returns the queues that are not the stack's own; none without a file. The file has no
// problems.
func (f *workerFile) others() (found []otherQueue) {
	if f == nil {
		return nil
	}
	for _, q := range f.queues {
		if arn := arnOf(q[fieldQueueURL].Value); arn != "" {
			found = append(found, otherQueue{arn[strings.LastIndex(arn, ":")+1:], arn, arnOf(q[fieldDLQURL].Value), q[fieldTable].Value})
		}
	}
	return found
}

// otherQueues reports whether the file has queues that are not the stack's own. A file with an
// error counts as one that has: workerFileProblems reports the error.
func (c Config) otherQueues() bool {
	f, err := workerFileOf(c.Worker.File)
	return err != nil || len(f.others()) > 0
}

// workerFileProblems checks the file of queues.
func (c Config) workerFileProblems(found *problemList) {
	f, err := workerFileOf(c.Worker.File)
	if err != nil {
		found.bad(true, "workerConfig: %v", err)
		return
	}
	if f == nil {
		return
	}
	own := 0
	for i, q := range f.queues {
		name := fmt.Sprintf("workerConfig: queue %d", i+1)
		if q == nil {
			found.bad(true, "%s: must have fields", name)
			continue
		}
		if slices.ContainsFunc(f.items[i].Content, func(n *yaml.Node) bool { return n.Tag == "!!merge" }) {
			found.bad(true, "%s: <<: unknown field", name) // as for the worker
			continue
		}
		if address, given := q[fieldQueueURL]; !given {
			own++
			for _, field := range []string{fieldDLQURL, fieldTable, fieldScope} {
				_, set := q[field]
				found.bad(set, "%s: %s %q: the stack sets it, because the queue without %s is its own", name, field, q[field].Value, fieldQueueURL)
			}
		} else {
			found.bad(arnOf(address.Value) == "", "%s: %s %q: not https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", name, fieldQueueURL, address.Value)
			found.bad(arnOf(q[fieldDLQURL].Value) == "", "%s: %s %q: is required, as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, for the worker's right to send there",
				name, fieldDLQURL, q[fieldDLQURL].Value)
			table, set := q[fieldTable]
			found.bad(set && !tablePattern.MatchString(table.Value), "%s: table %q: not the name of a table", name, table.Value)
		}
		for _, field := range sortedKeys(q) {
			found.bad(strings.HasSuffix(field, "-file"), "%s: %s: the image has no files", name, field)
			found.bad(slices.Contains([]string{"target-token", "target-secret"}, field),
				"%s: %s: would be readable in the template; use targetTokenSecret and targetSigningSecret, which hold for all queues", name, field)
		}
	}
	found.bad(own != 1, "workerConfig: %d queues without %s: want one, which is the stack's own", own, fieldQueueURL)
	found.bad(c.Scaling.MinTasks == 0, "minTasks 0: scaling counts the messages of the stack's own queue, and workerConfig has %d queues", len(f.queues))
}

// render returns the text of the file with the addresses of the stack's own queue.
func (f *workerFile) render(place workplace) (string, error) {
	for i, q := range f.queues {
		if _, given := q[fieldQueueURL]; given {
			continue
		}
		for _, add := range [][2]string{
			{fieldQueueURL, *place.Queues.Main.QueueUrl()}, {fieldDLQURL, *place.Queues.Dead.QueueUrl()}, {fieldScope, place.Config.queueName()},
		} {
			f.items[i].Content = append(f.items[i].Content,
				&yaml.Node{Kind: yaml.ScalarNode, Value: add[0]}, &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: add[1]})
		}
	}
	text, err := yaml.Marshal(&f.document)
	return string(text), err
}

// severalQueues returns the text of the worker's file of queues, and those that are not the stack's
// own; nothing without a file.
func severalQueues(place workplace) (text string, others []otherQueue, err error) {
	f, err := workerFileOf(place.Config.Worker.File)
	if f == nil || err != nil {
		return "", nil, err
	}
	text, err = f.render(place)
	return text, f.others(), err
}

// shown returns the names of the dashboard's queues, with those of the worker's other queues.
func shown(names []string, others []otherQueue) []string {
	all := slices.Clone(names)
	for _, q := range others {
		if !slices.Contains(all, q.name) {
			all = append(all, q.name)
		}
	}
	return all
}

// grantOthers grants the task the rights on queues and tables that are not the stack's own.
func grantOthers(scope constructs.Construct, task awsecs.FargateTaskDefinition, others []otherQueue) {
	tables := make(map[string]bool)
	var queues, dead []string
	for _, q := range others {
		queues, dead = append(queues, q.arn), append(dead, q.dlqARN)
		if q.table != "" {
			tables[q.table] = true
		}
	}
	if len(queues) == 0 {
		return
	}
	slices.Sort(dead)
	task.AddToTaskRolePolicy(allow("WorkOnOtherQueues", consumeActions, *jsii.Strings(queues...)...))
	task.AddToTaskRolePolicy(allow("DeadLetterOfOtherQueues", deadLetterActions, *jsii.Strings(slices.Compact(dead)...)...))
	for _, name := range sortedKeys(tables) {
		table := awsdynamodb.Table_FromTableName(scope, jsii.String("Table-"+name), &name)
		task.AddToTaskRolePolicy(allow("KeepRecordsIn"+*awscdk.Names_NodeUniqueId(table.Node()), recordActions, table.TableArn()))
		task.AddToTaskRolePolicy(allow("ListRecordsIn"+*awscdk.Names_NodeUniqueId(table.Node()), listActions, attentionArn(table)))
	}
}
