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

// Times that are not to be chosen. Each is typed here only; what has to agree
// with it is checked in problems or by a test.
const (
	// dlqRetention is the longest SQS keeps a message.
	dlqRetention = 14 * day
	// stopTimeout is how long ECS waits between SIGTERM and SIGKILL: the most
	// that Fargate allows.
	// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_timeout
	stopTimeout = 120 * time.Second
	// settleTime is what a worker takes after its drain: the grace for
	// cancelled handlers, the settling of their outcomes, its servers and the
	// last telemetry.
	settleTime = 4750 * time.Millisecond
	// adminPort is where the worker's admin server listens by default.
	adminPort = 9090
	// longestWait is the longest "Prefer: wait" of the producer's API.
	longestWait = time.Minute

	day = 24 * time.Hour
)

// Config is everything that can be chosen about a stack. Start from [Defaults]: a zero field is no
// default. In the app, CDK context sets the fields; see [ReadConfig].
type Config struct {
	// Name of the stack, of the queue (with .fifo behind it where needed) and,
	// with that, of the scope of all names. Default "sqsonce".
	Name string
	// Throwaway deletes queues and table with the stack. Default false: they are kept when the
	// stack goes or one is replaced; table and stack are protected.
	Throwaway bool
	// FirstDeployment leaves out the table's deletion protection, so that a first deployment that
	// fails can take the empty table back. "npm run deploy" sets it, and deploys once more without.
	FirstDeployment bool
	// TableName is an existing table, such as a restored one. Default: a new one.
	TableName string
	// ClusterName is an existing ECS cluster. Default: a new one.
	ClusterName string
	// PermissionsBoundary is the ARN of a managed policy that bounds every role of the stack.
	PermissionsBoundary string
	// FailurePercent of the attempts of five minutes that fail raise an alarm, where there were 20
	// or more. 1 to 99, default 10.
	FailurePercent int
	// Source is the directory of the repository, whose Dockerfile the image is built from. Default:
	// none, then Worker.Image is needed. [ReadConfig] sets it to the working directory.
	Source string
	// Demo runs the worker without a target: each message is logged at INFO, and completed.
	Demo bool
	// AlarmEmail gets the alarms. Default: nobody; subscribe to the topic.
	AlarmEmail string
	// LogRetention is how long CloudWatch keeps the logs. Default 30 days.
	LogRetention time.Duration

	Dashboard DashboardConfig

	Queue    QueueConfig
	Network  NetworkConfig
	Worker   WorkerConfig
	Target   TargetConfig
	Scaling  ScalingConfig
	Producer ProducerConfig
}

// DashboardConfig says which dashboard shows the service. A dashboard belongs to one stack, so that
// several services share one by being listed in it.
type DashboardConfig struct {
	// Off leaves the dashboard out: another stack's shows this service. Default false.
	Off bool
	// Queues are the names of the queues of other services, in the same account and Region, that the
	// dashboard shows, too. Default: none.
	Queues []string
}

// QueueConfig is what can be chosen about the queue.
type QueueConfig struct {
	// ARN and DLQARN are an existing queue and its dead-letter queue. Default: new ones. The fields
	// below then belong to those who made them, but for OldestMessage.
	ARN, DLQARN string
	// FIFO makes queue and dead-letter queue FIFO. Default false.
	FIFO bool
	// Retention is how long a message waits at most, 1 minute to 14 days.
	// Default 4 days.
	Retention time.Duration
	// MaxReceiveCount is after how many receives SQS itself dead-letters a
	// message. It must leave room for MaxAttempts and for deferrals behind
	// them. 1 to 1000, default 10.
	MaxReceiveCount int
	// Senders are ARNs of SNS topics, S3 buckets and EventBridge rules that may send to the queue.
	Senders []string
	// OldestMessage is the age at which a waiting message raises an alarm.
	// Default 15 minutes.
	OldestMessage time.Duration
}

// NetworkConfig says where the tasks run.
type NetworkConfig struct {
	// VPCID is an existing VPC. Default: a new one in two zones. Alone it is
	// looked up, which needs credentials; with the fields below it is not.
	VPCID            string
	Zones            []string
	PrivateSubnetIDs []string
	PublicSubnetIDs  []string
	// Kind is how tasks reach AWS and the internet: "endpoints" (interface endpoints and no way to
	// the internet), "nat", or "public" (tasks in public subnets with addresses of their own, closed
	// from outside). Default: endpoints in a new VPC; in an existing one, private subnets with a way
	// out of their own.
	Kind string
	// NATGateways of a new VPC with nat, 1 or 2. Default 1.
	NATGateways int
	// CIDR is the address range of a new VPC, /16 to /18. Default 10.0.0.0/16.
	CIDR string
}

