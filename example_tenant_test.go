package sqsonce_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
)

// At most five messages of a tenant are handled at a time, and ten a second are begun.
func ExampleGroupBy() {
	byTenant, err := sqsonce.GroupBy("tenant.id", "none")
	if err != nil {
		fmt.Println(err)
		return
	}
	config := sqsonce.Config{Pool: consumer.Config{GroupConcurrency: 5, GroupRate: 10, GroupBy: byTenant}}
	for _, m := range []sqsonce.Message{
		{Body: `{"tenant":{"id":17}}`},
		{Body: `{"tenant":{}}`}, // no group: no bound
		{Body: `{"tenant":{"id":"b"}}`, Attributes: map[string]types.MessageAttributeValue{
			consumer.AttrName: {DataType: aws.String("String"), StringValue: aws.String("order-1")}, // a name is no group
		}},
	} {
		fmt.Printf("%q\n", config.Pool.GroupBy(m))
	}
	_, err = sqsonce.GroupBy("tenant[", "none")
	fmt.Println(err != nil)
	// Output:
	// "17"
	// ""
	// "b"
	// true
}
