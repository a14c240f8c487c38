package infra

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
)

// Fixed times. Settings that depend on one of them are checked in problems or by a test.
const (
	// dlqRetention is the longest retention period of SQS.
	dlqRetention = 14 * day
	// stopTimeout is the time between SIGTERM and SIGKILL, the longest that Fargate allows.
	// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_timeout
	stopTimeout = 120 * time.Second
	// settleTime is the time that a worker needs after its drain: for the grace of cancelled
	// handlers, their outcomes, the servers and the last telemetry.
	settleTime = 4750 * time.Millisecond
	// adminPort is the default port of the worker's admin server.
	adminPort = 9090
	// longestWait is the longest "Prefer: wait" of the producer's API.
	longestWait = time.Minute

	day = 24 * time.Hour
)

// Config configures a stack. Start from [Defaults]: a zero field does not mean its default. In the
// app, CDK context sets the fields; see [ReadConfig].
type Config struct {
	// Name is the name of the stack and of the queue (a FIFO queue's ends in .fifo). The queue's
	// name is also the scope of all message names. Default "sqsonce".
	Name string
	// Throwaway deletes queues and table with the stack. Default false: queues and table are kept
	// when the stack is deleted or one of them is replaced; table and stack have deletion
	// protection.
	Throwaway bool
	// FirstDeployment leaves out the table's deletion protection, so that a failed first deployment
	// can delete the empty table. "npm run deploy" sets it, and then deploys again without it.
	FirstDeployment bool
	// TableName is an existing table, such as a restored one. Default: a new one.
	TableName string
	// TTLAttribute is the attribute of the table's time to live, in which records keep their
	// expiry. Default: that of package dynamo. Of an existing table it says how the table is.
	TTLAttribute string
	// ClusterName is an existing ECS cluster. Default: a new one.
	ClusterName string
	// PermissionsBoundary is the ARN of a managed policy that bounds every role of the stack.
	// Default: none.
	PermissionsBoundary string
	// FailurePercent is the percentage of failed attempts in five minutes above which there is an
	// alarm, if there were at least 20 attempts. 1 to 99, default 10.
	FailurePercent int
	// Source is the directory of the repository with the Dockerfile of the image. Default: none,
	// and Worker.Image is required. [ReadConfig] sets it to the working directory.
	Source string
	// Delays lets producers delay messages beyond the 15 minutes of SQS, and on a FIFO queue, by
	// EventBridge Scheduler: a schedule group, its role, and a queue for messages that it could not
	// send. In a new VPC with endpoints it adds one for EventBridge Scheduler. Default false.
	Delays bool
	// Demo runs the worker without a target: it logs each message at INFO and completes it.
	Demo bool
	// AlarmEmail is the address that gets the alarms. Default: none; subscribe to the topic.
	AlarmEmail string
	// LogRetention is the retention of the logs in CloudWatch. Default 30 days.
	LogRetention time.Duration

	Dashboard DashboardConfig

	Queue    QueueConfig
	Network  NetworkConfig
	Worker   WorkerConfig
	Target   TargetConfig
	Scaling  ScalingConfig
	Producer ProducerConfig
}

// DashboardConfig configures the dashboard. A dashboard belongs to one stack. It can show the
// services of other stacks, too.
type DashboardConfig struct {
	// Off leaves the dashboard out, for a service that another stack's dashboard shows. By default
	// there is one.
	Off bool
	// Queues are the queue names of further services that the dashboard shows, in the same account
	// and Region. Default: none.
	Queues []string
}

// QueueConfig configures the queue.
type QueueConfig struct {
	// ARN and DLQARN are an existing queue and its dead-letter queue. Default: new ones. Of the
	// fields below only Keys and OldestMessage apply to existing queues.
	ARN, DLQARN string
	// Keys are the ARNs of the KMS keys that encrypt existing queues, those of a worker's file
	// included. The roles of the stack may use them; without ARN only the worker's. Default: none,
	// for queues with keys that SQS manages.
	Keys []string
	// FIFO makes queue and dead-letter queue FIFO. Default false.
	FIFO bool
	// Retention is the retention period of the queue, 1 minute to 14 days. Default 4 days.
	Retention time.Duration
	// MaxReceiveCount is the number of receives after which SQS itself dead-letters a message. It
	// must be at least the worker's MaxAttempts, and leave room for deferrals. 1 to 1000, default 10.
	MaxReceiveCount int
	// Senders are ARNs of SNS topics, S3 buckets and EventBridge rules that may send to the queue.
	Senders []string
	// OldestMessage is the age of a waiting message above which there is an alarm. Default 15
	// minutes.
	OldestMessage time.Duration
}