// public reports whether tasks have addresses of their own.
func (n NetworkConfig) public() bool { return n.Kind == networkPublic }

// The kinds of networks.
const (
	networkEndpoints = "endpoints"
	networkNAT       = "nat"
	networkPublic    = "public"
)

// looked reports whether the VPC is to be looked up in the account.
func (n NetworkConfig) looked() bool {
	return n.VPCID != "" && len(n.PrivateSubnetIDs)+len(n.PublicSubnetIDs) == 0
}

// WorkerConfig is what can be chosen about the worker service.
type WorkerConfig struct {
	// Image is a registry's image for worker and producer. Default: built from
	// the Dockerfile at deployment.
	Image string
	// CPU units (1024 = one vCPU) and MiB of a task, the target included.
	// Default 256 and 512; 512 and 1024 with a target image.
	CPU, Memory int
	// Arch is what the task's images are for: arm64 or amd64. Default arm64.
	Arch string
	// SpotShare is the percentage of tasks on Fargate Spot. Default 0.
	SpotShare int
	// Concurrency, MaxAttempts, Visibility, Lease, Window and DrainTimeout are
	// the worker's flags of that name. Default 50, 5, 60s, 30s, 720h; and 110s,
	// what Fargate's longest stop leaves.
	Concurrency, MaxAttempts         int
	Visibility, Lease, Window, Drain time.Duration
	// Key and Fingerprint are the worker's flags of that name; the producer
	// gets the same, so that both find the same name in a message. Default:
	// the binaries' own.
	Key, Fingerprint string
	// AdminFrom are the address ranges that may reach the console, /metrics and the verbs of a task on
	// port 9090, with a token that the stack makes up. Default: none; the admin server listens on
	// loopback.
	AdminFrom []string
	// PayloadBuckets are the names of the S3 buckets with payloads that messages point to: the worker
	// fetches them (--s3-payloads) and may read these buckets. Default: none.
	PayloadBuckets []string
	// Env are further variables of the worker, such as SQSONCE_ON_UNKNOWN.
	Env map[string]string
}

// TargetConfig says what the worker POSTs messages to. Image or URL is needed,
// unless the stack is a demo.
type TargetConfig struct {
	// Image runs beside the worker in each task, and is POSTed to on Port. A
	// VPC without NAT can neither pull a public image nor reach a target
	// outside: use an image in ECR, natGateways, or a VPC of your own.
	Image string
	// Port (default 8080) and Path (default /) on which Image takes messages.
	Port int
	Path string
	// Env are the variables of Image. Secrets are those whose values come from Secrets Manager: ARNs,
	// each with ":KEY" behind it where the secret is JSON and one of its fields is meant.
	Env, Secrets map[string]string
	// Policies are ARNs of managed policies for what Image does on AWS; its task shares the worker's role.
	Policies []string
	// URL is a target elsewhere, instead of Image.
	URL string
	// Health is the path that must answer before messages are received.
	Health string
	// TokenSecret and SigningSecret are ARNs in Secrets Manager: the bearer
	// token sent to the target, and the key that requests are signed with.
	TokenSecret, SigningSecret string
}

// ScalingConfig says how many worker tasks run.
type ScalingConfig struct {
	// MinTasks and MaxTasks bound the tasks. Default 1 and 10. With 0 the
	// first message after a quiet time waits for a task to start, and for
	// minutes more where the queue has been quiet for over six hours.
	MinTasks, MaxTasks int
	// Latency is how long a message may wait, HandleTime how long one is
	// worked on; with the worker's concurrency they give the backlog that one
	// task is meant to have. Default 30s and 1s.
	Latency, HandleTime time.Duration
}

// ProducerConfig is what can be chosen about the HTTP front.
type ProducerConfig struct {
	// Off leaves the producer and its load balancer out. Default true.
	Off bool
	// Public makes the load balancer face the internet. It needs Certificate.
	Public bool
	// Certificate is an ARN in ACM. Default: plain HTTP, inside the VPC only.
	Certificate string
	// Domain is the name that the certificate is for; you point it at the load
	// balancer. It only goes into the API URL that the stack prints.
	Domain string
	// Clients are the address ranges that may connect. Default: the VPC's, or
	// everywhere when public.
	Clients []string
	// MinTasks and MaxTasks bound the tasks. Default 2 and 10.
	MinTasks, MaxTasks int
	// DLQ lets whoever has the token look into the dead-letter queue, redrive
	// and purge it over the API. Default true; without it that needs AWS
	// credentials with the operator policy.
	DLQ bool
	// RequestsPerTask a minute is what a task is meant to have. Default 6000.
	RequestsPerTask int
}

