module github.com/sqsonce/sqsonce/infra

go 1.26.0

require (
	github.com/aws/aws-cdk-go/awscdk/v2 v2.270.0
	github.com/aws/constructs-go/constructs/v10 v10.6.0
	github.com/aws/jsii-runtime-go v1.139.0
	github.com/sqsonce/sqsonce v0.0.0
)

replace github.com/sqsonce/sqsonce => ../
