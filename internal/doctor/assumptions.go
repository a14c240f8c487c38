package doctor

// Pages of AWS.
const (
	developerGuide = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
	dynamoAPI      = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/"
	sqsAPI         = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
	schedulerAPI   = "https://docs.aws.amazon.com/scheduler/latest/APIReference/"
	sqsGuide       = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
)

// Assumptions returns all assumptions in the order of their checks.
func Assumptions() []Assumption {
	return []Assumption{ // Name, Expected, Consequence, Source, Needs, check
		{"the queue has a dead-letter queue", "a redrive policy, or --dlq-url",
			"rejected messages cannot be dead-lettered",
			sqsGuide + "sqs-dead-letter-queues.html", nothing, deadLetters},
		{"Regions and accounts agree", "queues in one account, all in the clients' Region",
			"requests reach another queue or table of the same name, or are denied",
			sqsGuide + "sqs-queue-message-identifiers.html", nothing, place},
		{"key, time to live, no replica", "partition key id (S), TTL on the attribute of records, one Region",
			"with another key or an eventual replica names are not guarded; without time to live records stay for ever",
			developerGuide + "V2globaltables_HowItWorks.html", nothing, schema},
		{"the clocks agree", "this machine and DynamoDB differ by the skew at most",
			"leases go by DynamoDB's clock, up to five minutes off; correct this machine's clock",
			"https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/set-time.html", nothing, clockOf},
		{"statements in a batch", "our INSERT and UPDATE texts are accepted",
			"the store falls back to single writes, about 25 times as many calls; please report it",
			developerGuide + "ql-reference.multiplestatements.batching.html", nothing, statements},
		{"a lost condition in a batch", "ConditionalCheckFailed with the item; the others are executed",
			"without the item each conflict costs one more read; without the code a conflict counts as a failure",
			dynamoAPI + "API_BatchStatementRequest.html", nothing, condition},
		{"a second insert in a batch", "DuplicateItem; the others are executed",
			"a duplicate of a known name counts as a failure of the store",
			dynamoAPI + "API_BatchStatementError.html", nothing, duplicate},
		{"a lost condition alone", "ConditionalCheckFailedException with the item",
			"each conflict costs one more read",
			dynamoAPI + "API_PutItem.html", nothing, lone},
		{"a transaction's token", "the same transaction again succeeds, another one is refused",
			"handlers' own writes cannot be retried safely: do not use them",
			dynamoAPI + "API_TransactWriteItems.html", nothing, transaction},
		{"the list of names (optional)", "the index attention can be queried",
			"names that need attention cannot be listed; all else works",
			developerGuide + "GSI.html", nothing, index},
		{"a bad handle in a batch delete", "that entry fails, by the sender's fault",
			"one invalid receipt handle prevents the delete of nine other messages",
			sqsAPI + "API_DeleteMessageBatch.html", nothing, badDelete},
		{"a bad handle in a batch of visibility changes", "that entry fails, by the sender's fault",
			"one invalid receipt handle prevents the extension of nine other visibility timeouts",
			sqsAPI + "API_ChangeMessageVisibilityBatch.html", nothing, badVisibility},
		{"dead-letter send, visibility change, mixed delete", "the good entry succeeds, the bad one fails",
			"dead-lettered messages stay in the queue, or keep others there",
			sqsAPI + "API_SendMessageBatch.html", sending, deadLetter},
		{"a schedule can be made", "group and role are there, and the role may be passed",
			"messages cannot be delayed beyond 15 minutes, nor on a FIFO queue",
			schedulerAPI + "API_CreateSchedule.html", schedules, makes},
		{"a second schedule of a name", "ConflictException",
			"a message that is posted twice has two schedules; its name is still handled once",
			schedulerAPI + "API_CreateSchedule.html", schedules, makesTwice},
		{"a schedule reads back", "time and message as written",
			"another body under a scheduled name is not refused with 409",
			schedulerAPI + "API_GetSchedule.html", schedules, readsBack},
		{"a deleted schedule", "ResourceNotFoundException, by read and delete",
			"a cancelled message is shown as scheduled, or its second cancel is not answered with 409",
			schedulerAPI + "API_DeleteSchedule.html", schedules, isGone},
	}
}
