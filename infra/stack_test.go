package infra

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// object is a part of a template.
type object = map[string]any

func TestStack(t *testing.T) {
	t.Run("resources are there in their numbers", testResourcesAreThereInTheirNumbers)
	t.Run("queue dead letters into a queue that takes its messages only", testTheQueueDeadLettersIntoAQueueThatTakesItsMessagesOnly)
	t.Run("table has the keys and attributes of the store", testTableHasTheKeysAndAttributesOfTheStore)
	t.Run("tasks run out of reach", testTasksRunOutOfReach)
	t.Run("tasks without a way out have endpoints for all they call", testTasksWithoutAWayOutHaveEndpointsForAllTheyCall)
	t.Run("tasks start when their endpoints are there", testTasksStartWhenTheirEndpointsAreThere)
	t.Run("spot takes its share and never the first task", testSpotTakesItsShareAndNeverTheFirstTask)
	t.Run("target outlives the worker", testTheTargetOutlivesTheWorker)
	t.Run("API is private unless there is a certificate", testTheAPIIsPrivateUnlessThereIsACertificate)
	t.Run("access logs of a public API can be written", testAccessLogsOfAPublicAPICanBeWritten)
	t.Run("dashboard shows the queues of others", testTheDashboardShowsTheQueuesOfOthers)
	t.Run("senders may send", testSendersMaySend)
	t.Run("boundary bounds every role", testTheBoundaryBoundsEveryRole)
	t.Run("tasks start with their rights", testTasksStartWithTheirRights)
	t.Run("admin server is reached by operators alone", testTheAdminServerIsReachedByOperatorsAlone)
	t.Run("outputs say where everything is", testOutputsSayWhereEverythingIs)
}

func testResourcesAreThereInTheirNumbers(t *testing.T) {
	for name, counts := range map[string]map[string]int{
		"plain": {
			"AWS::SQS::Queue": 2, "AWS::DynamoDB::Table": 1, "AWS::DynamoDB::GlobalTable": 0,
			"AWS::EC2::VPC": 1, "AWS::EC2::NatGateway": 0, "AWS::EC2::InternetGateway": 0, "AWS::EC2::VPCEndpoint": 7, "AWS::EC2::Subnet": 2,
			"AWS::ECS::Service": 2, "AWS::ECS::TaskDefinition": 2,
			"AWS::ElasticLoadBalancingV2::LoadBalancer": 1, "AWS::SecretsManager::Secret": 1,
			"AWS::ApplicationAutoScaling::ScalableTarget": 2, "AWS::ApplicationAutoScaling::ScalingPolicy": 2,
			"AWS::CloudWatch::Alarm": 14, "AWS::Events::Rule": 1, "AWS::CloudWatch::Dashboard": 1, "AWS::SNS::Topic": 1, "AWS::SNS::Subscription": 0,
			"AWS::S3::Bucket": 0, "AWS::Lambda::Function": 0, "AWS::Logs::LogGroup": 3,
		},
		"adopt": {
			"AWS::CloudWatch::Dashboard": 0,
			"AWS::SQS::Queue":            1, "AWS::SQS::QueuePolicy": 1, // for unsent messages
			"AWS::DynamoDB::Table": 0, "AWS::ECS::Cluster": 0, "AWS::EC2::VPC": 0,
			"AWS::ECS::Service": 1,
		},
		"vpc": {"AWS::EC2::VPC": 0, "AWS::EC2::VPCEndpoint": 0, "AWS::EC2::Subnet": 0, "AWS::ECS::Service": 2},
		"least": {
			"AWS::ECS::Service": 1, "AWS::ElasticLoadBalancingV2::LoadBalancer": 0, "AWS::SecretsManager::Secret": 0, "AWS::EC2::VPCEndpoint": 6,
		},
		"public": {
			"AWS::EC2::InternetGateway": 1, "AWS::EC2::NatGateway": 0, "AWS::EC2::Subnet": 2, "AWS::EC2::VPCEndpoint": 2,
			"AWS::S3::Bucket": 1, "AWS::SNS::Subscription": 1, "AWS::Lambda::Function": 0,
		},
		"small": {
			"AWS::EC2::NatGateway": 1, "AWS::EC2::VPCEndpoint": 2, "AWS::ECS::Service": 1,
			"AWS::ElasticLoadBalancingV2::LoadBalancer": 0, "AWS::SecretsManager::Secret": 0,
			"AWS::ApplicationAutoScaling::ScalingPolicy": 2, "AWS::CloudWatch::Alarm": 14,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := synthesised(t, name)
			for kind, want := range counts {
				if got := len(b.template.of(kind)); got != want {
					t.Errorf("%d of %s, want %d", got, kind, want)
				}
			}
		})
	}
}

