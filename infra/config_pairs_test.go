package infra

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/sqsonce/sqsonce/infra/internal/guard"
)

// pair is a configuration that differs from the default in one key, or in keys that belong
// together.
type pair struct {
	context  map[string]any
	api      bool     // it is compared with the default that has the HTTP API
	losses   []string // the keys that need confirmation at a deployment
	replaces []string // the types of resources that the change replaces, each once
}

const (
	someSubnets = "subnet-0123456789abcdef0,subnet-0123456789abcdef1"
	someSecret  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf"
	someCert    = "arn:aws:acm:eu-west-1:123456789012:certificate/0b1c"
)

// pairs has each key of the configuration, see TestPairs. The default is the demo.
var pairs = map[string]pair{
	"throwaway":       {context: map[string]any{"throwaway": true}},
	"firstDeployment": {context: map[string]any{"firstDeployment": true}},
	"tableName": {
		context: map[string]any{"tableName": "restored"}, losses: []string{"tableName", "tableName"},
	},
	"clusterName": {
		context: map[string]any{"clusterName": "main", "vpcId": "vpc-01234567", "vpcZones": "a,b", "vpcPrivateSubnetIds": someSubnets},
		// Another cluster replaces the service; the default's own VPC is dropped.
		replaces: []string{"AWS::ApplicationAutoScaling::ScalableTarget", "AWS::EC2::SecurityGroup", "AWS::ECS::Service"},
	},
	"queueArn": {
		context: map[string]any{
			"queueArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "dlqArn": "arn:aws:sqs:eu-west-1:123456789012:orders-dead",
		},
		losses: []string{"dlqArn", "name", "queueArn", "queueArn", "queueArn"},
	},
	"fifo": {
		context:  map[string]any{"fifo": true},
		losses:   []string{"fifo", "fifo", "fifo", "fifo", "name"},
		replaces: []string{"AWS::SQS::Queue"},
	},
	"ttlAttribute":    {context: map[string]any{"ttlAttribute": "expiration"}},
	"dashboard":       {context: map[string]any{"dashboard": false}},
	"dashboardQueues": {context: map[string]any{"dashboardQueues": "invoices"}},
	"payloadBuckets":  {context: map[string]any{"payloadBuckets": "uploads"}},
	"alarms":          {context: map[string]any{"alarmEmail": "ops@example.com", "logRetention": "168h", "oldestMessage": "1h", "failurePercent": 20}},
	"queue":           {context: map[string]any{"queueRetention": "48h", "maxReceiveCount": "20"}},
	"vpcId": {
		context: map[string]any{"vpcId": "vpc-01234567", "vpcZones": "a,b", "vpcPrivateSubnetIds": someSubnets, "vpcPublicSubnetIds": someSubnets, "clients": "10.0.0.0/8"},
		api:     true,
		// A load balancer stays in its VPC: docs/deploy.md says how to move.
		replaces: []string{"AWS::EC2::SecurityGroup", "AWS::ElasticLoadBalancingV2::TargetGroup"},
	},
	"in a VPC": {
		context:  map[string]any{"vpcId": "vpc-01234567", "vpcZones": "a,b", "vpcPrivateSubnetIds": someSubnets},
		replaces: []string{"AWS::EC2::SecurityGroup"},
	},
	"natGateways": {context: map[string]any{"natGateways": 1, "network": "nat"}},
	"public tasks": {
		context: map[string]any{"network": "public"},
	},
	"vpcCidr":   {context: map[string]any{"vpcCidr": "10.20.0.0/16"}, replaces: []string{"AWS::EC2::Subnet", "AWS::EC2::VPC"}},
	"adminFrom": {context: map[string]any{"adminFrom": "10.0.0.0/16"}},
	"arch":      {context: map[string]any{"arch": "amd64"}},
	"boundary":  {context: map[string]any{"permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"}},
	"senders":   {context: map[string]any{"senders": "arn:aws:sns:eu-west-1:123456789012:orders"}},
	"image":     {context: map[string]any{"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sqsonce:1"}},
	"size":      {context: map[string]any{"cpu": 512, "memory": 1024}},
	// The change from a launch type to capacity providers replaces the service, and its tasks
	// drain.
	"spotShare": {context: map[string]any{"spotShare": 50}, replaces: []string{"AWS::ECS::Service"}},
	"flags": {context: map[string]any{
		"concurrency": 10, "maxAttempts": 3, "visibility": "90s", "lease": "20s", "window": "800h", "drainTimeout": "60s",
		"key": "order.id", "fingerprint": "off", "workerEnv": `{"SQSONCE_RATE": "5"}`,
	}},
	"targetImage": {
		context: map[string]any{
			"demo": false, "targetImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1", "targetPort": 3000, "targetPath": "/work",
			"targetEnv": `{"A": "b"}`, "targetSecrets": `{"B": "` + someSecret + `"}`, "targetPolicies": "arn:aws:iam::123456789012:policy/app",
		},
		losses: []string{"target"},
	},
	"targetUrl": {
		context: map[string]any{
			"demo": false, "targetUrl": "https://target.example.com/work", "targetHealth": "/up",
			"targetTokenSecret": someSecret, "targetSigningSecret": someSecret,
		},
		losses: []string{"target"},
	},
	"delays": {api: true, context: map[string]any{"delays": true}},
	"queueKeyArns": {
		context: map[string]any{
			"queueArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "dlqArn": "arn:aws:sqs:eu-west-1:123456789012:orders-dead",
			"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0b1c",
		},
		losses: []string{"dlqArn", "name", "queueArn", "queueArn", "queueArn"},
	},
	"workerConfig": {
		context: map[string]any{"workerConfig": "infra/testdata/worker.yaml"}, losses: []string{"workerConfig"},
	},
	"scaling":     {context: map[string]any{"minTasks": 2, "maxTasks": 5, "latency": "1m", "handleTime": "2s"}},
	"to none":     {context: map[string]any{"minTasks": 0}},
	"producer":    {context: map[string]any{"producer": true}},
	"no producer": {api: true, context: map[string]any{"producer": false}, losses: []string{"producer"}},
	"public": {
		api:     true,
		context: map[string]any{"public": true, "certificate": someCert, "apiDomain": "api.example.com"},
		// The target group gets another id, too: see addBalancer.
		replaces: []string{"AWS::ElasticLoadBalancingV2::LoadBalancer"},
	},
	"certificate": {api: true, context: map[string]any{"certificate": someCert}},
	"clients":     {api: true, context: map[string]any{"clients": "10.0.0.0/8"}},
	"front":       {api: true, context: map[string]any{"dlqApi": false, "producerMinTasks": 3, "producerMaxTasks": 4, "requestsPerTask": 100}},
}