// NetworkConfig configures the network of the tasks.
type NetworkConfig struct {
	// VPCID is an existing VPC. Default: a new one in two zones. Without Zones and subnets the VPC
	// is looked up in the account, which needs credentials.
	VPCID            string
	Zones            []string
	PrivateSubnetIDs []string
	PublicSubnetIDs  []string
	// Kind is the tasks' connection to AWS and the internet: "endpoints" (interface endpoints, no
	// internet), "nat", or "public" (public subnets and public IP addresses, closed for inbound
	// traffic). Default: endpoints in a new VPC. In an existing VPC the default is private subnets,
	// which need their own routes to AWS.
	Kind string
	// NATGateways of a new VPC with nat, 1 or 2. Default 1.
	NATGateways int
	// CIDR is the address range of a new VPC, /16 to /18. Default 10.0.0.0/16.
	CIDR string
}

// public reports whether tasks have public IP addresses.
func (n NetworkConfig) public() bool { return n.Kind == networkPublic }

// The kinds of networks.
const (
	networkEndpoints = "endpoints"
	networkNAT       = "nat"
	networkPublic    = "public"
)

// looked reports whether the VPC must be looked up in the account.
func (n NetworkConfig) looked() bool {
	return n.VPCID != "" && len(n.PrivateSubnetIDs)+len(n.PublicSubnetIDs) == 0
}

// WorkerConfig configures the worker service.
type WorkerConfig struct {
	// Image is an image for worker and producer in a registry. Default: built from the Dockerfile
	// at deployment.
	Image string
	// CPU (1024 = one vCPU) and Memory (MiB) are the size of a task, the target included. Default
	// 256 and 512; 512 and 1024 with a target image.
	CPU, Memory int
	// Arch is the architecture of the task's images: arm64 or amd64. Default arm64.
	Arch string
	// SpotShare is the percentage of tasks on Fargate Spot. Default 0.
	SpotShare int
	// Concurrency, MaxAttempts, Visibility, Lease, Window and Drain are the worker's flags of these
	// names (--drain-timeout). Default 50, 5, 60s, 30s, 720h and 110s. The last is close to the
	// longest time that Fargate gives a stopping task, 120s.
	Concurrency, MaxAttempts         int
	Visibility, Lease, Window, Drain time.Duration
	// Key and Fingerprint are the flags of worker and producer with these names. Both programs get
	// the same values, so that they find the same name in a message. Default: the programs' own.
	Key, Fingerprint string
	// AdminFrom are the address ranges that may reach the console, /metrics and the verbs of a task
	// on port 9090, with a token that the stack generates. Default: none; the admin server then
	// listens on loopback.
	AdminFrom []string
	// PayloadBuckets are the names of the S3 buckets with payloads of messages. The worker fetches
	// them (--s3-payloads) and may read these buckets. Default: none.
	PayloadBuckets []string
	// File is the text of a file of worker --config, for several queues in one worker. One of its
	// queues has no queue-url: it is the stack's own. The others exist already, and the stack grants
	// the worker the rights on them and their tables. Scaling and alarms watch the stack's own queue
	// only. Default: none.
	File string
	// Env are further environment variables of the worker, such as SQSONCE_ON_UNKNOWN.
	Env map[string]string
}

// TargetConfig configures the target of the worker's requests. Image or URL is required, except in
// a demo.
type TargetConfig struct {
	// Image runs in a container beside the worker in each task, and gets the requests on Port. A
	// VPC without NAT can neither pull a public image nor reach a target outside: use an image in
	// ECR, natGateways, or your own VPC.
	Image string
	// Port (default 8080) and Path (default /) receive the requests to Image.
	Port int
	Path string
	// Env are the environment variables of Image. The values of Secrets are ARNs of secrets in
	// Secrets Manager. ":KEY" behind an ARN selects one field of a JSON secret.
	Env, Secrets map[string]string
	// Policies are ARNs of managed policies for Image's calls to AWS. They are attached to the role
	// of the task, which the worker has, too.
	Policies []string
	// URL is a target elsewhere, instead of Image.
	URL string
	// Health is the path that must answer before the worker receives messages. Default: none.
	Health string
	// TokenSecret and SigningSecret are ARNs in Secrets Manager: the bearer token of the requests,
	// and the key that signs them. Default: none.
	TokenSecret, SigningSecret string
}

