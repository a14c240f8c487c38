package infra

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/doctor"
)

const root = "github.com/sqsonce/sqsonce"

// records are the rights that each call to DynamoDB needs. A batch of statements and a transaction
// need the right for each of their parts.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
var records = map[string][]string{
	"GetItem":               {"table dynamodb:GetItem"},
	"PutItem":               {"table dynamodb:PutItem"},
	"BatchGetItem":          {"table dynamodb:BatchGetItem"},
	"BatchExecuteStatement": {"table dynamodb:PartiQLInsert", "table dynamodb:PartiQLUpdate"},
	"TransactWriteItems":    {"table dynamodb:PutItem", "table dynamodb:UpdateItem", "table dynamodb:ConditionCheckItem"},
	"Query":                 {"index dynamodb:Query"},
	"DescribeTable":         {"table dynamodb:DescribeTable"},
	"DescribeTimeToLive":    {"table dynamodb:DescribeTimeToLive"},
}

// ofWorker are the rights that the worker's calls need, each with its resource.
var ofWorker = with(records, map[string][]string{
	"PurgeQueue":                   {}, // the console offers it with --local only
	"ReceiveMessage":               {"main sqs:ReceiveMessage"},
	"DeleteMessageBatch":           {"main sqs:DeleteMessage"},
	"ChangeMessageVisibilityBatch": {"main sqs:ChangeMessageVisibility"},
	"SendMessage":                  {"dead sqs:SendMessage"},
	"SendMessageBatch":             {"dead sqs:SendMessage"},
	"GetQueueAttributes":           {"main sqs:GetQueueAttributes", "dead sqs:GetQueueAttributes"},
	"GetQueueUrl":                  {"dead sqs:GetQueueUrl"},
})

// ofProducer are the rights for "producer serve" and for the command line, which makes the same
// calls when it does not use the API.
var ofProducer = with(records, map[string][]string{
	"SendMessage":                  {"main sqs:SendMessage"},
	"SendMessageBatch":             {"main sqs:SendMessage"},
	"GetQueueAttributes":           {"main sqs:GetQueueAttributes", "dead sqs:GetQueueAttributes"},
	"GetQueueUrl":                  {"dead sqs:GetQueueUrl"},
	"ReceiveMessage":               {"dead sqs:ReceiveMessage"},
	"ChangeMessageVisibilityBatch": {"dead sqs:ChangeMessageVisibility"},
	"DeleteMessage":                {"dead sqs:DeleteMessage"},
	"DeleteMessageBatch":           {"dead sqs:DeleteMessage"},
	"PurgeQueue":                   {"dead sqs:PurgeQueue"},
}, schedulingCalls)

// schedulingCalls are the rights for schedules. A call that creates one passes the role on.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
var schedulingCalls = map[string][]string{
	"CreateSchedule": {"schedules scheduler:CreateSchedule", "role iam:PassRole"},
	"GetSchedule":    {"schedules scheduler:GetSchedule"},
	"DeleteSchedule": {"schedules scheduler:DeleteSchedule"},
}

// onlyWithCreate are calls of --create, which the programs refuse on AWS.
var onlyWithCreate = []string{"CreateQueue", "CreateTable", "UpdateTimeToLive"}

// ofDoctor are the rights for "worker doctor", in its own policy.
var ofDoctor = with(records, map[string][]string{
	"DeleteItem":                   {"table dynamodb:DeleteItem"},
	"DeleteMessageBatch":           {"main sqs:DeleteMessage", "dead sqs:DeleteMessage"},
	"ChangeMessageVisibilityBatch": {"main sqs:ChangeMessageVisibility", "dead sqs:ChangeMessageVisibility"},
	"SendMessageBatch":             {"dead sqs:SendMessage"},
	"ReceiveMessage":               {"dead sqs:ReceiveMessage"},
	"GetQueueAttributes":           {"main sqs:GetQueueAttributes", "dead sqs:GetQueueAttributes"},
	"GetQueueUrl":                  {"dead sqs:GetQueueUrl"},
}, schedulingCalls)

// with merges maps. The last value of a key wins.
func with[V any](a map[string]V, others ...map[string]V) map[string]V {
	merged := maps.Clone(a)
	for _, other := range others {
		maps.Copy(merged, other)
	}
	return merged
}

func TestCalls(t *testing.T) {
	t.Run("worker may make every call it makes", testTheWorkerMayMakeEveryCallItMakes)
	t.Run("producer and its operator may make every call they make", testTheProducerAndItsOperatorMayMakeEveryCallTheyMake)
	t.Run("doctor may make every call it makes", testTheDoctorMayMakeEveryCallItMakes)
}

func testTheWorkerMayMakeEveryCallItMakes(t *testing.T) {
	// The producer's API with its schedules and the queue server serve --local, which does not use
	// AWS. The doctor has its own policy and test.
	calls := callsOf(t, "./cmd/worker", "internal/producerapi", "internal/schedule", "internal/doctor", "sqstest")
	for _, name := range methods(reflect.TypeFor[consumer.Queue]()) {
		calls[name] = append(calls[name], "consumer.Queue")
	}
	for _, name := range methods(reflect.TypeFor[dynamo.API]()) {
		calls[name] = append(calls[name], "dynamo.API")
	}
	each(t, func(t *testing.T, b built) {
		covers(t, calls, ofWorker, b.template.taskRole(t, "worker"), b.places(), "main", "dead", "table", "index")
	})
}

