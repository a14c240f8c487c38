package infra

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// statement is a statement of an IAM policy.
type statement struct {
	Effect    string
	Actions   []string
	Resources []any
	Principal any
	Condition any
}

func policyStatements(document any) []statement {
	var found []statement
	for _, s := range document.(object)["Statement"].([]any) {
		s := s.(object)
		made := statement{Effect: s["Effect"].(string), Principal: s["Principal"], Condition: s["Condition"]}
		for _, action := range listOf(s["Action"]) {
			made.Actions = append(made.Actions, action.(string))
		}
		made.Resources = listOf(s["Resource"])
		found = append(found, made)
	}
	return found
}

// listOf returns a list for a value that is a list or a single element.
func listOf(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// statementsOf returns the statements of the role with the given id.
func (t template) statementsOf(role string) []statement {
	var found []statement
	for _, policy := range t.of("AWS::IAM::Policy") {
		for _, r := range listOf(policy.Properties["Roles"]) {
			if reference(r) == role {
				found = append(found, policyStatements(policy.Properties["PolicyDocument"])...)
			}
		}
	}
	return found
}

// taskRole returns the statements of the container's task role.
func (t template) taskRole(tb testing.TB, container string) []statement {
	tb.Helper()
	_, task := t.container(tb, container)
	statements := t.statementsOf(reference(task.Properties["TaskRoleArn"]))
	if len(statements) == 0 {
		tb.Fatalf("the role of %s has no rights", container)
	}
	return statements
}

// everyStatement returns the statements of all identities.
func (t template) everyStatement() []statement {
	var found []statement
	for _, kind := range []string{"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"} {
		for _, policy := range t.of(kind) {
			found = append(found, policyStatements(policy.Properties["PolicyDocument"])...)
		}
	}
	for _, role := range t.of("AWS::IAM::Role") {
		for _, inline := range listOf(role.Properties["Policies"]) {
			found = append(found, policyStatements(inline.(object)["PolicyDocument"])...)
		}
	}
	return found
}

func TestRolesAreBounded(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		statements := b.template.everyStatement()
		if len(statements) < 5 {
			t.Fatalf("%d statements were looked at", len(statements))
		}
		for _, s := range statements {
			for _, action := range s.Actions {
				if strings.Contains(action, "*") {
					t.Errorf("action %s on %s", action, flat(s.Resources))
				}
			}
			for _, r := range s.Resources {
				// AWS supports no resources for this action.
				if r == "*" && !slices.Equal(s.Actions, []string{"ecr:GetAuthorizationToken"}) {
					t.Errorf("%q on every resource", s.Actions)
				}
			}
		}
		for id, role := range b.template.of("AWS::IAM::Role") {
			if managed := role.Properties["ManagedPolicyArns"]; managed != nil && len(listOf(managed)) != len(b.config.Target.Policies) {
				t.Errorf("%s has managed policies: %s", id, flat(managed))
			}
		}
	})
}

func TestPermissions(t *testing.T) {
	t.Run("task roles name their resources", testTaskRolesNameTheirResources)
	t.Run("task protects tasks of its cluster only", testATaskProtectsTasksOfItsClusterOnly)
	t.Run("execution role reaches the secrets and images of the task", testExecutionRoleReachesTheSecretsAndImagesOfTheTask)
	t.Run("worker reads the buckets of payloads only", testTheWorkerReadsTheBucketsOfPayloadsOnly)
	t.Run("schedules", testSchedules)
	t.Run("keys of queues", testKeysOfQueues)
	t.Run("worker reads the table of Powertools only", testTheWorkerReadsTheTableOfPowertoolsOnly)
	t.Run("guide lists the rights", testTheGuideListsTheRights)
	t.Run("roles lack the actions that their binary never takes", testRolesLackTheActionsThatTheirBinaryNeverTakes)
}

func testTaskRolesNameTheirResources(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		containers := []string{"worker"}
		if !b.config.Producer.Off {
			containers = append(containers, "producer")
		}
		for _, container := range containers {
			for _, s := range b.template.taskRole(t, container) {
				for _, r := range s.Resources {
					if !slices.Contains(slices.Collect(maps.Values(b.places())), placeOf(r)) && !strings.Contains(flat(r), ":task/") {
						t.Errorf("%s: %q on %s, which is no resource of this stack", container, s.Actions, flat(r))
					}
				}
			}
		}
	})
}

