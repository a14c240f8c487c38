// Package cost computes the monthly cost of a template's stack without messages.
package cost

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sqsonce/sqsonce/internal/prices"
)

const (
	// toldMetrics is the number of metrics that workers report: eight of the queue, four kinds of
	// duplicates and up to six outcomes of attempts. CloudWatch bills the hours in which a metric
	// is reported.
	toldMetrics = 8 + 4 + 6
	// tellsMonth is the size of a worker's metric lines in a month, in gigabytes: 2 KB a minute.
	tellsMonth = 2e-6 * 60 * prices.Hours
	// pollsHour is the number of receives of an idle worker in an hour. Each waits for 20 seconds.
	pollsHour = 180
)

// Line is one part of the bill.
type Line struct {
	What, How string
	Dollars   float64
}

// Idle is the bill of a month without a message.
type Idle []Line

// Total returns the sum of the lines, each rounded to cents.
func (b Idle) Total() float64 {
	sum := 0.0
	for _, l := range b {
		sum += math.Round(l.Dollars*100) / 100
	}
	return sum
}

// Table returns the bill as a Markdown table.
func (b Idle) Table() string {
	var text strings.Builder
	text.WriteString("| Idle | how | a month |\n|---|---|---|\n")
	for _, l := range b {
		fmt.Fprintf(&text, "| %s | %s | %.2f |\n", l.What, l.How, l.Dollars)
	}
	fmt.Fprintf(&text, "| **together** | | **%.2f** |\n", b.Total())
	return text.String()
}

func (b *Idle) add(what, how string, dollars float64) {
	if dollars > 0 {
		*b = append(*b, Line{what, how, dollars})
	}
}

type template struct {
	Resources map[string]resource
}

type resource struct {
	Type       string
	Properties map[string]any
}

func (t template) of(kind string) []resource {
	var found []resource
	for _, r := range t.Resources {
		if r.Type == kind {
			found = append(found, r)
		}
	}
	return found
}

// Of computes the bill of a template.
func Of(data []byte) (Idle, error) {
	var t template
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var b Idle
	t.tasks(&b)
	t.network(&b)
	t.watching(&b)
	secrets := len(t.of("AWS::SecretsManager::Secret"))
	b.add("secrets", fmt.Sprintf("%d × %.2f", secrets, prices.SecretMonth), float64(secrets)*prices.SecretMonth)
	return b, nil
}

// tasks adds the tasks that always run: the minimum number of each service.
func (t template) tasks(b *Idle) {
	var ids []string
	for id, r := range t.Resources {
		if r.Type == "AWS::ECS::Service" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		service := t.Resources[id]
		task := t.Resources[reference(service.Properties["TaskDefinition"])]
		least := t.least(id)
		cpu, memory := number(task.Properties["Cpu"])/1024, number(task.Properties["Memory"])/1024
		cpuHour, memoryHour := prices.CPUHourARM, prices.MemoryHourARM
		if text(task.Properties["RuntimePlatform"], "CpuArchitecture") == "X86_64" {
			cpuHour, memoryHour = prices.CPUHourX86, prices.MemoryHourX86
		}
		name := containerOf(task)
		b.add(name+" tasks", fmt.Sprintf("%.0f × %d × (%g × %g + %g × %g)", least, prices.Hours, cpu, cpuHour, memory, memoryHour),
			least*prices.Hours*(cpu*cpuHour+memory*memoryHour))
		if strings.Contains(encoded(service.Properties["NetworkConfiguration"]), `"AssignPublicIp":"ENABLED"`) {
			b.add(name+", addresses", fmt.Sprintf("%.0f × %d × %g", least, prices.Hours, prices.AddressHour), least*prices.Hours*prices.AddressHour)
		}
		if name == "worker" {
			b.add("polling", fmt.Sprintf("%.0f × %d × %d × %.2f / 1 M", least, prices.Hours, pollsHour, prices.StandardMillion),
				least*prices.Hours*pollsHour*prices.StandardMillion/1e6)
			if least > 0 {
				b.add("metrics that workers tell", fmt.Sprintf("at most %d × %.2f", toldMetrics, prices.MetricMonth), toldMetrics*prices.MetricMonth)
				b.add("their lines in the log", fmt.Sprintf("%.0f × %.2f GB × %.2f", least, tellsMonth, prices.LogGigabyte), least*tellsMonth*prices.LogGigabyte)
			}
		}
	}
}

