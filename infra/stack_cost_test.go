package infra

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/infra/internal/cost"
)

// mostIdle bounds the monthly cost of a worker in an existing VPC without messages, in dollars.
const mostIdle = 30

func TestIdleCost(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	templates := pairTemplates(t)
	for name, row := range map[string]string{
		"in a VPC": "an existing VPC (`vpcId`)", "default": "a new VPC, `network=endpoints`", "natGateways": "a new VPC, `network=nat`",
		"public tasks": "a new VPC, `network=public`", "default with API": "with `network=endpoints` and `producer=true`",
	} {
		t.Run(name, func(t *testing.T) {
			bill, err := cost.Of(encoded(t, templates[name]))
			if err != nil {
				t.Fatal(err)
			}
			if line := fmt.Sprintf("| %s | %.2f |", row, bill.Total()); !strings.Contains(string(guide), line) {
				t.Errorf("docs/deploy.md has no line %s", line)
			}
			if name != "in a VPC" {
				return
			}
			if bill.Total() > mostIdle {
				t.Errorf("it costs more than %d dollars:\n%s", mostIdle, bill.Table())
			}
			if !strings.Contains(string(guide), bill.Table()) {
				t.Errorf("docs/deploy.md does not have the table\n%s", bill.Table())
			}
		})
	}
}