func testTheProducerAndItsOperatorMayMakeEveryCallTheyMake(t *testing.T) {
	calls := callsOf(t, "./cmd/producer", "consumer")
	for _, name := range methods(reflect.TypeFor[dynamo.API]()) {
		calls[name] = append(calls[name], "dynamo.API")
	}
	if calls["CreateSchedule"] == nil {
		t.Error("no call creates a schedule: something was not looked at")
	}
	each(t, func(t *testing.T, b built) {
		about := []string{"main", "table", "index"}
		if b.config.Delays {
			about = append(about, "schedules", "role")
		}
		operator := b.template.managedPolicy(t, "OperatorPolicyArn")
		covers(t, calls, ofProducer, operator, b.places(), append(about, "dead")...)
		switch p := b.config.Producer; {
		case p.Off:
		case p.DLQ:
			covers(t, calls, ofProducer, b.template.taskRole(t, "producer"), b.places(), append(about, "dead")...)
		default:
			covers(t, calls, ofProducer, b.template.taskRole(t, "producer"), b.places(), about...)
		}
	})
}

func testTheDoctorMayMakeEveryCallItMakes(t *testing.T) {
	calls := callsIn(t, "internal/doctor")
	for _, name := range methods(reflect.TypeFor[dynamo.API]()) {
		calls[name] = append(calls[name], "dynamo.API")
	}
	calls["Query"] = []string{"dynamo.Store.List"}
	for call := range schedulingCalls {
		calls[call] = []string{"schedule.Scheduler"}
	}
	if doctorScope != doctor.Scope {
		t.Errorf("the doctor writes records of scope %s, and may delete those of %s", doctor.Scope, doctorScope)
	}
	each(t, func(t *testing.T, b built) {
		statements := b.template.managedPolicy(t, "DoctorPolicyArn")
		about := []string{"main", "dead", "table", "index"}
		if b.config.Delays {
			about = append(about, "schedules", "role")
		}
		covers(t, calls, ofDoctor, statements, b.places(), about...)
		for _, s := range statements {
			if slices.Contains(s.Actions, "dynamodb:DeleteItem") &&
				!strings.Contains(flat(s.Condition), `"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["sqsonce-doctor-*"]}`) {
				t.Errorf("the doctor may delete any record: %s", flat(s.Condition))
			}
		}
	})
}

// callsIn returns the calls to AWS in the sources of one package.
func callsIn(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			for call, where := range callsInFile(t, file, clientCalls()) {
				found[call] = append(found[call], where)
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("%d calls in %s: something was not looked at", len(found), dir)
	}
	return found
}

// clientCalls are the names of all calls to SQS, DynamoDB and EventBridge Scheduler.
func clientCalls() []string {
	return slices.Concat(methods(reflect.TypeFor[*sqs.Client]()), methods(reflect.TypeFor[*dynamodb.Client]()), methods(reflect.TypeFor[*scheduler.Client]()))
}

// covers fails the test for every call without a right on one of the places.
func covers(
	t *testing.T, calls, needs map[string][]string, statements []statement, places map[string]string, about ...string,
) {
	t.Helper()
	for _, call := range sortedKeys(calls) {
		rights, known := needs[call]
		if slices.Contains(onlyWithCreate, call) {
			continue
		}
		if !known {
			t.Errorf("%s, called in %s: which right does it need? Say so here, and give it", call, calls[call][0])
		}
		for _, right := range rights {
			place, action, _ := strings.Cut(right, " ")
			if slices.Contains(about, place) && !may(statements, action, places[place]) {
				t.Errorf("%s, called in %s, needs %s on %s", call, calls[call][0], action, place)
			}
		}
	}
}

// methods returns the names of the methods of an interface or a client.
func methods(t reflect.Type) []string {
	var names []string
	for i := range t.NumMethod() {
		names = append(names, t.Method(i).Name)
	}
	return names
}

// callsOf returns the calls to AWS in the sources of a binary, and their places.
// without are packages that the binary does not use on AWS.
func callsOf(t *testing.T, binary string, without ...string) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles \"\\t\"}}", binary)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		part, ours := strings.CutPrefix(fields[0], root+"/")
		if !ours || slices.Contains(without, part) {
			continue
		}
		for _, file := range fields[2:] {
			files++
			for call, where := range callsInFile(t, filepath.Join(fields[1], file), clientCalls()) {
				found[call] = append(found[call], where)
			}
		}
	}
	if files < 10 || len(found) < 5 {
		t.Fatalf("%d calls in %d files: something was not looked at", len(found), files)
	}
	return found
}

// callsInFile returns the calls in a file of methods with one of the given names, a context and an
// input.
func callsInFile(t *testing.T, path string, api []string) map[string]string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(api, s.Sel.Name) {
			position := set.Position(s.Sel.Pos())
			found[s.Sel.Name] = fmt.Sprintf("%s:%d", filepath.Base(position.Filename), position.Line)
		}
		return true
	})
	return found
}