// least returns the minimum number of tasks of a service.
func (t template) least(service string) float64 {
	for _, target := range t.of("AWS::ApplicationAutoScaling::ScalableTarget") {
		if strings.Contains(encoded(target.Properties["ResourceId"]), `"`+service+`"`) {
			return number(target.Properties["MinCapacity"])
		}
	}
	return 1
}

func (t template) network(b *Idle) {
	balancers, addresses := 0, 0
	for _, balancer := range t.of("AWS::ElasticLoadBalancingV2::LoadBalancer") {
		balancers++
		if balancer.Properties["Scheme"] == "internet-facing" {
			subnets, _ := balancer.Properties["Subnets"].([]any)
			addresses += len(subnets)
		}
	}
	b.add("load balancer", fmt.Sprintf("%d × %d × %g", balancers, prices.Hours, prices.BalancerHour), float64(balancers)*prices.Hours*prices.BalancerHour)
	b.add("its addresses", fmt.Sprintf("%d × %d × %g", addresses, prices.Hours, prices.AddressHour), float64(addresses)*prices.Hours*prices.AddressHour)
	zones := 0
	for _, endpoint := range t.of("AWS::EC2::VPCEndpoint") {
		subnets, _ := endpoint.Properties["SubnetIds"].([]any)
		if endpoint.Properties["VpcEndpointType"] == "Interface" {
			zones += len(subnets)
		}
	}
	b.add("interface endpoints, in each zone", fmt.Sprintf("%d × %d × %g", zones, prices.Hours, prices.EndpointHour), float64(zones)*prices.Hours*prices.EndpointHour)
	nats := float64(len(t.of("AWS::EC2::NatGateway")))
	b.add("NAT gateways with their addresses", fmt.Sprintf("%.0f × %d × %g", nats, prices.Hours, prices.NATHour+prices.AddressHour), nats*prices.Hours*(prices.NATHour+prices.AddressHour))
}

// watching adds the cost of CloudWatch.
func (t template) watching(b *Idle) {
	alarms := 0
	for _, alarm := range t.of("AWS::CloudWatch::Alarm") {
		metrics, _ := alarm.Properties["Metrics"].([]any)
		alarms += max(1, strings.Count(encoded(metrics), `"MetricStat"`))
	}
	for _, policy := range t.of("AWS::ApplicationAutoScaling::ScalingPolicy") {
		if policy.Properties["PolicyType"] == "TargetTrackingScaling" { // creates two alarms
			alarms += 2 * max(1, strings.Count(encoded(policy.Properties), `"MetricStat"`))
		}
	}
	b.add("alarms, scaling's own included", fmt.Sprintf("%d metrics × %.2f", alarms, prices.AlarmMetricMonth), float64(alarms)*prices.AlarmMetricMonth)
	filters := len(t.of("AWS::Logs::MetricFilter"))
	b.add("metrics counted from the log", fmt.Sprintf("%d × %.2f", filters, prices.MetricMonth), float64(filters)*prices.MetricMonth)
	boards := len(t.of("AWS::CloudWatch::Dashboard"))
	b.add("dashboard", fmt.Sprintf("%d × %.2f", boards, prices.DashboardMonth), float64(boards)*prices.DashboardMonth)
}

// containerOf returns the name of a task's main container, which is the worker if there is a
// target.
func containerOf(task resource) string {
	list, _ := task.Properties["ContainerDefinitions"].([]any)
	for _, c := range list {
		if name := text(c, "Name"); name != "target" {
			return name
		}
	}
	return "task"
}

func reference(value any) string {
	m, _ := value.(map[string]any)
	id, _ := m["Ref"].(string)
	return id
}

func text(value any, key string) string {
	m, _ := value.(map[string]any)
	found, _ := m[key].(string)
	return found
}

func number(value any) float64 {
	switch v := value.(type) {
	case float64:
		return v
	case string:
		n, _ := strconv.ParseFloat(v, 64)
		return n
	}
	return 0
}

func encoded(value any) string {
	data, err := json.Marshal(value)
	return cmp.Or(string(data), fmt.Sprint(err))
}
