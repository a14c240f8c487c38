package infra

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// Placeholders of parameters in the synthesised template. No other text of a template contains one
// of them.
const (
	plainName    = "PLAINNAME"
	plainImage   = "plain.invalid/image"
	plainApp     = "plain.invalid/app"
	plainQueue   = "PLAINQUEUE"
	plainDLQ     = "PLAINDEADLETTERS"
	plainTable   = "PLAINTABLE"
	plainCluster = "PLAINCLUSTER"
	plainVPC     = "vpc-00000000"
	plainSubnet  = "subnet-00000000"
	plainARN     = "arn:aws:sqs:us-east-1:000000000000:"
	plainURL     = "http://127.0.0.1:8080/"
)

// parameter is a parameter of the plain template.
type parameter struct {
	Type          string
	Description   string
	Default       any      `json:",omitempty"`
	AllowedValues []string `json:",omitempty"`
	MinValue      int      `json:",omitempty"`
}

// plainParameters are the parameters of the plain template.
var plainParameters = map[string]parameter{
	"Image":          {Type: "String", Description: "Image of the worker: a registry's, or one in ECR of this account"},
	"QueueArn":       {Type: "String", Description: "ARN of the queue"},
	"DlqArn":         {Type: "String", Description: "ARN of its dead-letter queue"},
	"TableName":      {Type: "String", Description: "Name of the table with one record per name"},
	"ClusterName":    {Type: "String", Description: "Name of the ECS cluster"},
	"VpcId":          {Type: "AWS::EC2::VPC::Id", Description: "VPC of the subnets"},
	"Subnets":        {Type: "List<AWS::EC2::Subnet::Id>", Description: "Subnets of the tasks"},
	"AssignPublicIp": {Type: "String", Description: "ENABLED in public subnets", Default: "DISABLED", AllowedValues: []string{"DISABLED", "ENABLED"}},
	"TargetImage":    {Type: "String", Description: "App in a container beside the worker, listening on port 8080; empty: TargetUrl", Default: ""},
	"TargetUrl":      {Type: "String", Description: "Where messages are POSTed to, without TargetImage", Default: ""},
	"Architecture":   {Type: "String", Description: "What the images are for", Default: "ARM64", AllowedValues: []string{"ARM64", "X86_64"}},
	"Cpu":            {Type: "String", Description: "CPU units of a task", Default: "512"},
	"Memory":         {Type: "String", Description: "MiB of a task", Default: "1024"},
	"MinTasks":       {Type: "Number", Description: "Least number of tasks", Default: 1, MinValue: 1},
	"MaxTasks":       {Type: "Number", Description: "Greatest number of tasks", Default: 10, MinValue: 1},
	"Concurrency":    {Type: "Number", Description: "Messages that a task handles at a time", Default: 50, MinValue: 1},
	"BacklogPerTask": {
		Type: "Number", Description: "Concurrency x (handle time + acceptable delay) / handle time", Default: 1550, MinValue: 1,
	},
}

// PlainTemplate returns a CloudFormation template of a worker for an existing queue, table and
// cluster. It needs neither the CDK nor its bootstrap, and fits into a call of CloudFormation
// (51,200 bytes). It is made of the same constructs, with parameters in place of a configuration.
func PlainTemplate() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sqsonce-plain-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := Defaults()
	config.Name, config.TableName, config.ClusterName = plainName, plainTable, plainCluster
	config.Queue.ARN, config.Queue.DLQARN = plainARN+plainQueue, plainARN+plainDLQ
	config.Network = NetworkConfig{VPCID: plainVPC, Zones: []string{"a"}, PrivateSubnetIDs: []string{plainSubnet}, CIDR: config.Network.CIDR}
	config.Worker.Image, config.Target.Image = plainImage, plainApp
	config.Worker.CPU, config.Worker.Memory = 512, 1024

	app := awscdk.NewApp(&awscdk.AppProps{Outdir: &dir, AnalyticsReporting: jsii.Bool(false)})
	stack := awscdk.NewStack(app, jsii.String("plain"), &awscdk.StackProps{
		Synthesizer: awscdk.NewBootstraplessSynthesizer(nil), Description: jsii.String("sqsonce: handles every named SQS message once"),
	})
	made, err := New(stack, "Default", config)
	if err != nil {
		return nil, err
	}
	// A template cannot derive the repository from the image's name, so the right covers all.
	made.WorkerTask.AddToExecutionRolePolicy(allow("PullFromThisAccount",
		[]string{"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"},
		stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("ecr"), Resource: jsii.String("repository"), ResourceName: jsii.String("*")})))
	made.WorkerTask.AddToExecutionRolePolicy(allow("LogInToECR", []string{"ecr:GetAuthorizationToken"}, jsii.String("*")))
	app.Synth(nil)
	data, err := os.ReadFile(filepath.Join(dir, "plain.template.json"))
	if err != nil {
		return nil, err
	}
	return plain(data)
}