func testATaskProtectsTasksOfItsClusterOnly(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		for _, s := range b.template.taskRole(t, "worker") {
			if !slices.Contains(s.Actions, "ecs:UpdateTaskProtection") {
				continue
			}
			if name := b.config.ClusterName; name != "" {
				if r := flat(s.Resources); !strings.Contains(r, ":task/"+name+"/*") || !strings.Contains(flat(s.Condition), ":cluster/"+name) {
					t.Errorf("resource is %s, condition %s", r, flat(s.Condition))
				}
				return
			}
			cluster := ""
			for id := range b.template.of("AWS::ECS::Cluster") {
				cluster = id
			}
			if r := flat(s.Resources); !strings.Contains(r, `:task/`) || !strings.Contains(r, `{"Ref":"`+cluster+`"}`) {
				t.Errorf("resource is %s", r)
			}
			if want := `{"ArnEquals":{"ecs:cluster":{"Fn::GetAtt":["` + cluster + `","Arn"]}}}`; flat(s.Condition) != want {
				t.Errorf("condition is %s, want %s", flat(s.Condition), want)
			}
			return
		}
		t.Error("the worker may not protect itself")
	})
}

// The execution role pulls images, reads secrets and writes logs.
func testExecutionRoleReachesTheSecretsAndImagesOfTheTask(t *testing.T) {
	b := synthesised(t, "sidecar")
	_, task := b.template.container(t, "worker")
	text := flat(b.template.statementsOf(reference(task.Properties["ExecutionRoleArn"])))
	for _, want := range []string{
		"ecr:GetDownloadUrlForLayer", "repository/app/orders", "secretsmanager:GetSecretValue", b.config.Target.TokenSecret, "secret:db-GhIjKl", "logs:PutLogEvents",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

func testTheWorkerReadsTheBucketsOfPayloadsOnly(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		role, places, buckets := b.template.taskRole(t, "worker"), b.places(), b.config.Worker.PayloadBuckets
		for _, name := range buckets {
			if !may(role, "s3:GetObject", places["payloads "+name]) || !may(role, "s3:ListBucket", places["bucket "+name]) {
				t.Errorf("the worker may not read %s: %s", name, flat(role))
			}
		}
		if on := b.variables(t, "worker")["SQSONCE_S3_PAYLOADS"]; (on == "true") != (len(buckets) > 0) {
			t.Errorf("buckets %q, SQSONCE_S3_PAYLOADS %q", buckets, on)
		}
		for _, s := range role {
			for _, action := range s.Actions {
				if strings.HasPrefix(action, "s3:") && (len(s.Resources) != len(buckets) || !slices.Contains([]string{"s3:GetObject", "s3:ListBucket"}, action)) {
					t.Errorf("the worker may %s on %s", action, flat(s.Resources))
				}
			}
		}
	})
}

func testTheWorkerReadsTheTableOfPowertoolsOnly(t *testing.T) {
	seen := 0
	each(t, func(t *testing.T, b built) {
		earlier, ok := b.places()["earlier"]
		if !ok {
			return
		}
		seen++
		var actions []string
		for _, s := range b.template.taskRole(t, "worker") {
			if slices.ContainsFunc(s.Resources, func(r any) bool { return placeOf(r) == earlier }) {
				actions = append(actions, s.Actions...)
			}
		}
		if !slices.Equal(actions, earlierActions) {
			t.Errorf("on %s the worker may %q, want %q", earlier, actions, earlierActions)
		}
	})
	if seen == 0 {
		t.Error("no variant reads a table of Powertools")
	}
}

func testTheGuideListsTheRights(t *testing.T) {
	guide, err := os.ReadFile("docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	for who, actions := range map[string][]string{
		"worker | the queue": consumeActions, "worker | the dead-letter queue": deadLetterActions,
		"worker, producer, operator | the table": recordActions, "worker | tasks of its cluster, by condition": protectActions,
		"worker with `payloadBuckets` | the objects of these buckets": fetchActions, "worker with `payloadBuckets` | these buckets": findActions,
		"worker with `SQSONCE_POWERTOOLS_TABLE` in `workerEnv` | that table":                earlierActions,
		"worker, producer, operator | the table's index `attention`":                        listActions,
		"producer, operator, doctor, with `delays` | schedules of the group":                scheduleActions,
		"producer, operator, doctor, with `delays` | the role of schedules, by condition":   passActions,
		"role of schedules | the queue, and the queue for unsent messages":                  scheduleSendActions,
		"all of them, with `queueKeyArns`; without `queueArn` only the worker | these keys": keyActions,
		"producer, operator | the queue":                                                    sendActions, "operator, and producer with `dlqApi` | the dead-letter queue": redriveActions,
	} {
		if line := "| " + who + " | `" + strings.Join(actions, "`, `") + "` |"; !strings.Contains(string(guide), line) {
			t.Errorf("docs/deploy.md has no line %s", line)
		}
	}
}

