package infra

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
)

// binaries builds worker and producer once. The end of the test binary deletes them.
var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "infra-bin-"); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir, "./cmd/worker", "./cmd/producer")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func binary(t *testing.T, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func TestBinaries(t *testing.T) {
	t.Parallel()
	t.Run("no binary contains the CDK", testNoBinaryContainsTheCDK)
	t.Run("binaries read the variables they are given", testTheBinariesReadTheVariablesTheyAreGiven)
	t.Run("worker accepts its settings", testTheWorkerAcceptsItsSettings)
	t.Run("producer accepts its settings", testTheProducerAcceptsItsSettings)
	t.Run("heap stays below the task", testTheHeapStaysBelowTheTask)
	t.Run("dockerfile is built as it expects", testTheDockerfileIsBuiltAsItExpects)
	t.Run("lines that are counted are logged", testLinesThatAreCountedAreLogged)
}

func testNoBinaryContainsTheCDK(t *testing.T) {
	isCDK := regexp.MustCompile(`^github\.com/(aws/(aws-cdk-go|constructs-go|jsii-runtime-go)|cdklabs/|sqsonce/sqsonce/infra)`)
	own, err := os.ReadFile("infra/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(strings.Split(string(own), "\n"), func(line string) bool { return isCDK.MatchString(strings.TrimSpace(line)) }) {
		t.Error("the pattern does not even find the CDK where it is: in infra/go.mod")
	}
	for _, name := range []string{"worker", "producer"} {
		info, err := buildinfo.ReadFile(binary(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Deps) < 5 {
			t.Errorf("%s is built of %d modules: something was not looked at", name, len(info.Deps))
		}
		for _, module := range info.Deps {
			if isCDK.MatchString(module.Path) {
				t.Errorf("%s contains %s", name, module.Path)
			}
		}
	}
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if isCDK.MatchString(strings.TrimSpace(line)) {
			t.Errorf("go.mod: who imports the library would download %s", strings.TrimSpace(line))
		}
	}
}

var shownVariable = regexp.MustCompile(`\$(SQSONCE_[A-Z0-9_]+)`)

// understood returns the environment variables that a command reads, according to its help.
func understood(t *testing.T, name string, command ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary(t, name), append(command, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s --help: %v\n%s", name, err, out)
	}
	var variables []string
	for _, match := range shownVariable.FindAllStringSubmatch(string(out), -1) {
		variables = append(variables, match[1])
	}
	if len(variables) < 5 {
		t.Fatalf("%s --help shows %q only:\n%s", name, variables, out)
	}
	return variables
}

// variables returns the environment variables of a container. Values that are only known at
// deployment are filled in, and secrets are texts.
func (b built) variables(t *testing.T, container string) map[string]string {
	t.Helper()
	c, _ := b.template.container(t, container)
	found := make(map[string]string)
	for _, v := range listOf(c["Environment"]) {
		v := v.(object)
		value, literal := v["Value"].(string)
		if !literal {
			value = b.deployed(v["Value"])
		}
		found[v["Name"].(string)] = value
	}
	for _, s := range listOf(c["Secrets"]) {
		found[s.(object)["Name"].(string)] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	}
	return found
}

// deployed resolves a reference as CloudFormation would.
func (b built) deployed(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	if join, ok := value.(object)["Fn::Join"].([]any); ok {
		var text strings.Builder
		for _, part := range join[1].([]any) {
			text.WriteString(b.deployed(part))
		}
		return text.String()
	}
	id := reference(value)
	_, attribute := value.(object)["Fn::GetAtt"]
	switch r := b.template.Resources[id]; r.Type {
	case "AWS::Scheduler::ScheduleGroup":
		return "sqsonce-Group-1ABC"
	case "AWS::IAM::Role":
		return "arn:aws:iam::123456789012:role/sqsonce-Role-1ABC"
	case "AWS::SQS::Queue":
		if attribute {
			return "arn:aws:sqs:eu-west-1:123456789012:" + r.Properties["QueueName"].(string)
		}
		return "https://sqs.eu-west-1.amazonaws.com/123456789012/" + r.Properties["QueueName"].(string)
	case "AWS::DynamoDB::Table":
		return "sqsonce-Table-1ABC"
	}
	if text, ok := map[string]string{"AWS::Region": "eu-west-1", "AWS::URLSuffix": "amazonaws.com", "AWS::AccountId": "123456789012"}[id]; ok {
		return text
	}
	return "unresolved " + flat(value)
}

func testTheBinariesReadTheVariablesTheyAreGiven(t *testing.T) {
	reads := map[string][]string{
		"worker": understood(t, "worker", "run"), "producer": understood(t, "producer", "serve"),
	}
	each(t, func(t *testing.T, b built) {
		for container, known := range reads {
			if container == "producer" && b.config.Producer.Off {
				continue
			}
			for name, value := range b.variables(t, container) {
				if strings.HasPrefix(name, "SQSONCE_") && !slices.Contains(known, name) {
					t.Errorf("%s does not read %s", container, name)
				}
				if strings.HasPrefix(value, "unresolved") {
					t.Errorf("%s: %s is %s", container, name, value)
				}
				_, chosen := b.config.Worker.Env[name]
				if name == "GOMEMLIMIT" {
					continue // may be set by workerEnv
				}
				if !chosen && !slices.Contains(ownVariables, name) {
					t.Errorf("%s: %s could be overwritten by workerEnv: it is missing in ownVariables", container, name)
				}
			}
		}
	})
}

// The worker reports all faults of its settings at once. The test adds one fault to its variables,
// and the worker must report that fault alone.
func testTheWorkerAcceptsItsSettings(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		text := complaint(t, b.variables(t, "worker"), "worker", "run", "--local")
		if !strings.Contains(text, "--local") || strings.Contains(text, "\n  ") {
			t.Errorf("the worker says: %s", text)
		}
	})
	// The worker does report faults.
	variables := synthesised(t, "plain").variables(t, "worker")
	variables["SQSONCE_LEASE"] = "59s"
	if text := complaint(t, variables, "worker", "run"); !strings.Contains(text, "--lease") {
		t.Errorf("about a lease as long as the visibility the worker says: %s", text)
	}
}