// has fails the test unless a resource of the type has the properties.
func has(t *testing.T, b built, kind string, properties object) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil { // the CDK panics on a mismatch
			t.Error(p)
		}
	}()
	b.asserts.HasResourceProperties(&kind, properties)
}

func testTheQueueDeadLettersIntoAQueueThatTakesItsMessagesOnly(t *testing.T) {
	for name, suffix := range map[string]string{"plain": "", "fifo": ".fifo"} {
		t.Run(name, func(t *testing.T) {
			b := synthesised(t, name)
			has(t, b, "AWS::SQS::Queue", object{
				"QueueName": b.config.Name + suffix, "SqsManagedSseEnabled": true, "MaximumMessageSize": 1 << 20,
				"VisibilityTimeout": 60, "ReceiveMessageWaitTimeSeconds": 20, "MessageRetentionPeriod": 4 * 24 * 3600,
				"RedrivePolicy": object{"maxReceiveCount": 10, "deadLetterTargetArn": assertions.Match_AnyValue()},
			})
			has(t, b, "AWS::SQS::Queue", object{
				"QueueName": b.config.Name + "-dlq" + suffix, "SqsManagedSseEnabled": true,
				"MessageRetentionPeriod": 14 * 24 * 3600,
				"RedriveAllowPolicy":     object{"redrivePermission": "byQueue"},
			})
			for _, queue := range b.template.of("AWS::SQS::Queue") {
				if policy := queue.Properties["RedriveAllowPolicy"]; policy != nil && !strings.Contains(flat(policy), `:`+b.config.Name+suffix+`"`) {
					t.Errorf("RedriveAllowPolicy %s does not name the queue", flat(policy))
				}
				unsent := queue.Properties["QueueName"] == b.config.Name+"-unsent" // of EventBridge Scheduler: standard
				if fifo := queue.Properties["FifoQueue"] == true; fifo != (suffix != "" && !unsent) {
					t.Errorf("FifoQueue %v of %v", queue.Properties["FifoQueue"], queue.Properties["QueueName"])
				}
			}
		})
	}
}

func TestPlainHTTPIsRefused(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		policies := b.template.of("AWS::SQS::QueuePolicy")
		if want := len(b.template.of("AWS::SQS::Queue")); len(policies) != want {
			t.Errorf("%d queue policies for %d queues", len(policies), want)
		}
		for _, kind := range []string{"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy"} {
			for id, policy := range b.template.of(kind) {
				denies := slices.ContainsFunc(policyStatements(policy.Properties["PolicyDocument"]), func(s statement) bool {
					return s.Effect == "Deny" && strings.Contains(flat(s.Condition), `"aws:SecureTransport":"false"`)
				})
				if !denies {
					t.Errorf("%s lets plain HTTP in", id)
				}
			}
		}
	})
}

func testTableHasTheKeysAndAttributesOfTheStore(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		if b.config.TableName != "" {
			return
		}
		table := b.template.only(t, "AWS::DynamoDB::Table")
		for property, want := range map[string]string{
			"KeySchema": `[{"AttributeName":"` + dynamo.AttrID + `","KeyType":"HASH"}]`,
			"AttributeDefinitions": `[{"AttributeName":"` + dynamo.AttrID + `","AttributeType":"S"},` +
				`{"AttributeName":"` + dynamo.AttrAttention + `","AttributeType":"S"},` +
				`{"AttributeName":"` + dynamo.AttrAttentionAt + `","AttributeType":"N"}]`,
			"TimeToLiveSpecification":          `{"AttributeName":"` + cmp.Or(b.config.TTLAttribute, dynamo.AttrTTL) + `","Enabled":true}`,
			"BillingMode":                      `"PAY_PER_REQUEST"`,
			"PointInTimeRecoverySpecification": `{"PointInTimeRecoveryEnabled":true}`,
			"SSESpecification":                 `{"SSEEnabled":true}`,
		} {
			if got := flat(table.Properties[property]); got != want {
				t.Errorf("%s is %s, want %s", property, got, want)
			}
		}
		if protected := table.Properties["DeletionProtectionEnabled"] == true; protected == b.config.Throwaway {
			t.Errorf("throwaway %t: DeletionProtectionEnabled %t", b.config.Throwaway, protected)
		}
	})
}