// EventBridge Scheduler may send to the queue for the schedules of this stack only, and who may
// schedule may pass no other role, to no other service.
func testSchedules(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		groups, places := b.template.of("AWS::Scheduler::ScheduleGroup"), b.places()
		if len(groups) > 1 || (len(groups) == 1) != b.config.Delays {
			t.Fatalf("delays %t: %d groups", b.config.Delays, len(groups))
		}
		if !b.config.Delays {
			for _, s := range b.template.everyStatement() {
				if slices.ContainsFunc(s.Actions, func(a string) bool { return strings.HasPrefix(a, "scheduler:") || a == "iam:PassRole" }) {
					t.Errorf("without delays %q is allowed", s.Actions)
				}
			}
			return
		}
		role := b.template.Resources[places["role"]]
		group, _, _ := strings.Cut(places["schedules"], "/")
		trust := policyStatements(role.Properties["AssumeRolePolicyDocument"])
		want := `{"ArnEquals":{"aws:SourceArn":{"Fn::GetAtt":["` + group + `","Arn"]}},"StringEquals":{"aws:SourceAccount":{"Ref":"AWS::AccountId"}}}`
		if len(trust) != 1 || flat(trust[0].Principal) != `{"Service":"scheduler.amazonaws.com"}` || flat(trust[0].Condition) != want {
			t.Errorf("the role trusts %s", flat(trust))
		}
		var sends []statement
		for _, policy := range listOf(role.Properties["Policies"]) {
			sends = append(sends, policyStatements(policy.(object)["PolicyDocument"])...)
		}
		for _, place := range []string{"main", "unsent"} {
			if !may(sends, "sqs:SendMessage", places[place]) {
				t.Errorf("the role may not send to %s: %s", place, flat(sends))
			}
		}
		if extra := len(b.config.Queue.Keys); len(sends) != 2+min(extra, 1) {
			t.Errorf("the role may %s", flat(sends))
		}
		if kept := role.DeletionPolicy != "Delete"; kept == b.config.Throwaway {
			t.Errorf("throwaway %t: DeletionPolicy of the role is %q", b.config.Throwaway, role.DeletionPolicy)
		}
		passes := 0
		for _, s := range b.template.everyStatement() {
			if !slices.Contains(s.Actions, "iam:PassRole") {
				continue
			}
			passes++
			if got := flat(s.Condition); got != `{"StringEquals":{"iam:PassedToService":"scheduler.amazonaws.com"}}` ||
				len(s.Resources) != 1 || placeOf(s.Resources[0]) != places["role"] {
				t.Errorf("%s may be passed by condition %s", flat(s.Resources), got)
			}
		}
		if want := map[bool]int{false: 3, true: 2}[b.config.Producer.Off]; passes != want {
			t.Errorf("%d identities may pass the role, want %d", passes, want)
		}
		if b.config.Producer.Off {
			return
		}
		for variable, resource := range map[string]string{
			"SQSONCE_SCHEDULE_ROLE": places["role"], "SQSONCE_SCHEDULE_GROUP": group, "SQSONCE_SCHEDULE_DLQ": places["unsent"],
		} {
			container, _ := b.template.container(t, "producer")
			if !slices.ContainsFunc(listOf(container["Environment"]), func(v any) bool {
				return v.(object)["Name"] == variable && reference(v.(object)["Value"]) == resource
			}) {
				t.Errorf("%s is not %s: %s", variable, resource, flat(container["Environment"]))
			}
		}
	})
}

// Every role that sends or receives may use the keys of existing queues, and no other keys. If the
// stack's own queue is new, they are the keys of the worker's other queues, and only the worker may
// use them.
func testKeysOfQueues(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		identities := map[string][]statement{
			"worker": b.template.taskRole(t, "worker"), "operator": b.template.managedPolicy(t, "OperatorPolicyArn"),
			"doctor": b.template.managedPolicy(t, "DoctorPolicyArn"),
		}
		if !b.config.Producer.Off {
			identities["producer"] = b.template.taskRole(t, "producer")
		}
		if b.config.Delays {
			for _, inline := range listOf(b.template.Resources[b.places()["role"]].Properties["Policies"]) {
				identities["schedules"] = append(identities["schedules"], policyStatements(inline.(object)["PolicyDocument"])...)
			}
		}
		for who, statements := range identities {
			want := b.config.Queue.ARN != "" || who == "worker"
			for _, arn := range b.config.Queue.Keys {
				for _, action := range keyActions {
					if got := may(statements, action, arn); got != want {
						t.Errorf("%s may %s with %s: %t, want %t", who, action, arn, got, want)
					}
				}
			}
			for _, s := range statements {
				if strings.HasPrefix(s.Actions[0], "kms:") && len(s.Resources) != len(b.config.Queue.Keys) {
					t.Errorf("%s may %q on %s", who, s.Actions, flat(s.Resources))
				}
			}
		}
	})
}

// may reports whether one of the statements allows an action on the resource.
func may(statements []statement, action, resource string) bool {
	return slices.ContainsFunc(statements, func(s statement) bool {
		return s.Effect == "Allow" && slices.Contains(s.Actions, action) &&
			slices.ContainsFunc(s.Resources, func(r any) bool { return placeOf(r) == resource })
	})
}

