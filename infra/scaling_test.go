package infra

import (
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// workerPolicies returns the scaling policies of the worker by their type.
func workerPolicies(t *testing.T, b built) map[string]resource {
	t.Helper()
	found := make(map[string]resource)
	for _, policy := range b.template.of("AWS::ApplicationAutoScaling::ScalingPolicy") {
		target := b.template.Resources[reference(policy.Properties["ScalingTargetId"])]
		if !takesRequests(b, target) {
			found[policy.Properties["PolicyType"].(string)] = policy
		}
	}
	return found
}

// takesRequests reports whether a scalable target is the producer's.
func takesRequests(b built, target resource) bool {
	for id, service := range b.template.of("AWS::ECS::Service") {
		if strings.Contains(flat(target.Properties["ResourceId"]), `"`+id+`"`) {
			return len(listOf(service.Properties["LoadBalancers"])) > 0
		}
	}
	return false
}

func TestScaling(t *testing.T) {
	t.Run("worker scales on the backlog of a task", testTheWorkerScalesOnTheBacklogOfATask)
	t.Run("one message wakes a worker that may be scaled to none", testOneMessageWakesAWorkerThatMayBeScaledToNone)
	t.Run("scaling bounds are the configured", testScalingBoundsAreTheConfigured)
	t.Run("every alarm speaks and has its section in the runbook", testEveryAlarmSpeaksAndHasItsSectionInTheRunbook)
	t.Run("dashboard shows the metrics of the alarms", testDashboardShowsTheMetricsOfTheAlarms)
	t.Run("failed deployment is told", testAFailedDeploymentIsTold)
	t.Run("metrics in use are written", testMetricsInUseAreWritten)
	t.Run("slow work is not scaled out", testSlowWorkIsNotScaledOut)
}

func testTheWorkerScalesOnTheBacklogOfATask(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		policy, ok := workerPolicies(t, b)["TargetTrackingScaling"]
		if !ok {
			t.Fatal("no target tracking")
		}
		tracking := policy.Properties["TargetTrackingScalingPolicyConfiguration"].(object)
		// Concurrency 50 and one second each: 50 in flight, and 1500 within the acceptable 30
		// seconds.
		if got := tracking["TargetValue"]; got != 1550.0 {
			t.Errorf("TargetValue %v", got)
		}
		queries := tracking["CustomizedMetricSpecification"].(object)["Metrics"].([]any)
		returned := 0
		names := make(map[string]string)
		for _, q := range queries {
			q := q.(object)
			if q["ReturnData"] == true {
				returned++
				if q["Expression"] != backlogExpression {
					t.Errorf("returned is %v", q)
				}
				continue
			}
			names[q["Id"].(string)] = q["MetricStat"].(object)["Metric"].(object)["MetricName"].(string)
		}
		want := map[string]string{
			"visible": "ApproximateNumberOfMessagesVisible", "flight": "ApproximateNumberOfMessagesNotVisible", "running": "Workers",
		}
		if flat(names) != flat(want) || returned != 1 {
			t.Errorf("metrics are %v with %d returned, want %v with the expression", names, returned, want)
		}
		for id := range want {
			if !regexp.MustCompile(`\b` + id + `\b`).MatchString(backlogExpression) {
				t.Errorf("%q is not in %q", id, backlogExpression)
			}
		}
		if tracking["DisableScaleIn"] == true {
			t.Error("nothing would ever scale in")
		}
		// The workers report their number.
		if b.variables(t, "worker")["SQSONCE_METRICS"] != "emf" {
			t.Error("the workers do not tell their number")
		}
	})
}