// ScalingConfig configures the number of worker tasks.
type ScalingConfig struct {
	// MinTasks and MaxTasks bound the number of tasks. Default 1 and 10. With MinTasks 0 the first
	// message after an idle time waits for a task to start, and some minutes more if the queue has
	// been idle for over six hours.
	MinTasks, MaxTasks int
	// Latency is the acceptable wait of a message, HandleTime the duration of an attempt. With the
	// worker's concurrency they give the target for the backlog of a task. Default 30s and 1s.
	Latency, HandleTime time.Duration
}

// ProducerConfig configures the producer's HTTP API.
type ProducerConfig struct {
	// Off leaves the producer and its load balancer out, which is the default.
	Off bool
	// Public makes the load balancer face the internet. It needs Certificate.
	Public bool
	// Certificate is an ARN in ACM. Default: plain HTTP, inside the VPC only.
	Certificate string
	// Domain is the host name of the certificate. It is used in the API URL that the stack prints;
	// create the DNS record yourself.
	Domain string
	// Clients are the address ranges that may connect. Default: the VPC's range, or all addresses
	// if Public.
	Clients []string
	// MinTasks and MaxTasks bound the number of tasks. Default 2 and 10.
	MinTasks, MaxTasks int
	// DLQ allows clients with the token to list, redrive and purge the dead-letter queue over the
	// API. Default true. Without it these actions need AWS credentials with the operator policy.
	DLQ bool
	// RequestsPerTask is the target of scaling in requests a minute. Default 6000.
	RequestsPerTask int
}

// Defaults returns the default configuration.
func Defaults() Config {
	return Config{
		Name:           "sqsonce",
		FailurePercent: 10,
		Network:        NetworkConfig{Kind: networkEndpoints, CIDR: "10.0.0.0/16"},
		LogRetention:   30 * day,
		Queue:          QueueConfig{Retention: 4 * day, MaxReceiveCount: 10, OldestMessage: 15 * time.Minute},
		Worker: WorkerConfig{
			CPU: 256, Memory: 512, Arch: "arm64", Concurrency: 50, MaxAttempts: 5,
			Visibility: time.Minute, Lease: 30 * time.Second, Window: 30 * day, Drain: 110 * time.Second,
		},
		Target:   TargetConfig{Port: 8080, Path: "/"},
		Scaling:  ScalingConfig{MinTasks: 1, MaxTasks: 10, Latency: 30 * time.Second, HandleTime: time.Second},
		Producer: ProducerConfig{Off: true, MinTasks: 2, MaxTasks: 10, RequestsPerTask: 6000, DLQ: true},
	}
}

// backlogPerTask returns the target for the messages, waiting and in flight, of one task: those
// that it handles at once, and those that it finishes within the acceptable latency. AWS's example
// counts waiting messages only, which would scale in the last workers while they work.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html
func (c Config) backlogPerTask() float64 {
	handle, latency := c.Scaling.HandleTime.Seconds(), c.Scaling.Latency.Seconds()
	return float64(c.Worker.Concurrency) * (handle + latency) / handle
}

// queueName returns the queue's name, which is also the scope of all names. CloudFormation does not
// generate it, because a replacement of the queue would then change the scope and orphan all
// records.
func (c Config) queueName() string {
	if c.Queue.ARN != "" {
		return c.Queue.ARN[strings.LastIndex(c.Queue.ARN, ":")+1:]
	}
	return c.Name + c.fifoSuffix()
}

func (c Config) dlqName() string { return c.Name + "-dlq" + c.fifoSuffix() }

