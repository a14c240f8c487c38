package producercmd

import "testing"

func TestRegion(t *testing.T) {
	t.Run("region of the queue is another", testRegionOfTheQueueIsAnother)
}

// Otherwise SQS would report a missing queue, and tables of the other Region would be used.
func testRegionOfTheQueueIsAnother(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
		"AWS_ENDPOINT_URL_SQS": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	flags := []string{
		"--queue-url", "https://sqs.us-east-2.amazonaws.com/123456789012/orders",
		"--dlq-url", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq", "--table", "orders",
	}
	for _, command := range [][]string{{"serve", "--addr", "127.0.0.1:0"}, {"status", "order-17"}} {
		t.Run(command[0], func(t *testing.T) {
			producer(t, "", append(command, flags...)...).want(2).says(
				"--queue-url https://sqs.us-east-2.amazonaws.com/123456789012/orders is in Region us-east-2",
				"--dlq-url https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq is in Region eu-west-1", "us-west-2")
		})
	}
}
