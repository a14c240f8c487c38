// Package prices holds list prices of AWS, and computes the price of a million messages.
//
// The prices are those of us-east-1 in US dollars, without free tiers, looked up on 30 November
// 2026. AWS's own pages load their figures by script, so the sources of figures are public pages
// that quote them. They were not checked against a bill.
package prices

// Hours is the number of hours in a month.
const Hours = 730

// SQS: the first 100 billion requests of a month; a request is up to 64 KB.
// https://aws.amazon.com/sqs/pricing/, https://cloudburn.io/blog/amazon-sqs-pricing (14 March 2026).
const (
	StandardMillion = 0.40
	FIFOMillion     = 0.50
	RequestBytes    = 64 << 10
)

// DynamoDB, standard tables. A write unit is 1 KB of an item, a read unit 4 KB, strongly
// consistent.
// https://aws.amazon.com/dynamodb/pricing/on-demand/,
// https://airbyte.com/data-engineering-resources/dynamodb-pricing (21 July 2025);
// https://aws.amazon.com/dynamodb/pricing/provisioned/,
// https://zeonedge.com/en/blog/dynamodb-cost-optimization-on-demand-provisioned-dax-single-table;
// storage and recovery: https://docs.echo.stream/docs/table-pricing (14 November 2024).
const (
	WriteMillion      = 0.625
	ReadMillion       = 0.125
	WriteCapacityHour = 0.00065
	ReadCapacityHour  = 0.00013
	StorageGigabyte   = 0.25
	RecoveryGigabyte  = 0.20
)

// Fargate, Linux. The price of Spot changes: 50 to 70 per cent less.
// https://www.vantage.sh/blog/fargate-pricing,
// https://cloudburn.io/blog/aws-fargate-pricing (1 April 2026), https://fortem.dev/fargate-spot/
const (
	CPUHourARM    = 0.03238
	MemoryHourARM = 0.00356
	CPUHourX86    = 0.04048
	MemoryHourX86 = 0.004445
	SpotShare     = 0.5 // price of Spot, divided by the price on demand
)

// The network.
const (
	// https://awsnegotiations.com/elastic-load-balancer-cost.html (May 2026)
	BalancerHour = 0.0225
	// Of an interface endpoint in one zone, and of its traffic.
	// https://awsnegotiations.com/privatelink-cost-analysis.html (May 2026)
	EndpointHour     = 0.01
	EndpointGigabyte = 0.01
	// https://aws.amazon.com/vpc/pricing/ (NAT gateway)
	NATHour = 0.045
	// https://aws.amazon.com/blogs/aws/new-aws-public-ipv4-address-charge-public-ip-insights/
	AddressHour = 0.005
)

// CloudWatch and Secrets Manager.
const (
	// https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/
	// (13 June 2026).
	MetricMonth      = 0.30
	AlarmMetricMonth = 0.10
	DashboardMonth   = 3.00
	LogGigabyte      = 0.50
	// https://aws.amazon.com/secrets-manager/pricing/
	SecretMonth = 0.40
)
