package infra

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ConfigError lists the faults of a configuration. It has all of them, so that a user can fix them
// at once.
type ConfigError struct {
	Problems []string // each names the key and its value
}

// Error returns the problems, one per line.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("%d problems with the configuration (cdk.json, a file, or -c key=value):\n  %s",
		len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// ReadConfig reads a [Config] from CDK context and from the file that the key "config" names:
// deploy/NAME.json, or any other path. The context takes precedence over the file, and [Defaults]
// fill in the rest. A value in a file is typed. A value of -c is text: lists are separated by
// commas, and environment variables are a JSON object. The error is a [*ConfigError].
func ReadConfig(context map[string]any) (Config, error) {
	c := Defaults()
	c.Worker.CPU, c.Worker.Memory, c.Source, c.Network.Kind = 0, 0, ".", ""
	r := reader{context: context}
	r.addFile()
	for key, set := range fields(&c) {
		r.read(key, set)
	}
	r.refuseOthers(fields(&c))
	if size := c.defaultSize(); c.Worker.CPU == 0 && c.Worker.Memory == 0 {
		c.Worker.CPU, c.Worker.Memory = size, 2*size
	} else if c.Worker.Memory == 0 {
		c.Worker.Memory = 2 * c.Worker.CPU
	} else if c.Worker.CPU == 0 {
		c.Worker.CPU = size
	}
	c.Network.choose()
	slices.Sort(r.problems)
	if problems := append(r.problems, c.problems()...); len(problems) > 0 {
		return Config{}, &ConfigError{Problems: problems}
	}
	return c, nil
}

// choose sets the default Kind of a new VPC.
func (n *NetworkConfig) choose() {
	switch {
	case n.VPCID != "" || n.Kind != "" && n.Kind != networkNAT:
	case n.NATGateways > 0:
		n.Kind = networkNAT
	case n.Kind == networkNAT:
		n.NATGateways = 1
	default:
		n.Kind = networkEndpoints
	}
}

// defaultSize returns the default CPU units of a worker's task. Its default memory in MiB is twice
// that.
func (c Config) defaultSize() int {
	if c.Target.Image != "" {
		return 512
	}
	return 256
}

// setter parses the text of a context value into its field.
type setter func(text string) error

// fields returns the keys of the context and the setters of their fields.
func fields(c *Config) map[string]setter {
	all := placeFields(c)
	maps.Copy(all, serviceFields(c))
	return all
}

// placeFields are the keys of the stack, its queue and its network.
func placeFields(c *Config) map[string]setter {
	return map[string]setter{
		"name":         text(&c.Name),
		"throwaway":    boolean(&c.Throwaway),
		"demo":         boolean(&c.Demo),
		"delays":       boolean(&c.Delays),
		"tableName":    text(&c.TableName),
		"ttlAttribute": text(&c.TTLAttribute),
		"clusterName":  text(&c.ClusterName),

		"permissionsBoundary": text(&c.PermissionsBoundary),
		"failurePercent":      integer(&c.FailurePercent),

		"dashboard":       negated(&c.Dashboard.Off),
		"dashboardQueues": list(&c.Dashboard.Queues),
		"firstDeployment": boolean(&c.FirstDeployment),
		// Read by addFile and by the command that deploys.
		"config":       text(new(string)),
		"change":       list(new([]string)),
		"alarmEmail":   text(&c.AlarmEmail),
		"logRetention": duration(&c.LogRetention),

		"queueArn":        text(&c.Queue.ARN),
		"dlqArn":          text(&c.Queue.DLQARN),
		"queueKeyArns":    list(&c.Queue.Keys),
		"fifo":            boolean(&c.Queue.FIFO),
		"queueRetention":  duration(&c.Queue.Retention),
		"maxReceiveCount": integer(&c.Queue.MaxReceiveCount),
		"senders":         list(&c.Queue.Senders),
		"oldestMessage":   duration(&c.Queue.OldestMessage),

		"vpcId":               text(&c.Network.VPCID),
		"vpcZones":            list(&c.Network.Zones),
		"vpcPrivateSubnetIds": list(&c.Network.PrivateSubnetIDs),
		"vpcPublicSubnetIds":  list(&c.Network.PublicSubnetIDs),
		"network":             text(&c.Network.Kind),
		"vpcCidr":             text(&c.Network.CIDR),
		"natGateways":         integer(&c.Network.NATGateways),
	}
}

