package infra

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
)

// seconds returns a duration of the CDK, rounded up to whole seconds.
func seconds(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number((d + time.Second - 1).Truncate(time.Second).Seconds()))
}

// retentionDays are the retention times of CloudWatch Logs up to a year.
var retentionDays = map[time.Duration]awslogs.RetentionDays{
	1 * day:   awslogs.RetentionDays_ONE_DAY,
	3 * day:   awslogs.RetentionDays_THREE_DAYS,
	5 * day:   awslogs.RetentionDays_FIVE_DAYS,
	7 * day:   awslogs.RetentionDays_ONE_WEEK,
	14 * day:  awslogs.RetentionDays_TWO_WEEKS,
	30 * day:  awslogs.RetentionDays_ONE_MONTH,
	60 * day:  awslogs.RetentionDays_TWO_MONTHS,
	90 * day:  awslogs.RetentionDays_THREE_MONTHS,
	120 * day: awslogs.RetentionDays_FOUR_MONTHS,
	150 * day: awslogs.RetentionDays_FIVE_MONTHS,
	180 * day: awslogs.RetentionDays_SIX_MONTHS,
	365 * day: awslogs.RetentionDays_ONE_YEAR,
}

// knownRetentions lists the keys of retentionDays, shortest first.
func knownRetentions() string {
	var hours []int
	for d := range retentionDays {
		hours = append(hours, int(d.Hours()))
	}
	slices.Sort(hours)
	texts := make([]string, len(hours))
	for i, h := range hours {
		texts[i] = fmt.Sprintf("%dh", h)
	}
	return strings.Join(texts, ", ")
}

// texts returns the map in the CDK's type.
func texts(m map[string]string) *map[string]*string {
	pointers := make(map[string]*string, len(m))
	for key, value := range m {
		pointers[key] = &value
	}
	return &pointers
}