// placeOf returns the resource of a statement: the logical id in a reference or the end of an ARN,
// with the path of a part of the resource behind it.
func placeOf(r any) string {
	if text, ok := r.(string); ok {
		return text
	}
	joined, _ := r.(object)["Fn::Join"].([]any)
	if len(joined) != 2 {
		return reference(r)
	}
	parts := joined[1].([]any)
	text, _ := parts[len(parts)-1].(string)
	if len(parts) > 2 && text == "/*" { // all parts of a resource
		return reference(parts[len(parts)-2]) + text
	}
	if id := reference(parts[0]); id != "" && len(parts) == 2 {
		return id + text
	}
	return strings.TrimPrefix(text, ":")
}

// managedPolicy returns the statements of the policy whose ARN is the given output.
func (t template) managedPolicy(tb testing.TB, output string) []statement {
	tb.Helper()
	policy, ok := t.Resources[reference(t.Outputs[output].Value)]
	if !ok {
		tb.Fatalf("output %s is no policy: %s", output, flat(t.Outputs[output].Value))
	}
	return policyStatements(policy.Properties["PolicyDocument"])
}

// places returns the resources of the roles in the form of placeOf: the queues "main", "dead" and
// "unsent", "table", and "index", which is a part of the table, "schedules" and their "role", and
// each key and bucket.
func (b built) places() map[string]string {
	found := map[string]string{"main": b.config.Queue.ARN, "dead": b.config.Queue.DLQARN, "table": "table/" + b.config.TableName}
	for id := range b.template.of("AWS::DynamoDB::Table") {
		found["table"] = id
	}
	for id, queue := range b.template.of("AWS::SQS::Queue") {
		switch {
		case queue.Properties["RedrivePolicy"] != nil:
			found["main"] = id
		case queue.Properties["RedriveAllowPolicy"] != nil:
			found["dead"] = id
		default:
			found["unsent"] = id
		}
	}
	for id := range b.template.of("AWS::Scheduler::ScheduleGroup") {
		found["schedules"], found["role"] = id+"/*", reference(b.template.Outputs["ScheduleRoleArn"].Value)
	}
	f, err := workerFileOf(b.config.Worker.File)
	if err != nil {
		panic(err) // it was synthesised
	}
	for _, q := range f.others() {
		found["queue "+q.name], found["dead "+q.name] = q.arn, q.dlqARN
		if q.table != "" {
			found["table "+q.table], found["index "+q.table] = "table/"+q.table, "table/"+q.table+"/index/"+dynamo.IndexAttention
		}
	}
	for _, arn := range b.config.Queue.Keys {
		found["key "+arn] = arn
	}
	if name := b.config.Worker.Env[earlierVariable]; name != "" {
		found["earlier"] = "table/" + name
	}
	for _, bucket := range b.config.Worker.PayloadBuckets {
		found["bucket "+bucket], found["payloads "+bucket] = "s3:::"+bucket, "s3:::"+bucket+"/*"
	}
	found["index"] = found["table"] + "/index/" + dynamo.IndexAttention
	return found
}

// A role that can delete records could make work run again. A role that can receive could take
// messages from the worker.
func testRolesLackTheActionsThatTheirBinaryNeverTakes(t *testing.T) {
	never := map[string]map[string][]string{
		"worker": {
			"main":  {"sqs:PurgeQueue", "sqs:SendMessage", "sqs:DeleteQueue", "sqs:SetQueueAttributes"},
			"dead":  {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue", "sqs:StartMessageMoveTask"},
			"table": {"dynamodb:DeleteItem", "dynamodb:Scan", "dynamodb:Query", "dynamodb:PartiQLDelete", "dynamodb:UpdateTable"},
		},
		"producer": {
			"main":  {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"},
			"dead":  {"sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:CancelMessageMoveTask"},
			"table": {"dynamodb:DeleteItem", "dynamodb:Scan", "dynamodb:Query", "dynamodb:PartiQLDelete", "dynamodb:UpdateTable"},
		},
	}
	each(t, func(t *testing.T, b built) {
		places := b.places()
		for container, byPlace := range never {
			if container == "producer" && b.config.Producer.Off {
				continue
			}
			for place, actions := range byPlace {
				for _, action := range actions {
					if may(b.template.taskRole(t, container), action, places[place]) {
						t.Errorf("%s may %s on %s", container, action, place)
					}
				}
			}
		}
	})
	b := synthesised(t, "public")
	for _, s := range b.template.taskRole(t, "producer") {
		for _, r := range s.Resources {
			if reference(r) == b.places()["dead"] {
				t.Errorf("without dlqApi the producer may %q on the dead-letter queue", s.Actions)
			}
		}
	}
}
