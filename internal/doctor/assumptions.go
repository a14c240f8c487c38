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
	return []Assumption{ // what is assumed, how that is seen, the consequence of its being wrong, source, sends, check
		{"the queue has a dead-letter queue", "a redrive policy, or --dlq-url",
			"messages that are given up have nowhere to go",
			sqsGuide + "sqs-dead-letter-queues.html", false, deadLetters},
		{"Regions and accounts agree", "queues in one account, all in the clients' Region",
			"requests go to another queue or table of the same name, or are denied",
			sqsGuide + "sqs-queue-message-identifiers.html", false, place},
		{"key, time to live, no replica", "partition key id (S), TTL on expires_at, one Region",
			"with another key or an eventual replica names are not guarded; without time to live records stay for ever",
			developerGuide + "V2globaltables_HowItWorks.html", false, schema},
		{"the clocks agree", "this machine and DynamoDB differ by the skew at most",
			"leases go by DynamoDB's clock, up to five minutes off; correct this machine's clock",
			"https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/set-time.html", false, clockOf},
		{"statements in a batch", "our INSERT and UPDATE texts are accepted",
			"the store goes over to single writes: some 25 times the calls. Please report it",
			developerGuide + "ql-reference.multiplestatements.batching.html", false, statements},
		{"a lost condition in a batch", "ConditionalCheckFailed with the item; the others are executed",
			"without the item each conflict costs one more read; without the code a lost race looks like a failure",
			dynamoAPI + "API_BatchStatementRequest.html", false, condition},
		{"a second insert in a batch", "DuplicateItem; the others are executed",
			"a duplicate of a known name looks like a failure of the store",
			dynamoAPI + "API_BatchStatementError.html", false, duplicate},
		{"a lost condition alone", "ConditionalCheckFailedException with the item",
			"each conflict costs one more read",
			dynamoAPI + "API_PutItem.html", false, lone},
		{"a transaction's token", "the same again succeeds, another one is refused",
			"writes that handlers hand over cannot be retried safely: do not use them",
			dynamoAPI + "API_TransactWriteItems.html", false, transaction},
		{"the list of names (optional)", "the index attention can be queried",
			"names that need attention cannot be listed; all else works",
			developerGuide + "GSI.html", false, index},
		{"a bad handle in a batch delete", "that entry fails, by the sender's fault",
			"one message that was lost keeps nine others from being deleted",
			sqsAPI + "API_DeleteMessageBatch.html", false, badDelete},
		{"a bad handle in a batch of visibility changes", "that entry fails, by the sender's fault",
			"one message that was lost keeps nine others from being held",
			sqsAPI + "API_ChangeMessageVisibilityBatch.html", false, badVisibility},
		{"dead-letter send, visibility change, mixed delete", "the good entry succeeds, the bad one fails",
			"messages that are given up stay in the queue, or others with them",
			sqsAPI + "API_SendMessageBatch.html", true, deadLetter},
	}
}