func testTasksRunOutOfReach(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		arch := map[string]string{"arm64": "ARM64", "amd64": "X86_64"}[b.config.Worker.Arch]
		for id, task := range b.template.of("AWS::ECS::TaskDefinition") {
			if got := flat(task.Properties["RuntimePlatform"]); got != `{"CpuArchitecture":"`+arch+`","OperatingSystemFamily":"LINUX"}` {
				t.Errorf("%s runs on %s", id, got)
			}
		}
		address := "DISABLED"
		if b.config.Network.public() {
			address = "ENABLED"
			for id, group := range b.template.of("AWS::EC2::SecurityGroup") {
				if open := flat(group.Properties["SecurityGroupIngress"]); strings.Contains(id, "Service") && open != "null" {
					t.Errorf("%s has a public address and lets in %s", id, open)
				}
			}
		}
		for id, service := range b.template.of("AWS::ECS::Service") {
			p := service.Properties
			if network := flat(p["NetworkConfiguration"]); !strings.Contains(network, `"AssignPublicIp":"`+address+`"`) {
				t.Errorf("%s: %s", id, network)
			}
			if got := flat(p["DeploymentConfiguration"]); !strings.Contains(got, `"DeploymentCircuitBreaker":{"Enable":true,"Rollback":true}`) {
				t.Errorf("%s is deployed by %s", id, got)
			}
			// A number here would reset the scaling at each deployment.
			if count, ok := p["DesiredCount"]; ok {
				t.Errorf("%s: DesiredCount %v is set", id, count)
			}
		}
	})
}

func testTasksWithoutAWayOutHaveEndpointsForAllTheyCall(t *testing.T) {
	endpointsFor(t, "plain", "api", "dkr", "dynamodb", "logs", "s3", "secretsmanager", "sqs")
	endpointsFor(t, "fifo", "api", "dkr", "dynamodb", "logs", "s3", "scheduler", "secretsmanager", "sqs") // delays
}

func endpointsFor(t *testing.T, variant string, want ...string) {
	t.Helper()
	var services []string
	for _, endpoint := range synthesised(t, variant).template.of("AWS::EC2::VPCEndpoint") {
		name := strings.Trim(flat(endpoint.Properties["ServiceName"]), `"]}`)
		services = append(services, name[strings.LastIndexAny(name, `".`)+1:])
		if endpoint.Properties["VpcEndpointType"] == "Interface" && endpoint.Properties["PrivateDnsEnabled"] != true {
			t.Errorf("%s has no private DNS: nobody would find it", name)
		}
	}
	slices.Sort(services)
	if !slices.Equal(services, want) {
		t.Errorf("endpoints for %q, want %q", services, want)
	}
}

// Without the endpoints a task cannot pull its image, and the deployment fails.
func testTasksStartWhenTheirEndpointsAreThere(t *testing.T) {
	b := synthesised(t, "plain")
	for id, service := range b.template.of("AWS::ECS::Service") {
		for endpoint := range b.template.of("AWS::EC2::VPCEndpoint") {
			if !slices.Contains(listOf(service.DependsOn), any(endpoint)) {
				t.Errorf("%s does not wait for %s", id, endpoint)
			}
		}
		if len(listOf(service.Properties["LoadBalancers"])) > 0 {
			for listener := range b.template.of("AWS::ElasticLoadBalancingV2::Listener") {
				if !slices.Contains(listOf(service.DependsOn), any(listener)) {
					t.Errorf("%s does not wait for %s", id, listener)
				}
			}
		}
	}
}

func testSpotTakesItsShareAndNeverTheFirstTask(t *testing.T) {
	b := synthesised(t, "small")
	has(t, b, "AWS::ECS::Service", object{"CapacityProviderStrategy": []any{
		object{"CapacityProvider": "FARGATE", "Base": 1, "Weight": 30},
		object{"CapacityProvider": "FARGATE_SPOT", "Weight": 70},
	}})
	if flat(synthesised(t, "plain").template.of("AWS::ECS::Service")) == "" ||
		strings.Contains(flat(synthesised(t, "plain").template.of("AWS::ECS::Service")), "FARGATE_SPOT") {
		t.Error("Spot is used though nobody asked for it")
	}
}

