package guard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// of returns a template with a queue, a table and a worker.
func of(queue, table, worker string) string {
	return fmt.Sprintf(`{"Resources": {%s %s "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": [%s]}}}}`,
		queue, table, worker)
}

const (
	queue  = `"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs"}},`
	table  = `"Table": {"Type": "AWS::DynamoDB::Table", "Properties": {}},`
	worker = `{"Name": "worker", "Environment": [{"Name": "SQSONCE_TABLE", "Value": {"Ref": "Table"}}]}`
	aside  = `{"Name": "target", "Image": "example.com:5000/app:1"},` + worker
)

func TestLosses(t *testing.T) {
	for name, tc := range map[string]struct {
		was, is string
		want    []string // the beginnings of the lines
	}{
		"nothing":  {of(queue, table, worker), of(queue, table, worker), nil},
		"no queue": {of(queue, table, worker), of("", table, worker), []string{"drops Queue, AWS::SQS::Queue (-c change=queueArn)"}},
		"no token": {
			of(`"WorkerAdminToken": {"Type": "AWS::SecretsManager::Secret", "Properties": {}},`, table, worker), of("", table, worker),
			[]string{"drops WorkerAdminToken, AWS::SecretsManager::Secret (-c change=adminFrom)"},
		},
		"no delays": {
			of(`"SchedulesUnsent1": {"Type": "AWS::SQS::Queue", "Properties": {}},`, table, worker), of("", table, worker),
			[]string{"drops SchedulesUnsent1, AWS::SQS::Queue (-c change=delays)"},
		},
		"several queues": {
			of(queue, table, strings.ReplaceAll(worker, `[`, `[{"Name": "SQSONCE_QUEUE_URL", "Value": "jobs"}, {"Name": "SQSONCE_SCOPE", "Value": "jobs"}, `)),
			of(queue, table, strings.ReplaceAll(worker, `[`, `[{"Name": "SQSONCE_CONFIG_TEXT", "Value": "queues: []"}, `)),
			[]string{"changes the queues of the worker, in SQSONCE_CONFIG_TEXT (-c change=workerConfig)"},
		},
		"no table": {of(queue, table, worker), of(queue, "", worker), []string{"drops Table"}},
		"another name": {
			of(queue, table, worker), of(strings.ReplaceAll(queue, "jobs", "jobs.fifo"), table, worker),
			[]string{"replaces Queue, AWS::SQS::Queue: QueueName is jobs, and would be jobs.fifo (-c change=fifo)"},
		},
		"another table": {
			of(queue, table, worker), of(queue, table, strings.ReplaceAll(worker, `{"Ref": "Table"}`, `"restored"`)),
			[]string{`changes SQSONCE_TABLE of the worker: {"Ref":"Table"}, and would be restored (-c change=tableName)`},
		},
		"a target":      {of(queue, table, worker), of(queue, table, aside), []string{"changes the target: none, and would be image example.com:5000/app"}},
		"no target":     {of(queue, table, aside), of(queue, table, worker), []string{"changes the target: image example.com:5000/app, and would be none"}},
		"a version":     {of(queue, table, aside), of(queue, table, strings.ReplaceAll(aside, "app:1", "app:2")), nil},
		"another image": {of(queue, table, aside), of(queue, table, strings.ReplaceAll(aside, "/app:1", "/web:1")), []string{"changes the target"}},
		"a new one":     {of("", table, worker), of(queue, table, worker), nil},
	} {
		t.Run(name, func(t *testing.T) {
			losses, err := Losses([]byte(tc.was), []byte(tc.is))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(losses, tc.want, func(l Loss, want string) bool { return strings.HasPrefix(l.String(), want) }) {
				t.Errorf("losses %q, want %q", losses, tc.want)
			}
		})
	}
	t.Run("no template", func(t *testing.T) {
		for _, pair := range [][2]string{{"x", "{}"}, {"{}", "x"}} {
			if _, err := Losses([]byte(pair[0]), []byte(pair[1])); err == nil {
				t.Errorf("%q are templates", pair)
			}
		}
	})
}