func testOneMessageWakesAWorkerThatMayBeScaledToNone(t *testing.T) {
	b := synthesised(t, "small")
	policy, ok := workerPolicies(t, b)["StepScaling"]
	if !ok {
		t.Fatal("no step scaling")
	}
	step := policy.Properties["StepScalingPolicyConfiguration"].(object)
	// ExactCapacity would scale in workers when their number is not known.
	if step["AdjustmentType"] != "ChangeInCapacity" || flat(step["StepAdjustments"]) != `[{"MetricIntervalLowerBound":0,"ScalingAdjustment":1}]` {
		t.Errorf("the step is %s", flat(step))
	}
	wakes := 0
	for _, a := range b.template.of("AWS::CloudWatch::Alarm") {
		action, _ := a.Properties["AlarmActions"].([]any)
		if len(action) == 1 && b.template.Resources[reference(action[0])].Type == "AWS::ApplicationAutoScaling::ScalingPolicy" {
			wakes++
			if a.Properties["Threshold"] != 1.0 || !strings.Contains(flat(a.Properties["Metrics"]), "FILL(running, 0)") {
				t.Errorf("the alarm is %s", flat(a.Properties))
			}
		}
	}
	if wakes != 1 {
		t.Errorf("%d alarms wake the worker, want 1", wakes)
	}
	if _, ok := workerPolicies(t, synthesised(t, "plain"))["StepScaling"]; ok {
		t.Error("a worker that is never scaled to none needs no waking")
	}
}

func testScalingBoundsAreTheConfigured(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		for _, target := range b.template.of("AWS::ApplicationAutoScaling::ScalableTarget") {
			least, most := b.config.Scaling.MinTasks, b.config.Scaling.MaxTasks
			if takesRequests(b, target) {
				least, most = b.config.Producer.MinTasks, b.config.Producer.MaxTasks
			}
			if target.Properties["MinCapacity"] != float64(least) || target.Properties["MaxCapacity"] != float64(most) {
				t.Errorf("%v to %v, want %d to %d", target.Properties["MinCapacity"], target.Properties["MaxCapacity"], least, most)
			}
		}
	})
}

func testEveryAlarmSpeaksAndHasItsSectionInTheRunbook(t *testing.T) {
	runbook, err := os.ReadFile("docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for _, match := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(runbook), -1) {
		headings = append(headings, strings.ReplaceAll(strings.ToLower(match[1]), " ", "-"))
	}
	used := make(map[string]bool)
	each(t, func(t *testing.T, b built) {
		topic := ""
		for id := range b.template.of("AWS::SNS::Topic") {
			topic = id
		}
		for id, a := range b.template.of("AWS::CloudWatch::Alarm") {
			description := a.Properties["AlarmDescription"].(string)
			if strings.HasPrefix(description, "Not for people") {
				continue
			}
			_, anchor, _ := strings.Cut(description, "docs/runbook.md#")
			used[anchor] = true
			if !slices.Contains(headings, anchor) {
				t.Errorf("%s: %q is no section of docs/runbook.md", id, anchor)
			}
			if a.Properties["AlarmName"] != b.config.Name+"-"+anchor {
				t.Errorf("%s is called %v", id, a.Properties["AlarmName"])
			}
			for _, actions := range []string{"AlarmActions", "OKActions"} {
				if list, _ := a.Properties[actions].([]any); len(list) != 1 || reference(list[0]) != topic {
					t.Errorf("%s: %s are %s", id, actions, flat(a.Properties[actions]))
				}
			}
		}
	})
	used["deployment-failed"] = true // an event, which has its own test
	for _, heading := range headings {
		if !used[heading] {
			t.Errorf("docs/runbook.md has a section %q and no alarm of that name", heading)
		}
	}
}

// A topic with its own policy lacks the default policy, which allows alarms to publish.
func TestAlarmsMayPublish(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		policy := b.template.only(t, "AWS::SNS::TopicPolicy")
		if !slices.ContainsFunc(policyStatements(policy.Properties["PolicyDocument"]), func(s statement) bool {
			return s.Effect == "Allow" && slices.Equal(s.Actions, []string{"sns:Publish"}) &&
				flat(s.Principal) == `{"Service":"cloudwatch.amazonaws.com"}` && strings.Contains(flat(s.Condition), "aws:SourceAccount")
		}) {
			t.Errorf("policy is %s", flat(policy.Properties["PolicyDocument"]))
		}
	})
}