func testTheTargetOutlivesTheWorker(t *testing.T) {
	b := synthesised(t, "sidecar")
	worker, task := b.template.container(t, "worker")
	if got := flat(worker["DependsOn"]); got != `[{"Condition":"START","ContainerName":"target"}]` {
		t.Errorf("the worker depends on %s", got)
	}
	target, _ := b.template.container(t, "target")
	if target["Essential"] != true || worker["Essential"] != true {
		t.Error("a task must not go on with one of the two")
	}
	if got := task.Properties["Memory"]; got != "1024" {
		t.Errorf("memory for both is %v", got)
	}
	if got := flat(target["Image"]); !strings.Contains(got, "123456789012.dkr.ecr.eu-west-1") || !strings.Contains(got, "/app/orders:1.2") {
		t.Errorf("image is %s", got)
	}
	if got := flat(target["Secrets"]); !strings.Contains(got, `"Name":"DB_PASSWORD"`) || !strings.Contains(got, "secret:db-GhIjKl:password::") {
		t.Errorf("secrets of the target are %s", got)
	}
	if got := flat(b.template.Resources[reference(task.Properties["TaskRoleArn"])].Properties["ManagedPolicyArns"]); !strings.Contains(got, "policy/orders") {
		t.Errorf("managed policies of the task are %s", got)
	}
	if got := flat(target["Environment"]); got != `[{"Name":"MODE","Value":"worker"}]` {
		t.Errorf("variables of the target are %s", got)
	}
}

func testTheAPIIsPrivateUnlessThereIsACertificate(t *testing.T) {
	plain, public := synthesised(t, "plain"), synthesised(t, "public")
	has(t, plain, "AWS::ElasticLoadBalancingV2::LoadBalancer", object{"Scheme": "internal"})
	has(t, plain, "AWS::ElasticLoadBalancingV2::Listener", object{"Port": 80, "Protocol": "HTTP"})
	has(t, plain, "AWS::EC2::SecurityGroup", object{"SecurityGroupIngress": []any{
		assertions.Match_ObjectLike(&object{"CidrIp": plain.config.Network.CIDR, "FromPort": 80, "ToPort": 80}),
	}})
	has(t, public, "AWS::ElasticLoadBalancingV2::LoadBalancer", object{"Scheme": "internet-facing"})
	has(t, public, "AWS::ElasticLoadBalancingV2::Listener", object{
		"Port": 443, "Protocol": "HTTPS", "Certificates": []any{object{"CertificateArn": public.config.Producer.Certificate}},
		"SslPolicy": assertions.Match_StringLikeRegexp(jsii.String("TLS13")),
	})
	if n := len(public.template.of("AWS::ElasticLoadBalancingV2::Listener")); n != 1 {
		t.Errorf("%d listeners: one more would take tokens in clear", n)
	}
	has(t, synthesised(t, "vpc"), "AWS::EC2::SecurityGroup", object{"SecurityGroupIngress": []any{
		assertions.Match_ObjectLike(&object{"CidrIp": "10.1.0.0/16", "FromPort": 80}),
	}})
}

func testAccessLogsOfAPublicAPICanBeWritten(t *testing.T) {
	b := synthesised(t, "public")
	balancer := b.template.only(t, "AWS::ElasticLoadBalancingV2::LoadBalancer")
	if got := flat(balancer.Properties["LoadBalancerAttributes"]); !strings.Contains(got, `{"Key":"access_logs.s3.enabled","Value":"true"}`) {
		t.Errorf("attributes are %s", got)
	}
	writes := slices.ContainsFunc(policyStatements(b.template.only(t, "AWS::S3::BucketPolicy").Properties["PolicyDocument"]), func(s statement) bool {
		return s.Effect == "Allow" && slices.Equal(s.Actions, []string{"s3:PutObject"}) &&
			strings.Contains(flat(s.Principal), "logdelivery.elasticloadbalancing.amazonaws.com")
	})
	if !writes {
		t.Error("the load balancer may not write to the bucket")
	}
}

func testOutputsSayWhereEverythingIs(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		want := []string{"AlarmTopicArn", "DlqUrl", "DoctorPolicyArn", "OperatorPolicyArn", "QueueUrl", "TableName", "WorkerLogGroup"}
		if !b.config.Dashboard.Off {
			want = append(want, "DashboardUrl")
		}
		if b.config.Delays {
			want = append(want, "ScheduleGroup", "ScheduleRoleArn", "UnsentQueueUrl")
		}
		if !b.config.Producer.Off {
			want = append(want, "ApiUrl", "AuthTokenSecretArn", "BalancerDns")
		}
		if len(b.config.Worker.AdminFrom) > 0 {
			want = append(want, "AdminTokenSecretArn")
		}
		slices.Sort(want)
		if got := sortedKeys(b.template.Outputs); !slices.Equal(got, want) {
			t.Errorf("outputs are %q, want %q", got, want)
		}
	})
	if got := flat(synthesised(t, "public").template.Outputs["ApiUrl"].Value); got != `"https://api.example.com"` {
		t.Errorf("ApiUrl is %s", got)
	}
	if got := flat(synthesised(t, "plain").template.Outputs["DashboardUrl"].Value); !strings.Contains(got, "#dashboards:name=sqsonce-") {
		t.Errorf("DashboardUrl is %s", got)
	}
}