// plain replaces the placeholders in a template by parameters.
func plain(data []byte) ([]byte, error) {
	var t map[string]any
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	resources := t["Resources"].(map[string]any)
	for _, r := range resources {
		r := r.(map[string]any)
		delete(r, "Metadata")
		properties, _ := r["Properties"].(map[string]any)
		plainNumbers(r["Type"].(string), properties)
	}
	t["Resources"], t["Outputs"] = parametrised(resources), parametrised(t["Outputs"])
	t["Parameters"] = plainParameters
	t["Conditions"] = map[string]any{"HasTargetImage": map[string]any{
		"Fn::Not": []any{map[string]any{"Fn::Equals": []any{ref("TargetImage"), ""}}},
	}}
	t["Rules"] = map[string]any{"Target": map[string]any{"Assertions": []any{map[string]any{
		"Assert": map[string]any{"Fn::Not": []any{map[string]any{"Fn::And": []any{
			map[string]any{"Fn::Equals": []any{ref("TargetImage"), ""}}, map[string]any{"Fn::Equals": []any{ref("TargetUrl"), ""}},
		}}}},
		"AssertDescription": "TargetImage or TargetUrl: without a target every message would be completed, and nothing done",
	}}}}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// plainNumbers sets the parameters of numeric properties, which have no placeholders.
func plainNumbers(kind string, properties map[string]any) {
	switch kind {
	case "AWS::ECS::TaskDefinition":
		properties["Cpu"], properties["Memory"] = ref("Cpu"), ref("Memory")
		properties["Family"] = map[string]any{"Fn::Sub": "${AWS::StackName}-worker"}
		properties["RuntimePlatform"].(map[string]any)["CpuArchitecture"] = ref("Architecture")
		plainContainers(properties)
	case "AWS::ECS::Service":
		network := properties["NetworkConfiguration"].(map[string]any)["AwsvpcConfiguration"].(map[string]any)
		network["AssignPublicIp"], network["Subnets"] = ref("AssignPublicIp"), ref("Subnets")
	case "AWS::ApplicationAutoScaling::ScalableTarget":
		properties["MinCapacity"], properties["MaxCapacity"] = ref("MinTasks"), ref("MaxTasks")
	case "AWS::ApplicationAutoScaling::ScalingPolicy":
		properties["TargetTrackingScalingPolicyConfiguration"].(map[string]any)["TargetValue"] = ref("BacklogPerTask")
	case "AWS::CloudWatch::Alarm":
		if name, _ := properties["AlarmName"].(string); strings.HasSuffix(name, "-max-tasks-reached") {
			properties["Threshold"] = ref("MaxTasks")
		}
	}
}

// plainContainers makes the target container optional.
func plainContainers(task map[string]any) {
	containers := task["ContainerDefinitions"].([]any)
	for i, c := range containers {
		c := c.(map[string]any)
		if c["Name"] == "target" {
			containers[i] = onlyWithTarget(c)
			continue
		}
		c["DependsOn"] = onlyWithTarget(c["DependsOn"])
		for _, v := range c["Environment"].([]any) {
			switch v := v.(map[string]any); v["Name"] {
			case "SQSONCE_CONCURRENCY":
				v["Value"] = ref("Concurrency")
			case "SQSONCE_TARGET_URL":
				v["Value"] = map[string]any{"Fn::If": []any{"HasTargetImage", plainURL, ref("TargetUrl")}}
			}
		}
	}
}

func onlyWithTarget(value any) any {
	return map[string]any{"Fn::If": []any{"HasTargetImage", value, ref("AWS::NoValue")}}
}

func ref(name string) map[string]any { return map[string]any{"Ref": name} }

// partOf returns a part of the ARN in a parameter: 4 for the account, 5 for the name.
func partOf(parameter string, part int) any {
	return map[string]any{"Fn::Select": []any{part, map[string]any{"Fn::Split": []any{":", ref(parameter)}}}}
}

// plainTexts are the placeholders in texts, and the variables of a Fn::Sub that replace them.
var plainTexts = []struct {
	text, variable string
	value          any // nil: a parameter of that name
}{
	{plainARN + plainQueue, "QueueArn", nil},
	{plainARN + plainDLQ, "DlqArn", nil},
	{"https://sqs.us-east-1.", "Sqs", map[string]any{"Fn::Sub": "https://sqs.${AWS::Region}."}},
	{"/000000000000/" + plainQueue, "QueuePath", map[string]any{"Fn::Join": []any{"", []any{"/", partOf("QueueArn", 4), "/", partOf("QueueArn", 5)}}}},
	{"/000000000000/" + plainDLQ, "DlqPath", map[string]any{"Fn::Join": []any{"", []any{"/", partOf("DlqArn", 4), "/", partOf("DlqArn", 5)}}}},
	{plainQueue, "QueueName", partOf("QueueArn", 5)},
	{plainDLQ, "DlqName", partOf("DlqArn", 5)},
	{plainTable, "TableName", nil},
	{plainCluster, "ClusterName", nil},
	{plainVPC, "VpcId", nil},
	{plainImage, "Image", nil},
	{plainApp, "TargetImage", nil},
	{plainName, "AWS::StackName", nil},
}

// parametrised returns a value of a template with parameters in its texts.
func parametrised(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = parametrised(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = parametrised(inner)
		}
	case string:
		return withParameters(v)
	}
	return value
}

// withParameters returns a text with parameters: the parameter alone, or a Fn::Sub.
func withParameters(text string) any {
	variables := make(map[string]any)
	replaced := strings.ReplaceAll(text, "${", "${!")
	for _, p := range plainTexts {
		if !strings.Contains(replaced, p.text) {
			continue
		}
		if text == p.text && p.value != nil {
			return p.value
		}
		if text == p.text {
			return ref(p.variable)
		}
		replaced = strings.ReplaceAll(replaced, p.text, "${"+p.variable+"}")
		if p.value != nil {
			variables[p.variable] = p.value
		}
	}
	switch {
	case replaced == strings.ReplaceAll(text, "${", "${!"):
		return text
	case len(variables) == 0:
		return map[string]any{"Fn::Sub": replaced}
	default:
		return map[string]any{"Fn::Sub": []any{replaced, variables}}
	}
}
