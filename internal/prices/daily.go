package prices

import (
	"fmt"
	"strings"
)

// Daily returns the monthly bill of a million messages a day as a Markdown table: above the bill of
// a stack without messages.
func Daily() string {
	const (
		messages  = month // millions a month
		lineBytes = 300   // of the producer's log, a message
		even      = 3     // requests a message that arrives alone: sent, received, deleted
		bursts    = 0.3   // the same, ten at a time
		// An hour of a load balancer's smallest use (LCU).
		// https://aws.amazon.com/elasticloadbalancing/pricing/
		unitHour = 0.008
	)
	u := Even()
	stored := u.Record * messages * million / gigabyte * u.Days / month
	log, traffic := lineBytes*messages*million/gigabyte, u.Tasks.Traffic*messages*million/gigabyte
	var text strings.Builder
	text.WriteString("| 1 million messages a day (30.4 M a month), on top | how | a month |\n|---|---|---|\n")
	least, most := 0.0, 0.0
	add := func(what, how string, dollars float64) {
		fmt.Fprintf(&text, "| %s | %s | %.2f |\n", what, how, dollars)
		most += dollars
		least += dollars
	}
	add("DynamoDB writes", fmt.Sprintf("2 for each message, claim and completion, of at most 1 KB: %.1f M × %g / 1 M", u.Writes*messages, WriteMillion), u.Writes*messages*WriteMillion)
	add("SQS, arriving evenly (12 a second: calls carry about one message)", fmt.Sprintf("at most send, receive, delete: %.1f M × %.2f / 1 M", even*messages, StandardMillion), even*messages*StandardMillion)
	add("SQS, arriving in bursts (calls carry ten)", fmt.Sprintf("%.1f M × %.2f / 1 M", bursts*messages, StandardMillion), bursts*messages*StandardMillion)
	most -= bursts * messages * StandardMillion
	least -= even * messages * StandardMillion
	add("storage and recovery", fmt.Sprintf("%.0f days × 1 M × %.1f KB = %.0f GB × (%.2f + %.2f)", u.Days, u.Record/1000, stored, StorageGigabyte, RecoveryGigabyte), stored*(StorageGigabyte+RecoveryGigabyte))
	add("producer's log", fmt.Sprintf("%.1f M lines × %d B = %.1f GB × %.2f", messages, lineBytes, log, LogGigabyte), log*LogGigabyte)
	add("load balancer", fmt.Sprintf("under 1 LCU: %d × %g at most", Hours, unitHour), Hours*unitHour)
	add("endpoint for SQS", fmt.Sprintf("%.1f M × %.0f KB = %.0f GB × %.2f", messages, u.Tasks.Traffic/1000, traffic, EndpointGigabyte), traffic*EndpointGigabyte)
	fmt.Fprintf(&text, "| **together, in bursts to evenly** | | **%.0f to %.0f** |\n", least, most)
	return text.String()
}