// A dashboard belongs to one stack and shows other services by the names of their queues.
func testTheDashboardShowsTheQueuesOfOthers(t *testing.T) {
	b := synthesised(t, "sidecar")
	body := flat(b.template.only(t, "AWS::CloudWatch::Dashboard").Properties["DashboardBody"])
	for _, queue := range b.config.Dashboard.Queues {
		for _, want := range []string{
			`"AWS/SQS","ApproximateNumberOfMessagesVisible","QueueName","` + queue + `"`,
			`"AWS/SQS","ApproximateAgeOfOldestMessage","QueueName","` + queue + `"`,
			`"sqsonce","Workers","Queue","` + queue + `"`,
			`MetricName=\"Attempts\" Queue=\"` + queue + `\"`,
		} {
			if !strings.Contains(strings.ReplaceAll(body, `\\"`, `\"`), want) {
				t.Errorf("%s is not in the dashboard: %s", want, body)
			}
		}
	}
}

func testSendersMaySend(t *testing.T) {
	b := synthesised(t, "public")
	for arn, service := range map[string]string{
		"arn:aws:sns:eu-west-1:123456789012:orders": "sns", "arn:aws:s3:::uploads": "s3", "arn:aws:events:eu-west-1:123456789012:rule/nightly": "events",
	} {
		admitted := 0
		for _, policy := range b.template.of("AWS::SQS::QueuePolicy") {
			for _, s := range policyStatements(policy.Properties["PolicyDocument"]) {
				if !strings.Contains(flat(s.Condition), `"ArnEquals":{"aws:SourceArn":"`+arn+`"}`) {
					continue
				}
				admitted++
				if flat(s.Principal) != `{"Service":"`+service+`.amazonaws.com"}` || !slices.Equal(s.Actions, []string{"sqs:SendMessage"}) ||
					placeOf(s.Resources[0]) != b.places()["main"] {
					t.Errorf("%s: %s may %q on %s", arn, flat(s.Principal), s.Actions, flat(s.Resources))
				}
				// A bucket's ARN has no account.
				if service == "s3" && !strings.Contains(flat(s.Condition), "aws:SourceAccount") {
					t.Errorf("%s of any account may send: %s", arn, flat(s.Condition))
				}
			}
		}
		if admitted != 1 {
			t.Errorf("%d statements admit %s", admitted, arn)
		}
	}
}

func testTheBoundaryBoundsEveryRole(t *testing.T) {
	b := synthesised(t, "least")
	roles := b.template.of("AWS::IAM::Role")
	if len(roles) < 3 {
		t.Errorf("%d roles", len(roles))
	}
	for id, role := range roles {
		if role.Properties["PermissionsBoundary"] != b.config.PermissionsBoundary {
			t.Errorf("%s is bounded by %v", id, role.Properties["PermissionsBoundary"])
		}
	}
}

// Without its rights the execution role cannot pull the first image.
func testTasksStartWithTheirRights(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		for id, service := range b.template.of("AWS::ECS::Service") {
			task := b.template.Resources[reference(service.Properties["TaskDefinition"])]
			role := reference(task.Properties["ExecutionRoleArn"])
			for policy, p := range b.template.of("AWS::IAM::Policy") {
				if reference(listOf(p.Properties["Roles"])[0]) == role && !slices.Contains(listOf(service.DependsOn), any(policy)) {
					t.Errorf("%s does not wait for %s", id, policy)
				}
			}
		}
	})
}

func testTheAdminServerIsReachedByOperatorsAlone(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		open := strings.Contains(flat(b.template.of("AWS::EC2::SecurityGroup")), `"FromPort":9090`)
		variables := b.variables(t, "worker")
		if asked := len(b.config.Worker.AdminFrom) > 0; open != asked || (variables["SQSONCE_ADMIN_ADDR"] != "") != asked || (variables["SQSONCE_ADMIN_TOKEN"] != "") != asked {
			t.Errorf("adminFrom %v: port open %t, address %q, a token %t", b.config.Worker.AdminFrom, open,
				variables["SQSONCE_ADMIN_ADDR"], variables["SQSONCE_ADMIN_TOKEN"] != "")
		}
		if open && !strings.Contains(flat(b.template.of("AWS::EC2::SecurityGroup")), `"CidrIp":"`+b.config.Worker.AdminFrom[0]+`"`) {
			t.Error("not the operators are let in")
		}
	})
}