// keep returns the removal policy of a resource that holds data, for the deletion of the stack and
// the replacement of the resource. A failed creation deletes the resource, which is still empty.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html
func (c Config) keep() awscdk.RemovalPolicy {
	if c.Throwaway {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE
}

func (c Config) fifoSuffix() string {
	if c.Queue.FIFO {
		return ".fifo"
	}
	return ""
}

// hasTarget reports whether the worker has a target.
func (c Config) hasTarget() bool { return c.Target.Image != "" || c.Target.URL != "" }

// secure reports whether the API is served over TLS.
func (p ProducerConfig) secure() bool { return p.Certificate != "" }

var (
	namePattern        = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,59}$`)
	emailPattern       = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)
	certificatePattern = regexp.MustCompile(`^arn:[a-z-]+:acm:[a-z0-9-]+:\d{12}:certificate/\S+$`)
	queuePattern       = regexp.MustCompile(`^arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,75}(\.fifo)?$`)
	keyPattern         = regexp.MustCompile(`^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$`)
	queueNamePattern   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}(\.fifo)?$`)
	bucketPattern      = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	policyPattern      = regexp.MustCompile(`^arn:[a-z-]+:iam::(\d{12}|aws):policy/\S+$`)
	tablePattern       = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	ttlPattern         = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
	clusterPattern     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	secretPattern      = regexp.MustCompile(`^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+-[A-Za-z0-9]{6}$`)
	vpcPattern         = regexp.MustCompile(`^vpc-[0-9a-f]{8,17}$`)
	subnetPattern      = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
	variablePattern    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// problems returns the faults of c, one per line.
func (c Config) problems() []string {
	var found problemList
	found.bad(!namePattern.MatchString(c.Name),
		"name %q: want a letter, then up to 59 letters, digits and hyphens", c.Name)
	found.bad(c.TableName != "" && !tablePattern.MatchString(c.TableName), "tableName %q: not the name of a table", c.TableName)
	found.bad(c.TTLAttribute != "" && !ttlPattern.MatchString(c.TTLAttribute), "ttlAttribute %q: want 1 to 255 letters, digits, '_', '-' and '.'", c.TTLAttribute)
	found.bad(c.ClusterName != "" && !clusterPattern.MatchString(c.ClusterName), "clusterName %q: not the name of a cluster", c.ClusterName)
	found.bad(c.ClusterName != "" && c.Network.VPCID == "", "clusterName %s: needs vpcId, the VPC of its tasks", c.ClusterName)
	found.bad(c.ClusterName != "" && c.Worker.SpotShare > 0,
		"spotShare %d: needs a new cluster; the stack does not change the capacity providers of clusterName %s", c.Worker.SpotShare, c.ClusterName)
	found.bad(c.PermissionsBoundary != "" && !policyPattern.MatchString(c.PermissionsBoundary),
		"permissionsBoundary %q: not the ARN of a managed policy", c.PermissionsBoundary)
	found.between("failurePercent", c.FailurePercent, 1, 99)
	found.bad(c.Worker.Image == "" && c.Source == "", "image: is required without a Source, the directory with the Dockerfile")
	found.bad(c.AlarmEmail != "" && !emailPattern.MatchString(c.AlarmEmail), "alarmEmail %q: not an address", c.AlarmEmail)
	_, ok := retentionDays[c.LogRetention]
	found.bad(!ok, "logRetention %s: CloudWatch knows %s only", c.LogRetention, knownRetentions())
	c.dashboardProblems(&found)
	c.queueProblems(&found)
	c.networkProblems(&found)
	c.workerProblems(&found)
	c.targetProblems(&found)
	c.scalingProblems(&found)
	c.producerProblems(&found)
	c.workerFileProblems(&found)
	return found
}

func (c Config) queueProblems(found *problemList) {
	q := c.Queue
	for _, a := range []struct{ key, arn string }{{"queueArn", q.ARN}, {"dlqArn", q.DLQARN}} {
		found.bad(a.arn != "" && !queuePattern.MatchString(a.arn), "%s %q: not the ARN of a queue", a.key, a.arn)
	}
	found.bad((q.ARN == "") != (q.DLQARN == ""), "queueArn %q, dlqArn %q: want both or neither", q.ARN, q.DLQARN)
	for _, arn := range q.Keys {
		found.bad(!keyPattern.MatchString(arn), "queueKeyArns %q: not the ARN of a KMS key; an alias does not do in a policy", arn)
	}
	found.bad(len(q.Keys) > 0 && q.ARN == "" && !c.otherQueues(),
		"queueKeyArns: apply to existing queues only; a new queue is encrypted by SQS")
	found.bad(q.ARN != "" && q.FIFO, "fifo true: applies to a new queue only, not to queueArn %s", q.ARN)
	found.bad(strings.HasSuffix(q.ARN, ".fifo") != strings.HasSuffix(q.DLQARN, ".fifo"),
		"queueArn %s, dlqArn %s: want two FIFO queues or two standard queues", q.ARN, q.DLQARN)
	found.duration("queueRetention", q.Retention, time.Minute, 14*day)
	found.between("maxReceiveCount", q.MaxReceiveCount, 1, 1000)
	found.bad(q.MaxReceiveCount < c.Worker.MaxAttempts,
		"maxReceiveCount %d: SQS would dead-letter a message before its maxAttempts %d are used up",
		q.MaxReceiveCount, c.Worker.MaxAttempts)
	for _, arn := range q.Senders {
		found.bad(senderService(arn) == "", "senders %q: want the ARN of an SNS topic, an S3 bucket or an EventBridge rule", arn)
		found.bad(strings.Contains(arn, ":s3:") && q.FIFO, "senders %s: S3 does not notify FIFO queues", arn)
	}
	found.bad(q.ARN != "" && len(q.Senders) > 0, "senders: apply to a new queue only; add the statement in docs/deploy.md to the policy of queueArn %s", q.ARN)
	found.duration("oldestMessage", q.OldestMessage, time.Minute, 14*day)
}