// The producer likewise, with a negative time.
func testTheProducerAcceptsItsSettings(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		if b.config.Producer.Off {
			return
		}
		text := complaint(t, b.variables(t, "producer"), "producer", "serve", "--client-rate=-1")
		if !strings.Contains(text, "--client-rate") || strings.Contains(text, "\n  ") {
			t.Errorf("the producer says: %s", text)
		}
	})
}

// complaint runs a binary with only the given variables, and returns its report about them.
func complaint(t *testing.T, variables map[string]string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t, name), args...)
	for _, key := range sortedKeys(variables) {
		cmd.Env = append(cmd.Env, key+"="+variables[key])
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
		t.Fatalf("%s %q: %v, want exit code 2\n%s", name, args, err, &stderr)
	}
	return strings.TrimSpace(stderr.String())
}

// The heap must leave memory for the rest of the worker, and for the target in the same task.
func testTheHeapStaysBelowTheTask(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		text := b.variables(t, "worker")["GOMEMLIMIT"]
		share := 75
		if b.config.Target.Image != "" {
			share = 50
		}
		want := strconv.Itoa(b.config.Worker.Memory*share/100) + "MiB"
		if chosen, ok := b.config.Worker.Env["GOMEMLIMIT"]; ok {
			want = chosen
		}
		if text != want {
			t.Errorf("GOMEMLIMIT is %q of %d MiB, want %q", text, b.config.Worker.Memory, want)
		}
	})
}