// noPair are the keys that change no template, and name, which makes another stack.
var noPair = []string{"name", "demo", "config", "change"}

// madePairs caches the templates.
var (
	madePairs   map[string]template // guarded by madePairsMu
	madePairsMu sync.Mutex
)

// pairTemplates returns the templates of the pairs and of the defaults.
func pairTemplates(t *testing.T) map[string]template {
	t.Helper()
	madePairsMu.Lock()
	defer madePairsMu.Unlock()
	if madePairs != nil {
		return madePairs
	}
	configs := make(map[string]Config)
	for name, p := range with(pairs, map[string]pair{"default": {}, "default with API": {api: true}}) {
		config, err := ReadConfig(with(map[string]any{"demo": true, "producer": p.api}, p.context))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		configs[name] = config
	}
	kernel.Lock()
	defer kernel.Unlock()
	madePairs = synthesiseAlone(t, configs)
	return madePairs
}

// Each pair is compared with the default. CloudFormation would replace exactly the listed
// resources, resources with data are dropped or replaced only with a confirmation, and no reference
// dangles.
func TestPairs(t *testing.T) {
	t.Parallel()
	templates := pairTemplates(t)
	for name, p := range pairs {
		t.Run(name, func(t *testing.T) {
			was, is := templates["default"], templates[name]
			if p.api {
				was = templates["default with API"]
			}
			for _, missing := range dangling(is, new(int)) {
				t.Error(missing)
			}
			var replaced []string
			for _, r := range replacements(t, was, is) {
				replaced = append(replaced, r.kind)
			}
			slices.Sort(replaced)
			if got, want := slices.Compact(replaced), slices.Sorted(slices.Values(p.replaces)); !slices.Equal(got, want) {
				t.Errorf("it replaces %q, want %q: %v", got, want, replacements(t, was, is))
			}
			losses, err := guard.Losses(encoded(t, was), encoded(t, is))
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, l := range losses {
				keys = append(keys, l.Key)
			}
			if !slices.Equal(keys, p.losses) {
				t.Errorf("to be named are %q, want %q: %v", keys, p.losses, losses)
			}
		})
	}
	t.Run("every key", func(t *testing.T) {
		tried := slices.Clone(noPair)
		for _, p := range pairs {
			tried = slices.AppendSeq(tried, maps.Keys(p.context))
		}
		c := Defaults()
		for key := range fields(&c) {
			if !slices.Contains(tried, key) {
				t.Errorf("%s: no pair has it", key)
			}
		}
	})
}

func encoded(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// replacement is a resource that CloudFormation would replace.
type replacement struct{ id, kind, property string }

// replacements returns the resources of both templates with a changed property that CloudFormation
// changes only by replacement.
func replacements(t *testing.T, was, is template) (found []replacement) {
	t.Helper()
	immutable, err := createOnly()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range sortedKeys(was.Resources) {
		old, next := was.Resources[id], is.Resources[id]
		if old.Type == "AWS::ECS::TaskDefinition" {
			continue // each deployment makes a new revision
		}
		for _, property := range immutable[old.Type] {
			if next.Type == old.Type && !reflect.DeepEqual(old.Properties[property], next.Properties[property]) {
				found = append(found, replacement{id, old.Type, property})
				break
			}
		}
	}
	return found
}

// createOnly returns the properties of each type that CloudFormation changes only by replacement,
// according to the database of the CDK's command line.
var createOnly = sync.OnceValues(func() (map[string][]string, error) {
	file, err := os.Open("node_modules/aws-cdk/db.json.gz")
	if err != nil {
		return nil, fmt.Errorf("%w (make deps)", err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	type entity struct {
		CloudFormationType string
		Properties         map[string]struct{ CausesReplacement string }
	}
	var db struct {
		Schema struct {
			Resource struct{ Entities []entity }
		}
	}
	if err := json.NewDecoder(unzipped).Decode(&db); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	found := make(map[string][]string)
	for _, e := range db.Schema.Resource.Entities {
		for name, p := range e.Properties {
			if p.CausesReplacement == "yes" {
				found[e.CloudFormationType] = append(found[e.CloudFormationType], name)
			}
		}
	}
	if len(found) < 500 {
		return nil, fmt.Errorf("%s: %d types", file.Name(), len(found))
	}
	return found, nil
})

// The guard's list of properties agrees with the database of the CDK's command line.
func TestGuardedProperties(t *testing.T) {
	immutable, err := createOnly()
	if err != nil {
		t.Fatal(err)
	}
	for kind, known := range guard.Immutable() {
		if want := slices.Sorted(slices.Values(immutable[kind])); !slices.Equal(known, want) {
			t.Errorf("of %s the guard knows %q, CloudFormation replaces for %q", kind, known, want)
		}
	}
}