// Defaults is the configuration when nothing is chosen.
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

// backlogPerTask is how many messages, waiting and in flight, one task is meant to have: those it
// handles, and those it finishes within the acceptable latency. AWS's example counts waiting
// messages only; without those in flight the last workers would be scaled in while they work.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html
func (c Config) backlogPerTask() float64 {
	handle, latency := c.Scaling.HandleTime.Seconds(), c.Scaling.Latency.Seconds()
	return float64(c.Worker.Concurrency) * (handle + latency) / handle
}

// queueName is the queue's name; the scope of all names, too. It is chosen
// here rather than by CloudFormation: with another name after a replacement
// every record would be forgotten.
func (c Config) queueName() string {
	if c.Queue.ARN != "" {
		return c.Queue.ARN[strings.LastIndex(c.Queue.ARN, ":")+1:]
	}
	return c.Name + c.fifoSuffix()
}

func (c Config) dlqName() string { return c.Name + "-dlq" + c.fifoSuffix() }

// keep is what becomes of a resource that holds data when the stack goes, or the resource is
// replaced. A creation that fails takes it back: it is empty then.
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

// hasTarget reports whether the worker POSTs its messages somewhere.
func (c Config) hasTarget() bool { return c.Target.Image != "" || c.Target.URL != "" }

// secure reports whether the API is served over TLS.
func (p ProducerConfig) secure() bool { return p.Certificate != "" }

var (
	namePattern        = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,59}$`)
	emailPattern       = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)
	certificatePattern = regexp.MustCompile(`^arn:[a-z-]+:acm:[a-z0-9-]+:\d{12}:certificate/\S+$`)
	queuePattern       = regexp.MustCompile(`^arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,75}(\.fifo)?$`)
	queueNamePattern   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}(\.fifo)?$`)
	bucketPattern      = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	policyPattern      = regexp.MustCompile(`^arn:[a-z-]+:iam::(\d{12}|aws):policy/\S+$`)
	tablePattern       = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	clusterPattern     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	secretPattern      = regexp.MustCompile(`^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+-[A-Za-z0-9]{6}$`)
	vpcPattern         = regexp.MustCompile(`^vpc-[0-9a-f]{8,17}$`)
	subnetPattern      = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
	variablePattern    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// problems returns everything that is wrong with c, a line each.
func (c Config) problems() []string {
	var found problemList
	found.bad(!namePattern.MatchString(c.Name),
		"name %q: want a letter, then up to 59 letters, digits and hyphens", c.Name)
	found.bad(c.TableName != "" && !tablePattern.MatchString(c.TableName), "tableName %q: not the name of a table", c.TableName)
	found.bad(c.ClusterName != "" && !clusterPattern.MatchString(c.ClusterName), "clusterName %q: not the name of a cluster", c.ClusterName)
	found.bad(c.ClusterName != "" && c.Network.VPCID == "", "clusterName %s: in which VPC are its tasks? vpcId is missing", c.ClusterName)
	found.bad(c.ClusterName != "" && c.Worker.SpotShare > 0,
		"spotShare %d: which capacity providers clusterName %s has is not for this stack to change", c.Worker.SpotShare, c.ClusterName)
	found.bad(c.PermissionsBoundary != "" && !policyPattern.MatchString(c.PermissionsBoundary),
		"permissionsBoundary %q: not the ARN of a managed policy", c.PermissionsBoundary)
	found.between("failurePercent", c.FailurePercent, 1, 99)
	found.bad(c.Worker.Image == "" && c.Source == "", "image: is needed where there is no Dockerfile to build it from")
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
	return found
}

