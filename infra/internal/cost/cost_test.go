package cost

import (
	"math"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/internal/prices"
)

const small = `{"Resources": {
	"Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"Cpu": "1024", "Memory": "2048", "ContainerDefinitions": [{"Name": "target"}, {"Name": "worker"}]}},
	"Service": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": {"Ref": "Task"}, "NetworkConfiguration": {"AssignPublicIp": "ENABLED"}}},
	"Scaling": {"Type": "AWS::ApplicationAutoScaling::ScalableTarget", "Properties": {"ResourceId": {"Ref": "Service"}, "MinCapacity": 2}},
	"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": [{"MetricStat": {}}, {"MetricStat": {}}, {"Expression": "a+b"}]}},
	"Plain": {"Type": "AWS::CloudWatch::Alarm", "Properties": {}},
	"Endpoint": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface", "SubnetIds": [1, 2]}},
	"Gateway": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Gateway"}}
}}`

func TestOf(t *testing.T) {
	bill, err := Of([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]float64{
		"worker tasks":                      2 * prices.Hours * (prices.CPUHourARM + 2*prices.MemoryHourARM),
		"worker, addresses":                 2 * prices.Hours * prices.AddressHour,
		"alarms, scaling's own included":    3 * prices.AlarmMetricMonth,
		"interface endpoints, in each zone": 2 * prices.Hours * prices.EndpointHour,
		"metrics that workers tell":         toldMetrics * prices.MetricMonth,
	} {
		found := false
		for _, l := range bill {
			if l.What == what {
				found = true
				if math.Abs(l.Dollars-want) > 1e-9 {
					t.Errorf("%s is %.4f, want %.4f", what, l.Dollars, want)
				}
			}
		}
		if !found {
			t.Errorf("no line %q in\n%s", what, bill.Table())
		}
	}
	if !strings.Contains(bill.Table(), "| **together** |") {
		t.Errorf("table is\n%s", bill.Table())
	}
	if _, err := Of([]byte("x")); err == nil {
		t.Error("x is a template")
	}
}
