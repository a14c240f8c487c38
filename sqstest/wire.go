package sqstest

// The types below are the inputs and outputs of the JSON protocol. A nil pointer is an absent
// member.

// request is implemented by every input. target returns the queue, as a URL, an ARN or a name, and
// the number of entries for the fault hook.
type request interface {
	target() (queue string, entries int)
}

// attribute is a message attribute, on the wire and in memory.
type attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

func (a attribute) text() string { return text(a.StringValue) }

// text returns the member, "" if it is absent.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// onQueue is embedded in the inputs that name one queue.
type onQueue struct{ QueueUrl string }

func (in onQueue) target() (string, int) { return in.QueueUrl, 1 }

type empty struct{}

type createQueueInput struct {
	QueueName  *string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

func (in createQueueInput) target() (string, int) { return text(in.QueueName), 1 }

type getQueueURLInput struct{ QueueName string }

func (in getQueueURLInput) target() (string, int) { return in.QueueName, 1 }

type queueURLOutput struct{ QueueUrl string }

type getQueueAttributesInput struct {
	onQueue
	AttributeNames []string
}

type getQueueAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

type setQueueAttributesInput struct {
	onQueue
	Attributes map[string]string
}

type listQueuesInput struct {
	QueueNamePrefix string
	MaxResults      *int
	NextToken       string
}

func (listQueuesInput) target() (string, int) { return "", 1 }

type listQueuesOutput struct {
	QueueUrls []string `json:",omitempty"`
	NextToken string   `json:",omitempty"`
}

type listSourcesInput struct {
	onQueue
	MaxResults *int
	NextToken  string
}

type listSourcesOutput struct {
	QueueUrls []string `json:"queueUrls"`
	NextToken string   `json:",omitempty"`
}

type tagQueueInput struct {
	onQueue
	Tags map[string]string
}

type untagQueueInput struct {
	onQueue
	TagKeys []string
}

type listQueueTagsOutput struct {
	Tags map[string]string `json:",omitempty"`
}

// outgoing has the members that SendMessage and the entries of SendMessageBatch share.
type outgoing struct {
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attribute
	MessageSystemAttributes map[string]attribute
	MessageDeduplicationId  *string
	MessageGroupId          *string
}

type sendMessageInput struct {
	onQueue
	outgoing
}

type accepted struct {
	MessageId                    string
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
	SequenceNumber               string `json:",omitempty"`
}

type sendEntry struct {
	ID string `json:"Id"`
	outgoing
}

func (e sendEntry) entryID() string { return e.ID }

type sendResult struct {
	ID string `json:"Id"`
	accepted
}

// batchInput is the input of the three batch operations.
type batchInput[E identified] struct {
	onQueue
	Entries []E
}

func (in batchInput[E]) target() (string, int) { return in.QueueUrl, len(in.Entries) }

type identified interface{ entryID() string }

type batchOutput[R any] struct {
	Successful []R           `json:",omitempty"`
	Failed     []failedEntry `json:",omitempty"`
}

type failedEntry struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string `json:",omitempty"`
}

// succeeded is the result of a batch entry without output.
type succeeded struct {
	ID string `json:"Id"`
}

type receiveMessageInput struct {
	onQueue
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	ReceiveRequestAttemptId     string
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

func (in receiveMessageInput) target() (string, int) {
	return in.QueueUrl, valueOr(in.MaxNumberOfMessages, 1)
}

type receiveMessageOutput struct {
	Messages []received `json:",omitempty"`
	takeBack func()
}

type received struct {
	MessageId              string
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string    `json:",omitempty"`
	MessageAttributes      map[string]attribute `json:",omitempty"`
	MD5OfMessageAttributes string               `json:",omitempty"`
}

type deleteMessageInput struct {
	onQueue
	ReceiptHandle string
}

type deleteEntry struct {
	ID            string `json:"Id"`
	ReceiptHandle string
}

func (e deleteEntry) entryID() string { return e.ID }

type changeVisibilityInput struct {
	onQueue
	ReceiptHandle     string
	VisibilityTimeout *int
}

type changeVisibilityEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

func (e changeVisibilityEntry) entryID() string { return e.ID }

type startMoveInput struct {
	SourceArn                    string
	DestinationArn               string
	MaxNumberOfMessagesPerSecond *int
}

func (in startMoveInput) target() (string, int) { return in.SourceArn, 1 }

type startMoveOutput struct{ TaskHandle string }

type listMovesInput struct {
	SourceArn  string
	MaxResults *int
}

func (in listMovesInput) target() (string, int) { return in.SourceArn, 1 }

type listMovesOutput struct{ Results []moveResult }

type moveResult struct {
	ApproximateNumberOfMessagesMoved  int64
	ApproximateNumberOfMessagesToMove *int64 `json:",omitempty"`
	DestinationArn                    string `json:",omitempty"`
	FailureReason                     string `json:",omitempty"`
	MaxNumberOfMessagesPerSecond      *int   `json:",omitempty"`
	SourceArn                         string
	StartedTimestamp                  int64
	Status                            string
	TaskHandle                        string `json:",omitempty"`
}

type cancelMoveInput struct{ TaskHandle string }

func (cancelMoveInput) target() (string, int) { return "", 1 }

type cancelMoveOutput struct {
	ApproximateNumberOfMessagesMoved int64
}

func valueOr(p *int, otherwise int) int {
	if p == nil {
		return otherwise
	}
	return *p
}
