package workercmd

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/internal/testutil/transcript"
	"github.com/sqsonce/sqsonce/sqstest"
)

// patience bounds every wait for a condition.
const patience = 2 * time.Minute

// program is a worker that runs in this process.
type program struct {
	stdout, stderr transcript.Buffer
	signals        chan os.Signal
	ended          chan struct{}
	code           int // valid after ended is closed
}

// start runs the worker with free ports. At the end of the test it gets two signals, so that it
// stops at once.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{signals: make(chan os.Signal, 2), ended: make(chan struct{})}
	args = append([]string{"--admin-addr", "127.0.0.1:0", "--log-format", "json", "--debug"}, handled(args)...)
	go func() {
		defer close(p.ended)
		p.code = run(context.WithoutCancel(t.Context()), args, &p.stdout, &p.stderr, p.signals)
	}()
	t.Cleanup(func() {
		for range 2 {
			select {
			case p.signals <- syscall.SIGTERM:
			default:
			}
		}
		<-p.ended
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// handled adds --handler log if the arguments set neither a target nor --local, because the worker
// needs a handler.
func handled(args []string) []string {
	for _, enough := range []string{"--local", "--target-url", "--handler"} {
		if slices.Contains(args, enough) {
			return args
		}
	}
	return append(slices.Clone(args), "--handler", logHandler)
}

// startLocal runs the worker with --local on free ports.
func startLocal(t *testing.T, args ...string) *program {
	t.Helper()
	return start(t, append([]string{"--local", "--addr", "127.0.0.1:0", "--queue-addr", "127.0.0.1:0"}, args...)...)
}

// wait fails the test unless done returns true in time.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(patience), time.NewTicker(5*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// exit waits for the end of the program and returns its exit code.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	wait(t, "end of the worker", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	return p.code
}

// printed waits for stdout to match and returns the first group.
func (p *program) printed(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	wait(t, "output that matches "+pattern, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("worker ended with %d:\n%s", p.code, p.stderr.String())
		default:
		}
		found = re.FindStringSubmatch(p.stdout.String())
		return found != nil
	})
	return found[1]
}

func (p *program) adminURL(t *testing.T) string {
	return p.printed(t, `admin\s+(?:at )?(http://[^/\s]+)`)
}
func (p *program) producerURL(t *testing.T) string {
	return p.printed(t, `producer API\s+(http://[^/\s]+)`)
}
func (p *program) queueURL(t *testing.T) string { return p.printed(t, `queue (http://[^\s)]+)`) }

// logged waits until the program has logged text n times.
func (p *program) logged(t *testing.T, text string, n int) {
	t.Helper()
	wait(t, fmt.Sprintf("%q in the log, %d times", text, n), func() bool {
		return strings.Count(p.stderr.String(), text) >= n
	})
}

// anySDK returns an SQS client like that of other programs: over TCP, with made-up credentials.
func anySDK(endpoint string) *sqs.Client {
	return sqs.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: testutil.Credentials("any", "any"),
	})
}

// outside is a queue and a table on servers outside the worker, which finds them by its
// environment.
type outside struct {
	sqs      *sqs.Client
	queue    *sqstest.Server
	queueURL string
	dlqURL   string
	dynamo   *dynamodb.Client
	table    string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{queue: sqstest.New(sqstest.Config{}), dynamo: emulators.DynamoDBClient(t), table: "worker-" + unique(t)}
	srv := httptest.NewServer(o.queue)
	t.Cleanup(srv.Close)
	o.queue.SetBaseURL(srv.URL)
	o.sqs = anySDK(srv.URL)
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL_SQS": srv.URL, "AWS_ENDPOINT_URL_DYNAMODB": emulators.DynamoDB(t),
		"AWS_REGION": emulators.Region, "AWS_ACCESS_KEY_ID": emulators.AccessKey, "AWS_SECRET_ACCESS_KEY": emulators.SecretKey,
	} {
		t.Setenv(key, value)
	}
	var err error
	if o.queueURL, o.dlqURL, err = awsenv.CreateQueue(t.Context(), o.sqs, "jobs"); err != nil {
		t.Fatal(err)
	}
	return o
}

// unique returns a name that no other test uses on a shared server.
func unique(t *testing.T) string {
	return regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "-") + fmt.Sprint(time.Now().UnixNano())
}

// args returns the flags for this queue and table.
func (o *outside) args(more ...string) []string {
	return append([]string{"--queue-url", o.queueURL, "--table", o.table, "--create"}, more...)
}

// send sends a message for each body.
func send(t *testing.T, client *sqs.Client, queueURL string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
}

// counts returns how many messages of a queue are visible and in flight.
func counts(t *testing.T, client *sqs.Client, queueURL string) (visible, inFlight string) {
	t.Helper()
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

// waitCounts waits until a queue has these numbers of messages.
func waitCounts(t *testing.T, client *sqs.Client, queueURL, visible, inFlight string) {
	t.Helper()
	wait(t, fmt.Sprintf("%s visible and %s in flight in %s", visible, inFlight, queueURL), func() bool {
		v, f := counts(t, client, queueURL)
		return v == visible && f == inFlight
	})
}

func body(name string) string { return fmt.Sprintf(`{"name":%q}`, name) }

// shown returns c with the names of its fields.
func shown(c queueSettings) string {
	return strings.NewReplacer("{", "", "}", " ").Replace(fmt.Sprintf("%+v", c))
}

func equal(a, b queueSettings) bool { return shown(a) == shown(b) }

// sendWith sends a message with attributes.
func sendWith(t *testing.T, client *sqs.Client, queueURL, text string, attributes map[string]string) {
	t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: &text, MessageAttributes: make(map[string]types.MessageAttributeValue)}
	for name, value := range attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if _, err := client.SendMessage(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}