func (c Config) dashboardProblems(found *problemList) {
	d := c.Dashboard
	found.bad(d.Off && len(d.Queues) > 0, "dashboardQueues %s: dashboard is false", strings.Join(d.Queues, ","))
	for i, name := range d.Queues {
		found.bad(!queueNamePattern.MatchString(name), "dashboardQueues %q: not the name of a queue", name)
		found.bad(name == c.queueName(), "dashboardQueues %s: is this stack's own queue", name)
		found.bad(slices.Contains(d.Queues[:i], name), "dashboardQueues %s: is named twice", name)
	}
}

func (c Config) networkProblems(found *problemList) {
	n := c.Network
	found.between("natGateways", n.NATGateways, 0, zones)
	found.bad(n.VPCID != "" && n.NATGateways > 0, "natGateways %d: applies to a new VPC only, not to vpcId %s", n.NATGateways, n.VPCID)
	kinds := []string{networkEndpoints, networkNAT, networkPublic}
	found.bad(!slices.Contains(kinds, n.Kind) && (n.VPCID == "" || n.Kind != ""), "network %q: want %s", n.Kind, strings.Join(kinds, ", "))
	found.bad(n.VPCID != "" && (n.Kind == networkEndpoints || n.Kind == networkNAT), "network %s: applies to a new VPC only, not to vpcId %s", n.Kind, n.VPCID)
	found.bad(n.VPCID == "" && n.Kind != networkNAT && n.NATGateways > 0, "natGateways %d: needs network nat, not %s", n.NATGateways, n.Kind)
	cidr, err := netip.ParsePrefix(n.CIDR)
	found.bad(err != nil || !cidr.Addr().Is4() || cidr.Bits() < 16 || cidr.Bits() > 18, "vpcCidr %q: want an IPv4 range of /16 to /18, such as 10.20.0.0/16", n.CIDR)
	if n.VPCID == "" && n.Kind == networkEndpoints {
		for _, image := range []struct{ key, uri string }{{"image", c.Worker.Image}, {"targetImage", c.Target.Image}} {
			found.bad(image.uri != "" && !ecrImage.MatchString(image.uri),
				"%s %s: a VPC without NAT can pull from ECR only; or give natGateways or vpcId", image.key, image.uri)
		}
	}
	found.bad(n.VPCID != "" && !vpcPattern.MatchString(n.VPCID), "vpcId %q: not the id of a VPC", n.VPCID)
	for _, id := range n.PrivateSubnetIDs {
		found.bad(!subnetPattern.MatchString(id), "vpcPrivateSubnetIds %q: not the id of a subnet", id)
	}
	for _, id := range n.PublicSubnetIDs {
		found.bad(!subnetPattern.MatchString(id), "vpcPublicSubnetIds %q: not the id of a subnet", id)
	}
	given := len(n.Zones) + len(n.PrivateSubnetIDs) + len(n.PublicSubnetIDs)
	found.bad(n.VPCID == "" && given > 0, "vpcZones, vpcPrivateSubnetIds, vpcPublicSubnetIds: need vpcId")
	if n.VPCID == "" || given == 0 {
		return
	}
	found.bad(len(n.Zones) == 0 || len(n.PrivateSubnetIDs) != len(n.Zones) && (len(n.PrivateSubnetIDs) > 0 || !n.public()),
		"vpcPrivateSubnetIds %v: want one for each of vpcZones %v", n.PrivateSubnetIDs, n.Zones)
	found.bad((len(n.PublicSubnetIDs) > 0 || n.public()) && len(n.PublicSubnetIDs) != len(n.Zones),
		"vpcPublicSubnetIds %v: want one for each of vpcZones %v, or none", n.PublicSubnetIDs, n.Zones)
	found.bad(c.Producer.Public && len(n.PublicSubnetIDs) == 0, "vpcPublicSubnetIds: a public producer needs them")
	found.bad(!c.Producer.Off && len(n.Zones) == 1, "vpcZones %v: a load balancer needs two", n.Zones)
	found.bad(!c.Producer.Off && !c.Producer.Public && len(c.Producer.Clients) == 0,
		"clients: is required for a VPC given by its subnets, whose address range is not known")
}

