package doctor

// Pages of AWS.
const (
	developerGuide = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
	dynamoAPI      = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/"
	sqsAPI         = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
	sqsGuide       = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
)

// Assumptions returns all of them, in the order in which they are checked.
func Assumptions() []Assumption {
	return []Assumption{
		{
			Name: "the queue has a dead-letter queue", Expected: "a redrive policy, or --dlq-url", check: deadLetters,
			Consequence: "messages that are given up have nowhere to go",
			Source:      sqsGuide + "sqs-dead-letter-queues.html",
		},
		{
			Name: "Regions and accounts agree", Expected: "queues in one account, all in the clients' Region", check: place,
			Consequence: "requests go to another queue or table of the same name, or are denied",
			Source:      sqsGuide + "sqs-queue-message-identifiers.html",
		},
		{
			Name: "key, time to live, no replica", Expected: "partition key id (S), TTL on expires_at, one Region", check: schema,
			Consequence: "with another key or an eventual replica names are not guarded; without time to live records stay for ever",
			Source:      developerGuide + "V2globaltables_HowItWorks.html",
		},
		{
			Name: "the clocks agree", Expected: "this machine and DynamoDB differ by the skew at most", check: clockOf,
			Consequence: "leases go by DynamoDB's clock, up to five minutes off; correct this machine's clock",
			Source:      "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/set-time.html",
		},
		{
			Name: "statements in a batch", Expected: "our INSERT and UPDATE texts are accepted", check: statements,
			Consequence: "the store goes over to single writes: some 25 times the calls. Please report it",
			Source:      developerGuide + "ql-reference.multiplestatements.batching.html",
		},
		{
			Name: "a lost condition in a batch", Expected: "ConditionalCheckFailed with the item; the others are executed", check: condition,
			Consequence: "without the item each conflict costs one more read; without the code a lost race looks like a failure",
			Source:      dynamoAPI + "API_BatchStatementRequest.html",
		},
		{
			Name: "a second insert in a batch", Expected: "DuplicateItem; the others are executed", check: duplicate,
			Consequence: "a duplicate of a known name looks like a failure of the store",
			Source:      dynamoAPI + "API_BatchStatementError.html",
		},
		{
			Name: "a lost condition alone", Expected: "ConditionalCheckFailedException with the item", check: lone,
			Consequence: "each conflict costs one more read",
			Source:      dynamoAPI + "API_PutItem.html",
		},
		{
			Name: "a transaction's token", Expected: "the same again succeeds, another one is refused", check: transaction,
			Consequence: "writes that handlers hand over cannot be retried safely: do not use them",
			Source:      dynamoAPI + "API_TransactWriteItems.html",
		},
		{
			Name: "the list of names (optional)", Expected: "the index attention can be queried", check: index,
			Consequence: "names that need attention cannot be listed; all else works",
			Source:      developerGuide + "GSI.html",
		},
		{
			Name: "a bad handle in a batch delete", Expected: "that entry fails, by the sender's fault", check: badDelete,
			Consequence: "one message that was lost keeps nine others from being deleted",
			Source:      sqsAPI + "API_DeleteMessageBatch.html",
		},
		{
			Name: "a bad handle in a batch of visibility changes", Expected: "that entry fails, by the sender's fault", check: badVisibility,
			Consequence: "one message that was lost keeps nine others from being held",
			Source:      sqsAPI + "API_ChangeMessageVisibilityBatch.html",
		},
		{
			Name: "dead-letter send, visibility change, mixed delete", Expected: "the good entry succeeds, the bad one fails", check: deadLetter,
			Sends:       true,
			Consequence: "messages that are given up stay in the queue, or others with them",
			Source:      sqsAPI + "API_SendMessageBatch.html",
		},
	}
}