// serviceFields are the keys of worker, target, scaling and producer.
func serviceFields(c *Config) map[string]setter {
	return map[string]setter{
		"image":        text(&c.Worker.Image),
		"cpu":          integer(&c.Worker.CPU),
		"memory":       integer(&c.Worker.Memory),
		"arch":         text(&c.Worker.Arch),
		"spotShare":    integer(&c.Worker.SpotShare),
		"concurrency":  integer(&c.Worker.Concurrency),
		"maxAttempts":  integer(&c.Worker.MaxAttempts),
		"visibility":   duration(&c.Worker.Visibility),
		"lease":        duration(&c.Worker.Lease),
		"window":       duration(&c.Worker.Window),
		"drainTimeout": duration(&c.Worker.Drain),
		"key":          text(&c.Worker.Key),
		"fingerprint":  text(&c.Worker.Fingerprint),
		"adminFrom":    list(&c.Worker.AdminFrom),
		"workerEnv":    variables(&c.Worker.Env),
		"workerConfig": readFile(&c.Worker.File),

		"payloadBuckets": list(&c.Worker.PayloadBuckets),

		"targetImage":         text(&c.Target.Image),
		"targetPort":          integer(&c.Target.Port),
		"targetPath":          text(&c.Target.Path),
		"targetEnv":           variables(&c.Target.Env),
		"targetSecrets":       variables(&c.Target.Secrets),
		"targetPolicies":      list(&c.Target.Policies),
		"targetUrl":           text(&c.Target.URL),
		"targetHealth":        text(&c.Target.Health),
		"targetTokenSecret":   text(&c.Target.TokenSecret),
		"targetSigningSecret": text(&c.Target.SigningSecret),

		"minTasks":   integer(&c.Scaling.MinTasks),
		"maxTasks":   integer(&c.Scaling.MaxTasks),
		"latency":    duration(&c.Scaling.Latency),
		"handleTime": duration(&c.Scaling.HandleTime),

		"producer":         negated(&c.Producer.Off),
		"public":           boolean(&c.Producer.Public),
		"certificate":      text(&c.Producer.Certificate),
		"apiDomain":        text(&c.Producer.Domain),
		"clients":          list(&c.Producer.Clients),
		"producerMinTasks": integer(&c.Producer.MinTasks),
		"producerMaxTasks": integer(&c.Producer.MaxTasks),
		"dlqApi":           boolean(&c.Producer.DLQ),
		"requestsPerTask":  integer(&c.Producer.RequestsPerTask),
	}
}

// reader reads values of the context and collects their faults.
type reader struct {
	context  map[string]any
	problems problemList
}

// addFile adds the values in the file that the context names.
func (r *reader) addFile() {
	path, _ := r.context["config"].(string)
	if path == "" {
		return
	}
	if !strings.ContainsAny(path, "/.") {
		path = filepath.Join("deploy", path+".json")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		r.problems.bad(true, "config %s: %v", r.context["config"], err)
		return
	}
	var values map[string]any
	if err := json.Unmarshal(data, &values); err != nil {
		r.problems.bad(true, "config %s: %s: %v", r.context["config"], path, err)
		return
	}
	r.problems.bad(values["config"] != nil, "config %s: %s names another file", r.context["config"], path)
	maps.Copy(values, r.context)
	r.context = values
}

// read sets one field. An empty text means the default.
func (r *reader) read(key string, set setter) {
	value, present := r.context[key]
	if !present || value == nil || value == "" {
		return
	}
	text, err := asText(value)
	if err == nil {
		err = set(text)
	}
	if err != nil {
		r.problems.bad(true, "%s %v: %v", key, value, err)
	}
}

// ofTheCDK matches the keys of the CDK itself: feature flags, settings of its command line, and
// cached look-ups, which begin with their provider: "vpc-provider:account=…".
// https://docs.aws.amazon.com/cdk/v2/guide/context.html
var ofTheCDK = regexp.MustCompile(`^(@aws-cdk|aws-cdk:|aws:|aws-cdk-lib|cdk-|cli-telemetry$|[a-z-]+:account=|availability-zones:)`)

// refuseOthers reports unknown keys. A misspelt key would otherwise leave a field at its default.
func (r *reader) refuseOthers(known map[string]setter) {
	for _, key := range slices.Sorted(maps.Keys(r.context)) {
		_, ours := known[key]
		r.problems.bad(!ours && !ofTheCDK.MatchString(key), "%s: not a key of this stack", key)
	}
}

// asText returns a value in the form of -c.
func asText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any:
		parts := make([]string, len(v))
		for i, part := range v {
			var err error
			if parts[i], err = asText(part); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, ","), nil
	}
	encoded, err := json.Marshal(value)
	return string(encoded), err
}

func text(field *string) setter {
	return func(s string) error { *field = s; return nil }
}

func boolean(field *bool) setter {
	return parsed(field, strconv.ParseBool, "want true or false")
}

func negated(field *bool) setter {
	return parsed(field, func(s string) (bool, error) {
		on, err := strconv.ParseBool(s)
		return !on, err
	}, "want true or false")
}

func integer(field *int) setter {
	return parsed(field, strconv.Atoi, "want a whole number")
}

func duration(field *time.Duration) setter {
	return parsed(field, time.ParseDuration, "want a duration such as 30s, 15m or 720h")
}

// parsed returns a setter that leaves the field unchanged if the text is invalid, so that the
// checks of the configuration do not report the field again.
func parsed[T any](field *T, parse func(string) (T, error), want string) setter {
	return func(s string) error {
		value, err := parse(s)
		if err != nil {
			return errors.New(want)
		}
		*field = value
		return nil
	}
}

func list(field *[]string) setter {
	return func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*field = append(*field, part)
			}
		}
		return nil
	}
}

func variables(field *map[string]string) setter {
	return parsed(field, func(s string) (values map[string]string, err error) {
		err = json.Unmarshal([]byte(s), &values)
		return values, err
	}, `want a JSON object of texts such as {"NAME": "value"}`)
}