func (c Config) workerProblems(found *problemList) {
	w := c.Worker
	found.bad(!fargateSize(w.CPU, w.Memory), "cpu %d, memory %d: not a size of Fargate (256 with 512 to 2048, 512 with 1024 to 4096, ...)", w.CPU, w.Memory)
	found.bad(w.Arch != "arm64" && w.Arch != "amd64", "arch %q: want arm64 or amd64", w.Arch)
	found.between("spotShare", w.SpotShare, 0, 100)
	found.between("concurrency", w.Concurrency, 1, 10_000)
	found.between("maxAttempts", w.MaxAttempts, 1, 1000)
	found.duration("visibility", w.Visibility, time.Second, 12*time.Hour)
	found.duration("lease", w.Lease, time.Second, w.Visibility)
	found.duration("window", w.Window, time.Minute, 3650*day)
	found.bad(w.Window < c.Queue.Retention+dlqRetention,
		"window %s: want at least queueRetention %s + %s in the dead-letter queue, or a message may return after its record has expired",
		w.Window, c.Queue.Retention, dlqRetention)
	found.bad(w.Drain <= 0 || w.Drain+settleTime >= stopTimeout,
		"drainTimeout %s: want more than 0 and, with %s for settling, less than %s, Fargate's longest stop", w.Drain, settleTime, stopTimeout)
	for _, cidr := range w.AdminFrom {
		prefix, err := netip.ParsePrefix(cidr)
		found.bad(err != nil || !prefix.Addr().Is4(), "adminFrom %q: not an IPv4 range such as 10.0.0.0/8", cidr)
		found.bad(cidr == everywhere, "adminFrom %s: the console speaks plain HTTP, and is not for the internet", cidr)
	}
	for _, name := range w.PayloadBuckets {
		found.bad(!bucketPattern.MatchString(name), "payloadBuckets %q: not the name of a bucket", name)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Env)) {
		found.bad(!variablePattern.MatchString(name), "workerEnv %s: not the name of a variable", name)
		found.bad(slices.Contains(ownVariables, name), "workerEnv %s: is set by the stack itself", name)
	}
	if name, ok := w.Env[earlierVariable]; ok {
		found.bad(!tablePattern.MatchString(name), "workerEnv %s %q: not the name of a table", earlierVariable, name)
	}
}