func TestTimesAgree(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		duration := func(container, name string) time.Duration {
			d, err := time.ParseDuration(b.variables(t, container)[name])
			if err != nil {
				t.Fatalf("%s of %s: %v", name, container, err)
			}
			return d
		}
		inSeconds := func(value any) time.Duration { return time.Duration(value.(float64) * float64(time.Second)) }

		worker, _ := b.template.container(t, "worker")
		stop := inSeconds(worker["StopTimeout"])
		if stop > 120*time.Second {
			t.Errorf("Fargate does not wait %s", stop)
		}
		if drain := duration("worker", "SQSONCE_DRAIN_TIMEOUT"); drain+settleTime >= stop || drain != 110*time.Second {
			t.Errorf("drain %s, want 110s and, with %s to settle, less than %s", drain, settleTime, stop)
		}
		if told := duration("worker", "SQSONCE_STOP_TIMEOUT"); told != stop {
			t.Errorf("the worker is told it has %s, and has %s", told, stop)
		}
		queue, made := b.template.Resources[b.places()["main"]]
		if v := duration("worker", "SQSONCE_VISIBILITY"); made && v != inSeconds(queue.Properties["VisibilityTimeout"]) {
			t.Errorf("visibility of the worker %s, of the queue %v s", v, queue.Properties["VisibilityTimeout"])
		}
		health := worker["HealthCheck"].(object)
		if got := flat(health["Command"]); got != `["CMD","`+workerBinary+`","check"]` {
			t.Errorf("health is checked by %s", got)
		}
		if b.config.Producer.Off {
			return
		}
		producer, _ := b.template.container(t, "producer")
		if own := duration("producer", "SQSONCE_STOP_TIMEOUT"); own < time.Minute || own+5*time.Second > inSeconds(producer["StopTimeout"]) {
			t.Errorf("answers that wait a minute get %s of %v s", own, producer["StopTimeout"])
		}
		balancer := b.template.only(t, "AWS::ElasticLoadBalancingV2::LoadBalancer")
		if got := flat(balancer.Properties["LoadBalancerAttributes"]); !strings.Contains(got, `{"Key":"idle_timeout.timeout_seconds","Value":"75"}`) {
			t.Errorf("a wait of a minute has to outlive the idle timeout: %s", got)
		}
		targets := b.template.only(t, "AWS::ElasticLoadBalancingV2::TargetGroup")
		if targets.Properties["HealthCheckPath"] != "/healthz" || targets.Properties["Port"] != float64(producerPort) {
			t.Errorf("targets are %s", flat(targets.Properties))
		}
	})
}

func testTheDockerfileIsBuiltAsItExpects(t *testing.T) {
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^FROM scratch$`, `(?m)^ARG TARGETARCH$`,
		`(?m)^COPY .*\bdist/\$\{TARGETARCH\}` + workerBinary + `\b.* /(worker)?$`,
		`(?m)^COPY .*\bdist/\$\{TARGETARCH\}` + producerBinary + `\b.* /(producer)?$`,
	} {
		if !regexp.MustCompile(want).Match(dockerfile) {
			t.Errorf("the Dockerfile has no line like %s", want)
		}
	}
	data, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	// Otherwise the first deployment finds no binaries to copy.
	if !bytes.Contains(data, []byte(`"predeploy": "make image"`)) {
		t.Error("npm run deploy does not build what the Dockerfile copies")
	}
}

// CloudWatch counts lines of the worker's log, so the worker must log them.
func testLinesThatAreCountedAreLogged(t *testing.T) {
	if lostLease != dedupe.ErrLeaseLost.Error() {
		t.Errorf("lost leases are looked for as %q and logged as %q", lostLease, dedupe.ErrLeaseLost)
	}
	logged := map[string]string{notDone: "consumer"}
	for _, line := range append(outages, queueDown) {
		logged[line] = filepath.Join("internal", "workercmd")
	}
	for line, dir := range logged {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		call := regexp.MustCompile(`(log|Warn|Error)\("` + line)
		if !slices.ContainsFunc(files, func(file string) bool {
			data, err := os.ReadFile(file)
			return err == nil && !strings.HasSuffix(file, "_test.go") && call.Match(data)
		}) {
			t.Errorf("nothing in %s logs %q", dir, line)
		}
	}
	each(t, func(t *testing.T, b built) {
		var patterns []string
		for _, filter := range b.template.of("AWS::Logs::MetricFilter") {
			patterns = append(patterns, filter.Properties["FilterPattern"].(string))
		}
		slices.Sort(patterns)
		want := []string{
			`{ $.msg = "not done" }`,
			`{ $.msg = "the queue is down*" }`,
			`{ ($.msg = "not done") && ($.error = "*lease lost*") }`,
			`{ ($.msg = "the store is down*") || ($.msg = "the target is suspect*") || ($.msg = "the target is not healthy*") }`,
		}
		if !slices.Equal(patterns, want) {
			t.Errorf("patterns are %q, want %q", patterns, want)
		}
		if b.variables(t, "worker")["SQSONCE_LOG_FORMAT"] != "json" {
			t.Error("the patterns are for JSON, which the worker does not log")
		}
	})
}