func (c Config) queueProblems(found *problemList) {
	q := c.Queue
	for _, a := range []struct{ key, arn string }{{"queueArn", q.ARN}, {"dlqArn", q.DLQARN}} {
		found.bad(a.arn != "" && !queuePattern.MatchString(a.arn), "%s %q: not the ARN of a queue", a.key, a.arn)
	}
	found.bad((q.ARN == "") != (q.DLQARN == ""), "queueArn %q, dlqArn %q: want both or neither", q.ARN, q.DLQARN)
	found.bad(q.ARN != "" && q.FIFO, "fifo true: is for the maker of queueArn %s to choose", q.ARN)
	found.bad(strings.HasSuffix(q.ARN, ".fifo") != strings.HasSuffix(q.DLQARN, ".fifo"),
		"queueArn %s, dlqArn %s: a FIFO queue dead-letters into a FIFO queue, another one does not", q.ARN, q.DLQARN)
	found.duration("queueRetention", q.Retention, time.Minute, 14*day)
	found.between("maxReceiveCount", q.MaxReceiveCount, 1, 1000)
	found.bad(q.MaxReceiveCount < c.Worker.MaxAttempts,
		"maxReceiveCount %d: SQS would dead-letter a message before its maxAttempts %d are used up",
		q.MaxReceiveCount, c.Worker.MaxAttempts)
	for _, arn := range q.Senders {
		found.bad(senderService(arn) == "", "senders %q: want the ARN of an SNS topic, an S3 bucket or an EventBridge rule", arn)
		found.bad(strings.Contains(arn, ":s3:") && q.FIFO, "senders %s: S3 does not notify FIFO queues", arn)
	}
	found.bad(q.ARN != "" && len(q.Senders) > 0, "senders: the policy of queueArn %s is for its makers to write; docs/deploy.md has the statement", q.ARN)
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
	found.bad(n.VPCID != "" && n.NATGateways > 0, "natGateways %d: of a new VPC only, not of vpcId %s", n.NATGateways, n.VPCID)
	kinds := []string{networkEndpoints, networkNAT, networkPublic}
	found.bad(!slices.Contains(kinds, n.Kind) && (n.VPCID == "" || n.Kind != ""), "network %q: want %s", n.Kind, strings.Join(kinds, ", "))
	found.bad(n.VPCID != "" && (n.Kind == networkEndpoints || n.Kind == networkNAT), "network %s: of a new VPC only, not of vpcId %s", n.Kind, n.VPCID)
	found.bad(n.VPCID == "" && n.Kind != networkNAT && n.NATGateways > 0, "natGateways %d: with network %s", n.NATGateways, n.Kind)
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
	found.bad(n.VPCID == "" && given > 0, "vpcZones, vpcPrivateSubnetIds, vpcPublicSubnetIds: of which VPC? vpcId is missing")
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
		"clients: say which address ranges may connect; a VPC given by its subnets does not tell its own")
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
		"window %s: a message can come back after queueRetention %s + %s in the dead-letter queue, when its name is forgotten",
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
}

func (c Config) targetProblems(found *problemList) {
	t := c.Target
	found.bad(!c.hasTarget() && !c.Demo, "no target: every message would be completed, and nothing done. Give targetImage, an app "+
		"in a container beside the worker; or targetUrl, one elsewhere; or demo=true, to log each message and do nothing else")
	found.bad(c.hasTarget() && c.Demo, "demo true: there is a target, %s", cmp.Or(t.Image, t.URL))
	found.bad(t.Image != "" && t.URL != "", "targetImage %s, targetUrl %s: one of them", t.Image, t.URL)
	found.between("targetPort", t.Port, 1, 65535)
	found.bad(t.Image != "" && t.Port == adminPort, "targetPort %d: is the worker's admin server, in the same task", t.Port)
	found.bad(!strings.HasPrefix(t.Path, "/"), "targetPath %q: must begin with /", t.Path)
	found.bad(t.Health != "" && !strings.HasPrefix(t.Health, "/"), "targetHealth %q: must begin with /", t.Health)
	if t.URL != "" {
		u, err := url.Parse(t.URL)
		found.bad(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https", "targetUrl %q: not an http or https URL", t.URL)
	}
	found.bad(t.Image == "" && len(t.Env)+len(t.Secrets)+len(t.Policies) > 0, "targetEnv, targetSecrets, targetPolicies: there is no targetImage")
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
		found.bad(!c.hasTarget() && s.value != "", "%s %s: there is no targetImage or targetUrl", s.key, s.value)
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
		found.bad(p.Public || p.secure() || p.Domain != "" || len(p.Clients) > 0, "producer false: then public, certificate, apiDomain and clients have no meaning")
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

// problemList collects lines.
type problemList []string

// bad adds a line if the condition holds.
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

// fargateSize reports whether Fargate has tasks of that size.
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