func (c Config) targetProblems(found *problemList) {
	t := c.Target
	found.bad(!c.hasTarget() && !c.Demo, "no target: every message would be completed, and nothing done. Give targetImage, an app "+
		"in a container beside the worker; or targetUrl, one elsewhere; or demo=true, to log each message and do nothing else")
	found.bad(c.hasTarget() && c.Demo, "demo true: excludes the target %s", cmp.Or(t.Image, t.URL))
	found.bad(t.Image != "" && t.URL != "", "targetImage %s, targetUrl %s: want only one of them", t.Image, t.URL)
	found.between("targetPort", t.Port, 1, 65535)
	found.bad(t.Image != "" && t.Port == adminPort, "targetPort %d: is the worker's admin server, in the same task", t.Port)
	found.bad(!strings.HasPrefix(t.Path, "/"), "targetPath %q: must begin with /", t.Path)
	found.bad(t.Health != "" && !strings.HasPrefix(t.Health, "/"), "targetHealth %q: must begin with /", t.Health)
	if t.URL != "" {
		u, err := url.Parse(t.URL)
		found.bad(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https", "targetUrl %q: not an http or https URL", t.URL)
	}
	found.bad(t.Image == "" && len(t.Env)+len(t.Secrets)+len(t.Policies) > 0, "targetEnv, targetSecrets, targetPolicies: need targetImage")
	for _, name := range slices.Sorted(maps.Keys(t.Secrets)) {
		arn, _ := secretField(t.Secrets[name])
		found.bad(!variablePattern.MatchString(name), "targetSecrets %s: not the name of a variable", name)
		found.bad(!secretPattern.MatchString(arn), "targetSecrets %s %q: not the whole ARN of a secret, its six last characters included", name, arn)
		_, plain := t.Env[name]
		found.bad(plain, "targetSecrets %s: is in targetEnv, too", name)
	}
	for _, arn := range t.Policies {
		found.bad(!policyPattern.MatchString(arn), "targetPolicies %q: not the ARN of a managed policy", arn)
	}
	for _, s := range []struct{ key, value string }{
		{"targetHealth", t.Health}, {"targetTokenSecret", t.TokenSecret}, {"targetSigningSecret", t.SigningSecret},
	} {
		found.bad(!c.hasTarget() && s.value != "", "%s %s: needs targetImage or targetUrl", s.key, s.value)
	}
	found.bad(t.TokenSecret != "" && !secretPattern.MatchString(t.TokenSecret), "targetTokenSecret %q: not the whole ARN of a secret, its six last characters included", t.TokenSecret)
	found.bad(t.SigningSecret != "" && !secretPattern.MatchString(t.SigningSecret), "targetSigningSecret %q: not the whole ARN of a secret, its six last characters included", t.SigningSecret)
}

func (c Config) scalingProblems(found *problemList) {
	s := c.Scaling
	found.between("minTasks", s.MinTasks, 0, s.MaxTasks)
	found.between("maxTasks", s.MaxTasks, 1, 5000)
	found.duration("latency", s.Latency, time.Second, 12*time.Hour)
	found.duration("handleTime", s.HandleTime, time.Millisecond, 12*time.Hour)
}

func (c Config) producerProblems(found *problemList) {
	p := c.Producer
	if p.Off {
		found.bad(p.Public || p.secure() || p.Domain != "" || len(p.Clients) > 0, "producer false: public, certificate, apiDomain and clients need the producer")
		return
	}
	found.bad(p.Public && !p.secure(), "public: a bearer token must not cross the internet in clear; give certificate, an ARN in ACM")
	found.bad(p.secure() && !certificatePattern.MatchString(p.Certificate), "certificate %q: not the ARN of a certificate in ACM", p.Certificate)
	found.bad(p.Domain != "" && !p.secure(), "apiDomain %s: needs certificate", p.Domain)
	for _, cidr := range p.Clients {
		prefix, err := netip.ParsePrefix(cidr)
		found.bad(err != nil || !prefix.Addr().Is4(), "clients %q: not an IPv4 range such as 10.0.0.0/8", cidr)
	}
	found.between("producerMinTasks", p.MinTasks, 1, p.MaxTasks)
	found.between("producerMaxTasks", p.MaxTasks, 1, 5000)
	found.between("requestsPerTask", p.RequestsPerTask, 1, 10_000_000)
}

// problemList collects the faults of a configuration.
type problemList []string

// bad adds a fault if the condition holds.
func (l *problemList) bad(condition bool, format string, args ...any) {
	if condition {
		*l = append(*l, fmt.Sprintf(format, args...))
	}
}

func (l *problemList) between(key string, value, least, most int) {
	l.bad(value < least || value > most, "%s %d: want %d to %d", key, value, least, most)
}

func (l *problemList) duration(key string, value, least, most time.Duration) {
	l.bad(value < least || value > most, "%s %s: want %s to %s", key, value, least, most)
}

// fargateSize reports whether Fargate offers tasks of that size.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
func fargateSize(cpu, memory int) bool {
	const gib = 1024
	switch cpu {
	case 256:
		return memory == gib/2 || memory == gib || memory == 2*gib
	case 512, 1024, 2048, 4096:
		most := map[int]int{512: 4, 1024: 8, 2048: 16, 4096: 30}[cpu] * gib
		return memory%gib == 0 && memory >= 2*cpu && memory <= most
	case 8192:
		return memory%(4*gib) == 0 && memory >= 16*gib && memory <= 60*gib
	case 16384:
		return memory%(8*gib) == 0 && memory >= 32*gib && memory <= 120*gib
	}
	return false
}
