package infra

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if err := errors.Join(withoutValidation(), toRoot()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer jsii.Close()
		code := m.Run()
		if dir, _ := binaries(); dir != "" {
			_ = os.RemoveAll(dir)
		}
		return code
	}())
}

// noValidation turns off the CDK's check against the schemas of CloudFormation, which takes more
// time than all else. make validate-template checks.
const noValidation = "CDK_VALIDATION=false"

// withoutValidation starts the test binary again with [noValidation]. The jsii runtime copies the
// environment when it is initialised, before TestMain could set it.
func withoutValidation() error {
	if slices.Contains(os.Environ(), noValidation) {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	jsii.Close() // removes the files of the runtime
	return syscall.Exec(self, os.Args, append(os.Environ(), noValidation))
}

// toRoot changes to the directory to which the paths of the tests and of the CDK are relative.
func toRoot() error {
	root, err := Root()
	if err != nil {
		return err
	}
	return os.Chdir(root)
}

// kernel serialises the use of the CDK in parallel tests, because its process takes one call at a
// time.
var kernel sync.Mutex

// variants are the configurations of one app, which is synthesised once. The tests share the
// templates.
var variants = map[string]map[string]any{
	"plain": {"demo": "true", "producer": "true"},
	"least": {"name": "least", "demo": "true", "alarmEmail": "ops@example.com", "permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"},
	"fifo":  {"name": "fifo", "targetUrl": "https://target.example.com/work", "fifo": "true", "producer": "true", "key": "order.id", "fingerprint": "off", "delays": "true"},
	"sidecar": {
		"name": "sidecar", "targetImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app/orders:1.2",
		"targetPort": "3000", "targetPath": "/work", "targetHealth": "/healthz",
		"targetTokenSecret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf",
		"producer":          "true", "adminFrom": "10.20.0.0/18", "arch": "amd64", "network": "nat", "vpcCidr": "10.20.0.0/18",
		"targetSecrets":  `{"DB_PASSWORD": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-GhIjKl:password"}`,
		"targetPolicies": "arn:aws:iam::123456789012:policy/orders",
		"ttlAttribute":   "expiration",
		"payloadBuckets": "uploads,big-payloads", "dashboardQueues": "invoices,shipments.fifo",
		"targetEnv": `{"MODE": "worker"}`, "workerEnv": `{"SQSONCE_ON_UNKNOWN": "hold", "GOMEMLIMIT": "300MiB", "SQSONCE_POWERTOOLS_TABLE": "idempotency",
			"SQSONCE_POWERTOOLS_PREFIX": "orders.app.lambda_handler", "SQSONCE_POWERTOOLS_LANGUAGE": "python", "SQSONCE_POWERTOOLS_KEY": "messageId"}`,
	},
	"vpc": {
		"name": "vpc", "demo": "true", "producer": "true", "vpcId": "vpc-0123456789abcdef0", "vpcZones": "eu-west-1a,eu-west-1b",
		"vpcPrivateSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1", "clients": "10.1.0.0/16",
	},
	"adopt": {
		"name": "adopt", "targetUrl": "https://target.example.com/work", "vpcId": "vpc-0123456789abcdef0",
		"vpcZones": "eu-west-1a", "vpcPrivateSubnetIds": "subnet-0123456789abcdef0", "producer": "false",
		"queueArn": "arn:aws:sqs:eu-west-1:123456789012:orders.fifo", "dlqArn": "arn:aws:sqs:eu-west-1:123456789012:orders-dead.fifo",
		"tableName": "shared", "clusterName": "main", "dashboard": "false", "delays": "true",
		"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0b1c2d3e-1111-2222-3333-444455556666,arn:aws:kms:eu-west-1:123456789012:key/mrk-0b1c2d3e",
	},
	"several": {
		"name": "several", "targetUrl": "https://target.example.com/work", "workerConfig": "infra/testdata/worker.yaml",
		"vpcId": "vpc-0123456789abcdef0", "vpcZones": "eu-west-1a", "vpcPrivateSubnetIds": "subnet-0123456789abcdef0", "dashboardQueues": "invoices",
		"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0b1c2d3e-1111-2222-3333-444455556666",
	},
	"public": {
		"name": "public", "demo": "true", "producer": "true", "network": "public",
		"senders": "arn:aws:sns:eu-west-1:123456789012:orders,arn:aws:s3:::uploads,arn:aws:events:eu-west-1:123456789012:rule/nightly",
		"public":  "true", "apiDomain": "api.example.com", "alarmEmail": "ops@example.com", "dlqApi": "false",
		"certificate": "arn:aws:acm:eu-west-1:123456789012:certificate/0b1c",
	},
	"small": {
		"name": "small", "throwaway": "true", "producer": "false", "minTasks": "0", "natGateways": "1", "spotShare": "70", "delays": "true",
		"image": "example.com/sqsonce:1", "targetUrl": "https://target.example.com/work",
	},
}

// built is a synthesised variant.
type built struct {
	config    Config
	template  template
	asserts   assertions.Template
	messages  []string // errors and warnings of the synthesis
	protected bool     // the stack's termination protection
}

// synthesised returns a variant's stack. The first call synthesises all.
func synthesised(t *testing.T, name string) built {
	t.Helper()
	all, err := synthesise()
	if err != nil {
		t.Fatal(err)
	}
	b, ok := all[name]
	if !ok {
		t.Fatalf("no variant %q", name)
	}
	return b
}

var synthesise = sync.OnceValues(func() (map[string]built, error) {
	kernel.Lock()
	defer kernel.Unlock()
	dir, err := os.MkdirTemp("", "infra-test-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	flags, err := cdkContext()
	if err != nil {
		return nil, err
	}
	// Findings are reported by the test of the rules, not by the synthesis.
	flags["@aws-cdk/core:annotationsInValidationReport"] = false
	app := awscdk.NewApp(&awscdk.AppProps{Outdir: &dir, Context: &flags, AnalyticsReporting: jsii.Bool(false)})
	all := make(map[string]built)
	for _, name := range sortedKeys(variants) {
		context := maps.Clone(flags)
		maps.Copy(context, variants[name])
		config, err := ReadConfig(context)
		if err != nil {
			return nil, fmt.Errorf("variant %s: %w", name, err)
		}
		all[name] = built{config: config}
		if _, err := newStack(app, config.Name, config, nil); err != nil {
			return nil, err
		}
	}
	app.Synth(nil)
	protected, err := protectedStacks(dir)
	if err != nil {
		return nil, err
	}
	for name, b := range all {
		b.protected = protected[b.config.Name]
		if all[name], err = b.load(dir); err != nil {
			return nil, fmt.Errorf("variant %s: %w", name, err)
		}
	}
	return all, nil
})

// protectedStacks returns the termination protection of each stack in a cloud assembly.
func protectedStacks(dir string) (map[string]bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Artifacts map[string]struct {
			Properties struct{ TerminationProtection bool }
		}
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	found := make(map[string]bool)
	for name, a := range manifest.Artifacts {
		found[name] = a.Properties.TerminationProtection
	}
	return found, nil
}

// synthesiseAlone returns the templates of configurations, each in its own app, so that only the
// configured values differ. It leaves out the rules of cdk-nag, which take the most time.
func synthesiseAlone(t *testing.T, configs map[string]Config) map[string]template {
	t.Helper()
	flags, err := cdkContext()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]template)
	for _, name := range sortedKeys(configs) {
		dir := t.TempDir()
		app := awscdk.NewApp(&awscdk.AppProps{Outdir: &dir, Context: &flags, AnalyticsReporting: jsii.Bool(false)})
		if _, err := New(awscdk.NewStack(app, jsii.String("stack"), nil), "Default", configs[name]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		app.Synth(nil)
		data, err := os.ReadFile(filepath.Join(dir, "stack.template.json"))
		if err != nil {
			t.Fatal(err)
		}
		var made template
		if err := json.Unmarshal(data, &made); err != nil {
			t.Fatal(err)
		}
		found[name] = made
	}
	return found
}

// load reads the output of the synthesis.
func (b built) load(dir string) (built, error) {
	path := filepath.Join(dir, b.config.Name)
	data, err := os.ReadFile(path + ".template.json")
	if err != nil {
		return b, err
	}
	var all map[string]any
	if err := errors.Join(json.Unmarshal(data, &all), json.Unmarshal(data, &b.template)); err != nil {
		return b, fmt.Errorf("template: %w", err)
	}
	b.asserts = assertions.Template_FromJSON(&all, nil)
	if data, err = os.ReadFile(path + ".metadata.json"); err != nil {
		return b, err
	}
	var metadata map[string][]struct {
		Type string
		Data any
	}
	if err := json.Unmarshal(data, &metadata); err != nil {
		return b, fmt.Errorf("metadata: %w", err)
	}
	for path, entries := range metadata {
		for _, e := range entries {
			if e.Type == "aws:cdk:error" || e.Type == "aws:cdk:warning" {
				b.messages = append(b.messages, fmt.Sprintf("%s: %v", path, e.Data))
			}
		}
	}
	return b, nil
}

// cdkContext returns the context of cdk.json.
func cdkContext() (map[string]any, error) {
	data, err := os.ReadFile("cdk.json")
	if err != nil {
		return nil, err
	}
	var file struct {
		Context map[string]any `json:"context"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("cdk.json: %w", err)
	}
	return file.Context, nil
}

// each runs a test on every variant.
func each(t *testing.T, test func(t *testing.T, b built)) {
	t.Helper()
	for _, name := range sortedKeys(variants) {
		t.Run(name, func(t *testing.T) { test(t, synthesised(t, name)) })
	}
}

// template is the tested part of a CloudFormation template.
type template struct {
	Parameters map[string]any
	Resources  map[string]resource
	Outputs    map[string]struct{ Value, Description any }
	Conditions map[string]any
	Mappings   map[string]any
}

type resource struct {
	Type                string
	Properties          map[string]any
	DependsOn           any
	DeletionPolicy      string
	UpdateReplacePolicy string
	Metadata            map[string]any
}

// of returns the resources of a type, by their logical ids.
func (t template) of(kind string) map[string]resource {
	found := make(map[string]resource)
	for id, r := range t.Resources {
		if r.Type == kind {
			found[id] = r
		}
	}
	return found
}

// only returns the resource of a type, and fails the test unless there is exactly one.
func (t template) only(tb testing.TB, kind string) resource {
	tb.Helper()
	found := t.of(kind)
	if len(found) != 1 {
		tb.Fatalf("%d resources of type %s, want 1", len(found), kind)
	}
	for _, r := range found {
		return r
	}
	panic("unreachable")
}

// container returns a container by its name, and its task definition.
func (t template) container(tb testing.TB, name string) (container map[string]any, task resource) {
	tb.Helper()
	for _, task := range t.of("AWS::ECS::TaskDefinition") {
		for _, c := range task.Properties["ContainerDefinitions"].([]any) {
			if c := c.(map[string]any); c["Name"] == name {
				return c, task
			}
		}
	}
	tb.Fatalf("no container %q", name)
	return nil, resource{}
}

// reference returns the logical id that a Ref or GetAtt names.
func reference(value any) string {
	m, _ := value.(map[string]any)
	if ref, ok := m["Ref"].(string); ok {
		return ref
	}
	if parts, ok := m["Fn::GetAtt"].([]any); ok {
		return parts[0].(string)
	}
	return ""
}

// flat returns a value of a template as one line of JSON.
func flat(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(data), `\"`, `"`)
}
