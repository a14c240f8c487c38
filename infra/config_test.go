package infra

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	t.Run("nothing chosen is the defaults", testNothingChosenIsTheDefaults)
	t.Run("text and typed values mean the same", testTextAndTypedValuesMeanTheSame)
	t.Run("every problem is named with key and value", testEveryProblemIsNamedWithKeyAndValue)
	t.Run("every key is in the guide", testEveryKeyIsInTheGuide)
	t.Run("backlog is the work that a task finishes in time", testBacklogIsTheWorkThatATaskFinishesInTime)
}

func testNothingChosenIsTheDefaults(t *testing.T) {
	flags, err := cdkContext()
	if err != nil {
		t.Fatal(err)
	}
	flags["demo"] = true // a target or the demo is required
	got, err := ReadConfig(flags)
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Demo = true
	want.Source = "."
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	q, w := got.Queue, got.Worker
	if q.MaxReceiveCount != 10 || w.Visibility != time.Minute || w.Lease != 30*time.Second || w.Window != 720*time.Hour ||
		w.MaxAttempts != 5 || w.Concurrency != 50 || w.Drain != 110*time.Second {
		t.Errorf("not the defaults of the design: %+v %+v", q, w)
	}
}

func testTextAndTypedValuesMeanTheSame(t *testing.T) {
	text, err := ReadConfig(map[string]any{
		"demo": "true", "fifo": "true", "minTasks": "3", "clients": "10.0.0.0/8, 192.168.0.0/16", "window": "800h",
		"producer": "true", "workerEnv": `{"SQSONCE_RATE":"5"}`, "alarmEmail": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	typed, err := ReadConfig(map[string]any{
		"demo": true, "fifo": true, "minTasks": 3.0, "clients": []any{"10.0.0.0/8", "192.168.0.0/16"}, "window": "800h",
		"producer": true, "workerEnv": map[string]any{"SQSONCE_RATE": "5"}, "alarmEmail": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(text) != fmt.Sprint(typed) {
		t.Errorf("as text  %+v\nas typed %+v", text, typed)
	}
	if text.Worker.Arch != "arm64" || !text.Queue.FIFO || text.Scaling.MinTasks != 3 || len(text.Producer.Clients) != 2 || text.Worker.Window != 800*time.Hour ||
		text.Producer.Off || text.Worker.Env["SQSONCE_RATE"] != "5" {
		t.Errorf("got %+v", text)
	}
}

const someSubnet = "subnet-0123456789abcdef0"

// contextCase is a context, and its problems.
type contextCase struct {
	context map[string]any
	want    []string // the beginnings of all lines, in any order
}

var badContexts = map[string]contextCase{
	"no boolean":           {map[string]any{"fifo": "perhaps"}, []string{"fifo perhaps"}},
	"no number":            {map[string]any{"minTasks": "two"}, []string{"minTasks two"}},
	"half a task":          {map[string]any{"minTasks": 1.5}, []string{"minTasks 1.5"}},
	"no unit":              {map[string]any{"window": "30"}, []string{"window 30"}},
	"no object":            {map[string]any{"workerEnv": "A=b"}, []string{"workerEnv A=b"}},
	"numbers as variables": {map[string]any{"workerEnv": map[string]any{"A": 1.0}}, []string{"workerEnv map"}},
	"a misspelt key":       {map[string]any{"fifoo": "true"}, []string{"fifoo"}},
	"a flag of the worker": {map[string]any{"max-attempts": "3"}, []string{"max-attempts: not a key"}},
	"a key with a colon":   {map[string]any{"env:prod": "x", "a/b": "x"}, []string{"env:prod: not a key", "a/b: not a key"}},
	"half a secret":        {map[string]any{"targetUrl": "http://b", "targetTokenSecret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"}, []string{"targetTokenSecret"}},
	"the worker's port":    {map[string]any{"natGateways": 1, "targetImage": "a", "targetPort": 9090}, []string{"targetPort 9090"}},
	"half a queue":         {map[string]any{"queueArn": "arn:aws:sqs:eu-west-1:123456789012:a"}, []string{"queueArn"}},
	"no queue":             {map[string]any{"queueArn": "a", "dlqArn": "b"}, []string{`queueArn "a"`, `dlqArn "b"`}},
	"two kinds of queues": {
		map[string]any{"queueArn": "arn:aws:sqs:eu-west-1:123456789012:a.fifo", "dlqArn": "arn:aws:sqs:eu-west-1:123456789012:b"}, []string{"queueArn"},
	},
	"a cluster somewhere": {map[string]any{"clusterName": "main"}, []string{"clusterName main: needs vpcId"}},
	"a dashboard of none": {map[string]any{"dashboard": false, "dashboardQueues": "invoices"}, []string{"dashboardQueues invoices"}},
	"no queues of others": {
		map[string]any{"dashboardQueues": "sqsonce,a b,x,x"},
		[]string{"dashboardQueues sqsonce: is this", `dashboardQueues "a b"`, "dashboardQueues x: is named twice"},
	},
	"no earlier table": {
		map[string]any{"workerEnv": `{"SQSONCE_POWERTOOLS_TABLE": "arn:aws:dynamodb:::table/x"}`},
		[]string{`workerEnv SQSONCE_POWERTOOLS_TABLE "arn:aws:dynamodb:::table/x": not the name of a table`},
	},
	"no buckets":            {map[string]any{"payloadBuckets": "Uploads,arn:aws:s3:::x"}, []string{`payloadBuckets "Uploads"`, `payloadBuckets "arn`}},
	"payloads of no bucket": {map[string]any{"workerEnv": `{"SQSONCE_S3_PAYLOADS":"false"}`}, []string{"workerEnv SQSONCE_S3_PAYLOADS"}},
	"no key": {
		map[string]any{
			"queueArn": "arn:aws:sqs:eu-west-1:123456789012:a", "dlqArn": "arn:aws:sqs:eu-west-1:123456789012:b",
			"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:alias/a",
		}, []string{`queueKeyArns "arn:aws:kms:eu-west-1:123456789012:alias/a"`},
	},
	"a key of no queue": {map[string]any{"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0b1c"}, []string{"queueKeyArns: apply"}},
	"no delays":         {map[string]any{"delays": "3h"}, []string{"delays 3h"}},
	"no attribute":      {map[string]any{"ttlAttribute": "a b"}, []string{`ttlAttribute "a b"`}},
	"no table":          {map[string]any{"tableName": "a/b"}, []string{`tableName "a/b"`}},
	"a public API in a VPC of unknown range": {
		map[string]any{
			"producer": true, "public": true, "certificate": someCert, "vpcId": "vpc-01234567", "vpcZones": "a,b",
			"vpcPrivateSubnetIds": someSubnets, "vpcPublicSubnetIds": someSubnets,
		}, nil,
	},
	"a key of the CDK":          {map[string]any{"@aws-cdk/core:x": true, "aws:cdk:y": 1.0, "cli-telemetry": false}, nil},
	"a name with a dot":         {map[string]any{"name": "a.fifo"}, []string{`name "a.fifo"`}},
	"no address":                {map[string]any{"alarmEmail": "me"}, []string{`alarmEmail "me"`}},
	"an odd retention":          {map[string]any{"logRetention": "25h"}, []string{"logRetention 25h"}},
	"kept for ever":             {map[string]any{"queueRetention": "400h"}, []string{"queueRetention 400h", "window 720h"}},
	"a short memory":            {map[string]any{"window": "300h"}, []string{"window 300h"}},
	"too few receives":          {map[string]any{"maxReceiveCount": "4"}, []string{"maxReceiveCount 4"}},
	"a drain without rest":      {map[string]any{"drainTimeout": "116s"}, []string{"drainTimeout 1m56s"}},
	"the longest drain":         {map[string]any{"drainTimeout": "115s"}, nil},
	"a lease beyond all":        {map[string]any{"lease": "61s"}, []string{"lease 1m1s"}},
	"no size of Fargate":        {map[string]any{"cpu": "256", "memory": "4096"}, []string{"cpu 256, memory 4096"}},
	"a size of Fargate":         {map[string]any{"cpu": "4096", "memory": "30720"}, nil},
	"half a size":               {map[string]any{"cpu": "512"}, nil},
	"the other half":            {map[string]any{"memory": "8192"}, []string{"cpu 256, memory 8192"}},
	"more than all on Spot":     {map[string]any{"spotShare": "101"}, []string{"spotShare 101"}},
	"an own variable":           {map[string]any{"workerEnv": `{"SQSONCE_TABLE":"x"}`}, []string{"workerEnv SQSONCE_TABLE"}},
	"a variable with space":     {map[string]any{"workerEnv": `{"A B":"x"}`}, []string{"workerEnv A B"}},
	"no target":                 {map[string]any{"demo": "false"}, []string{"no target: every message"}},
	"a demo with a target":      {map[string]any{"demo": true, "targetUrl": "http://b"}, []string{"demo true: excludes the target http://b"}},
	"two targets":               {map[string]any{"natGateways": "1", "targetImage": "a", "targetUrl": "http://b"}, []string{"targetImage a, targetUrl http://b"}},
	"a path without slash":      {map[string]any{"targetPath": "x"}, []string{`targetPath "x"`}},
	"health of nothing":         {map[string]any{"targetHealth": "/x"}, []string{"targetHealth /x"}},
	"no URL":                    {map[string]any{"targetUrl": "ftp://x"}, []string{`targetUrl "ftp://x"`}},
	"no secret":                 {map[string]any{"targetUrl": "http://b", "targetTokenSecret": "x"}, []string{`targetTokenSecret "x"`}},
	"min over max":              {map[string]any{"minTasks": "5", "maxTasks": "4"}, []string{"minTasks 5"}},
	"public without TLS":        {map[string]any{"producer": "true", "public": "true"}, []string{"public:"}},
	"no certificate":            {map[string]any{"producer": true, "certificate": "x"}, []string{`certificate "x"`}},
	"a domain without TLS":      {map[string]any{"producer": true, "apiDomain": "x.org"}, []string{"apiDomain x.org"}},
	"no range":                  {map[string]any{"producer": true, "clients": "10.0.0.1"}, []string{`clients "10.0.0.1"`}},
	"public without a producer": {map[string]any{"producer": "false", "public": "true"}, []string{"producer false"}},
	"zones without a VPC":       {map[string]any{"vpcZones": "a"}, []string{"vpcZones"}},
	"no network":                {map[string]any{"network": "open"}, []string{`network "open"`}},
	"NAT twice":                 {map[string]any{"network": "public", "natGateways": 1}, []string{"natGateways 1: needs network nat, not public"}},
	"a network of others":       {map[string]any{"vpcId": "vpc-01234567", "network": "nat"}, []string{"network nat: applies to a new VPC"}},
	"public subnets":            {map[string]any{"vpcId": "vpc-01234567", "network": "public", "vpcZones": "a", "vpcPublicSubnetIds": someSubnet}, nil},
	"too small a range":         {map[string]any{"vpcCidr": "10.0.0.0/24"}, []string{`vpcCidr "10.0.0.0/24"`}},
	"no operators":              {map[string]any{"adminFrom": "x"}, []string{`adminFrom "x"`}},
	"all operators":             {map[string]any{"adminFrom": "0.0.0.0/0"}, []string{"adminFrom 0.0.0.0/0"}},
	"no architecture":           {map[string]any{"arch": "x86"}, []string{`arch "x86"`}},
	"no boundary":               {map[string]any{"permissionsBoundary": "x"}, []string{`permissionsBoundary "x"`}},
	"no sender":                 {map[string]any{"senders": "arn:aws:iam::123456789012:role/x"}, []string{`senders "arn:aws:iam`}},
	"S3 and FIFO":               {map[string]any{"fifo": true, "senders": "arn:aws:s3:::x"}, []string{"senders arn:aws:s3:::x"}},
	"all fail":                  {map[string]any{"failurePercent": 100}, []string{"failurePercent 100"}},
	"secrets of nothing":        {map[string]any{"targetSecrets": `{"A": "` + someSecret + `"}`}, []string{"targetEnv, targetSecrets"}},
	"a secret and a text": {
		map[string]any{"network": "nat", "targetImage": "a", "targetEnv": `{"A": "b"}`, "targetSecrets": `{"A": "` + someSecret + `"}`}, []string{"targetSecrets A"},
	},
	"no policy":                    {map[string]any{"network": "nat", "targetImage": "a", "targetPolicies": "x"}, []string{`targetPolicies "x"`}},
	"NAT in a foreign VPC":         {map[string]any{"vpcId": "vpc-01234567", "natGateways": "1"}, []string{"natGateways 1"}},
	"a public image without a way": {map[string]any{"targetImage": "nginx", "image": "x.org/y:1"}, []string{"targetImage nginx", "image x.org/y:1"}},
	"a public image with a way":    {map[string]any{"targetImage": "nginx", "natGateways": "1"}, nil},
	"no ids":                       {map[string]any{"vpcId": "x"}, []string{`vpcId "x"`}},
	"subnets and zones": {
		map[string]any{"vpcId": "vpc-01234567", "vpcZones": "a,b", "vpcPrivateSubnetIds": someSubnet},
		[]string{"vpcPrivateSubnetIds [" + someSubnet + "]"},
	},
	"a VPC of unknown range": {
		map[string]any{"producer": true, "vpcId": "vpc-01234567", "vpcZones": "a,b", "vpcPrivateSubnetIds": someSubnet + "," + someSubnet}, []string{"clients:"},
	},
	"several at once": {map[string]any{"fifo": "x", "name": "", "minTasks": "-1", "lease": "2h"}, []string{"fifo x", "minTasks -1", "lease 2h0m0s"}},
}

func testEveryProblemIsNamedWithKeyAndValue(t *testing.T) {
	for name, tc := range badContexts {
		t.Run(name, tc.check)
	}
}

func (tc contextCase) check(t *testing.T) {
	context := maps.Clone(tc.context)
	if context["targetImage"] == nil && context["targetUrl"] == nil && context["demo"] == nil {
		context["demo"] = true
	}
	_, err := ReadConfig(context)
	var problems []string
	if err != nil {
		e, ok := errors.AsType[*ConfigError](err)
		if !ok {
			t.Fatalf("error is %T: %v", err, err)
		}
		problems = e.Problems
	}
	if len(problems) != len(tc.want) {
		t.Errorf("%d problems, want %d: %q", len(problems), len(tc.want), problems)
	}
	for _, want := range tc.want {
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("no problem begins with %q: %q", want, problems)
		}
	}
}

func testEveryKeyIsInTheGuide(t *testing.T) {
	guide, err := os.ReadFile("docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	c := Defaults()
	keys := slices.Sorted(maps.Keys(fields(&c)))
	if len(keys) < 30 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(string(guide), "`"+key+"`") {
			t.Errorf("docs/deploy.md does not say what %s is", key)
		}
	}
}

func testBacklogIsTheWorkThatATaskFinishesInTime(t *testing.T) {
	for name, tc := range map[string]struct {
		concurrency         int
		latency, handleTime time.Duration
		want                float64
	}{
		"the default":                   {50, 30 * time.Second, time.Second, 1550},
		"slow work":                     {10, time.Minute, 2 * time.Minute, 15},
		"work longer than the patience": {1, time.Second, time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			c.Worker.Concurrency, c.Scaling.Latency, c.Scaling.HandleTime = tc.concurrency, tc.latency, tc.handleTime
			if got := c.backlogPerTask(); got != tc.want {
				t.Errorf("backlog %g, want %g", got, tc.want)
			}
		})
	}
}