func testDashboardShowsTheMetricsOfTheAlarms(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		if b.config.Dashboard.Off {
			return // the variant has none, see TestStack
		}
		body := flat(b.template.only(t, "AWS::CloudWatch::Dashboard").Properties["DashboardBody"])
		for _, name := range []string{
			"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage",
			"Workers", "Duplicates", "Attempts", "HandleTime", "Dwell", "AwsCalls", "Takeovers", "Held", "Down", "WriteThrottleEvents", "FailedAttempts", "LostLeases", `"type":"alarm"`, `"type":"log"`,
		} {
			if !strings.Contains(body, name) {
				t.Errorf("%s is not on it", name)
			}
		}
	})
}

func testAFailedDeploymentIsTold(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		rule := b.template.only(t, "AWS::Events::Rule")
		pattern := rule.Properties["EventPattern"].(object)
		if flat(pattern["detail"]) != `{"eventName":["SERVICE_DEPLOYMENT_FAILED"]}` || flat(pattern["source"]) != `["aws.ecs"]` {
			t.Errorf("the rule is about %s", flat(pattern))
		}
		var services []string
		for _, r := range listOf(pattern["resources"]) {
			services = append(services, reference(r))
		}
		slices.Sort(services)
		if want := sortedKeys(b.template.of("AWS::ECS::Service")); !slices.Equal(services, want) {
			t.Errorf("it is about %q, want %q", services, want)
		}
		policy := b.template.only(t, "AWS::SNS::TopicPolicy")
		if !slices.ContainsFunc(policyStatements(policy.Properties["PolicyDocument"]), func(s statement) bool {
			return s.Effect == "Allow" && flat(s.Principal) == `{"Service":"events.amazonaws.com"}`
		}) {
			t.Error("the event may not be published")
		}
	})
}

// The workers write every metric that alarms and dashboard use.
func testMetricsInUseAreWritten(t *testing.T) {
	source, err := os.ReadFile("internal/telemetry/emf.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), `EMFNamespace = "`+emfNamespace+`"`) {
		t.Errorf("the workers do not write to the namespace %s", emfNamespace)
	}
	written := regexp.MustCompile(`(?m)^\t\{"[a-z._]+", "([A-Za-z]+)"`).FindAllStringSubmatch(string(source), -1)
	each(t, func(t *testing.T, b built) {
		if b.config.Dashboard.Off {
			return // the variant has none, see TestStack
		}
		body := flat(b.template.only(t, "AWS::CloudWatch::Dashboard").Properties["DashboardBody"])
		for _, match := range written {
			if !strings.Contains(body, match[1]) {
				t.Errorf("%s is written, and not on the dashboard", match[1])
			}
		}
	})
	if len(written) < 8 {
		t.Errorf("%d metrics are written", len(written))
	}
}

// Workers that are busy with slow work do not scale out. Each minute target tracking sees the
// backlog of a task. Three minutes above the target add tasks, fifteen minutes below nine tenths of
// it remove them.
func testSlowWorkIsNotScaledOut(t *testing.T) {
	for _, tc := range []struct {
		handle time.Duration
		rate   float64 // messages a second
		want   int
	}{{time.Second, 10, 1}, {time.Minute, 0.6, 1}, {5 * time.Minute, 0.1, 1}, {10 * time.Minute, 0.05, 1}} {
		t.Run(tc.handle.String(), func(t *testing.T) {
			c := Defaults()
			c.Scaling.HandleTime = tc.handle
			tasks, waiting, above, below := 1, 0.0, 0, 0
			for range 24 * 60 {
				flight := min(tc.rate*tc.handle.Seconds(), float64(tasks*c.Worker.Concurrency))
				waiting = max(0, waiting+60*(tc.rate-flight/tc.handle.Seconds()))
				backlog, target := (flight+waiting)/float64(tasks), c.backlogPerTask()
				if above, below = above+1, below+1; backlog <= target {
					above = 0
				}
				if backlog >= 0.9*target {
					below = 0
				}
				desired := max(1, min(c.Scaling.MaxTasks, int(math.Ceil((flight+waiting)/target))))
				if above >= 3 && desired > tasks || below >= 15 && desired < tasks {
					tasks, above, below = desired, 0, 0
				}
			}
			if tasks != tc.want {
				t.Errorf("%d tasks for %g messages a second of %s, want %d", tasks, tc.rate, tc.handle, tc.want)
			}
		})
	}
}
