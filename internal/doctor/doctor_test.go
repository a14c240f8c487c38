package doctor_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/doctor"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/internal/schedule/scheduletest"
)

// proxy is between the doctor and the servers and changes answers.
type proxy struct {
	base interface {
		Do(req *http.Request) (*http.Response, error)
	}
	// answer changes an answer; op is like "SQS.SendMessageBatch", and "Scheduler.POST".
	answer func(op, request, answer string) (status int, body string)
	date   time.Duration // added to the Date of answers
}

func (p *proxy) Do(r *http.Request) (*http.Response, error) {
	var request []byte
	if r.Body != nil { // of a schedule's GET and DELETE
		var err error
		if request, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	sent := r.Clone(r.Context())
	sent.Body = io.NopCloser(bytes.NewReader(request))
	resp, err := p.base.Do(sent)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	service, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if strings.HasPrefix(r.URL.Path, "/schedules/") {
		service, op = "Scheduler", r.Method
	}
	if service == "DynamoDB_20120810" {
		service = "DynamoDB"
	}
	status, text := p.answer(strings.TrimPrefix(service, "Amazon")+"."+op, string(request), string(body))
	if status != 0 {
		resp.StatusCode, body = status, []byte(text)
		resp.Header.Del("X-Amz-Crc32")
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		resp.Header.Set("Date", date.Add(p.date).Format(http.TimeFormat))
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return resp, nil
}

// ground is the queue and the table of a test on the local servers.
type ground struct {
	cfg      aws.Config
	proxy    *proxy
	queueURL string
	table    string
	later    *scheduletest.Server
}

func newGround(t *testing.T) ground {
	t.Helper()
	name := fmt.Sprintf("doctor-%d", time.Now().UnixNano())
	queueURL, _, err := awsenv.CreateQueue(t.Context(), emulators.SQSClient(t), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamo.CreateTable(t.Context(), emulators.DynamoDBClient(t), name); err != nil {
		t.Fatal(err)
	}
	cfg := emulators.Config("")
	p := &proxy{base: http.DefaultClient, answer: func(string, string, string) (int, string) { return 0, "" }}
	cfg.HTTPClient = p
	return ground{cfg, p, queueURL, name, scheduletest.New(t)}
}

func (g ground) run(t *testing.T, send bool) map[string]doctor.Finding {
	t.Helper()
	queue := sqs.NewFromConfig(g.cfg, func(o *sqs.Options) { o.BaseEndpoint = aws.String(emulators.SQS(t)) })
	table := dynamodb.NewFromConfig(g.cfg, func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(emulators.DynamoDB(t)) })
	later := scheduler.NewFromConfig(g.cfg, func(o *scheduler.Options) { o.BaseEndpoint = &g.later.URL; o.RetryMaxAttempts = 1 })
	schedules, err := schedule.New(later, schedule.Config{RoleARN: "arn:aws:iam::123456789012:role/schedules"})
	if err != nil {
		t.Fatal(err)
	}
	findings, err := doctor.Run(t.Context(), doctor.Config{
		Schedules: schedules,
		Queue:     queue, Table: table, Region: emulators.Region, QueueURL: g.queueURL, Name: g.table, Skew: 2 * time.Second, Send: send,
	})
	if err != nil {
		t.Errorf("left behind: %v", err)
	}
	found := make(map[string]doctor.Finding)
	for _, f := range findings {
		found[f.Name] = f
	}
	return found
}

// deviations are the assumptions that do not hold on the local servers, and the finding.
var deviations = map[string]string{
	"a lost condition in a batch":                       "without the item",              // dynoxide
	"Regions and accounts agree":                        "arn:aws:dynamodb:dynoxide:",    // dynoxide
	"a bad handle in a batch delete":                    "0 entries failed, 1 succeeded", // fauxqs
	"dead-letter send, visibility change, mixed delete": "0 entries failed, 2 succeeded", // fauxqs
}

// mend changes answers of the local servers to those of AWS.
func mend(op, request, answer string) (int, string) {
	switch {
	case op == "DynamoDB.DescribeTable":
		return 200, strings.ReplaceAll(answer, "arn:aws:dynamodb:dynoxide:", "arn:aws:dynamodb:us-east-1:")
	case op == "DynamoDB.BatchExecuteStatement" && strings.Contains(answer, `"ConditionalCheckFailed"`):
		return 200, strings.Replace(answer, `"ConditionalCheckFailed"`, `"ConditionalCheckFailed","Item":{"id":{"S":"x"}}`, 1)
	case op == "SQS.DeleteMessageBatch":
		// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_BatchResultErrorEntry.html
		good := ""
		if strings.Contains(request, `"good"`) {
			good = `{"Id":"good"}`
		}
		return 200, `{"Successful":[` + good + `],"Failed":[{"Id":"bad","Code":"ReceiptHandleIsInvalid","SenderFault":true}]}`
	default:
		return 0, ""
	}
}

func TestRun_localServers(t *testing.T) {
	for name, f := range newGround(t).run(t, true) {
		if want, deviates := deviations[name]; f.Holds == deviates || !strings.Contains(f.Seen, want) {
			t.Errorf("%s: holds %v, seen %s", name, f.Holds, f.Seen)
		}
	}
}

func TestRun(t *testing.T) {
	g := newGround(t)
	g.proxy.answer = mend
	for name, f := range g.run(t, true) {
		if !f.Holds {
			t.Errorf("%s: seen %s", name, f.Seen)
		}
		if f.Expected == "" || f.Consequence == "" || !strings.HasPrefix(f.Source, "https://docs.aws.amazon.com/") {
			t.Errorf("%s lacks something: %+v", name, f)
		}
	}
	out, err := emulators.DynamoDBClient(t).Scan(t.Context(), &dynamodb.ScanInput{TableName: &g.table})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Items) != 0 {
		t.Errorf("records are left: %v", out.Items)
	}
	if left := g.later.Schedules(); len(left) != 0 {
		t.Errorf("schedules are left: %v", left)
	}
}

// Without Config.Send the run sends no message.
func TestRun_withoutSending(t *testing.T) {
	g := newGround(t)
	g.proxy.answer = func(op, _, _ string) (int, string) {
		if strings.HasPrefix(op, "SQS.Send") || op == "SQS.ReceiveMessage" {
			t.Errorf("%s was called", op)
		}
		return 0, ""
	}
	skipped := 0
	for _, f := range g.run(t, false) {
		if f.Skipped {
			skipped++
		}
	}
	if skipped != 1 {
		t.Errorf("%d checks were skipped", skipped)
	}
}

// A proxy breaks each assumption in turn. The finding names that assumption and no other.
func TestRun_broken(t *testing.T) {
	breakers := breakers()
	for _, a := range doctor.Assumptions() {
		if breakers[a.Name] == nil {
			t.Errorf("nothing breaks %q", a.Name)
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			g := newGround(t)
			breakers[a.Name](g.proxy)
			found := g.run(t, true)
			if left := g.later.Schedules(); len(left) != 0 {
				t.Errorf("schedules are left: %v", left)
			}
			if f := found[a.Name]; f.Holds || f.Skipped || f.Seen == "" {
				t.Errorf("holds %v, seen %q", f.Holds, f.Seen)
			}
			var findings []doctor.Finding
			for name, f := range found {
				findings = append(findings, f)
				// Without a dead-letter queue the check that sends to it fails too.
				if also := a.Name == "the queue has a dead-letter queue"; !f.Holds && name != a.Name && !also {
					t.Errorf("%s: seen %s", name, f.Seen)
				}
			}
			var told strings.Builder
			if err := doctor.Print(&told, findings); err != nil || doctor.Sick(findings) == 0 ||
				!strings.Contains(told.String(), "NO  "+a.Name) || !strings.Contains(told.String(), a.Consequence) {
				t.Errorf("told, %v:\n%s", err, &told)
			}
		})
	}
}

// replace changes the answer to an operation whose request contains a text.
func replace(op, request string, with func(answer string) (int, string)) func(*proxy) {
	return func(p *proxy) {
		p.answer = func(o, r, answer string) (int, string) {
			status, mended := mend(o, r, answer)
			if o == op && strings.Contains(r, request) {
				if status != 0 {
					answer = mended
				}
				return with(answer)
			}
			return status, mended
		}
	}
}

// refuseWith changes an answer to an error.
func refuseWith(code string) func(string) (int, string) {
	return func(string) (int, string) { return 400, fmt.Sprintf(`{"__type":%q,"message":"broken"}`, code) }
}

// change changes a part of an answer.
func change(old, with string) func(string) (int, string) {
	return func(answer string) (int, string) { return 200, strings.Replace(answer, old, with, 1) }
}

// membersFail changes the answers to the members of a batch to errors.
func membersFail(code string) func(string) (int, string) {
	return func(string) (int, string) {
		member := fmt.Sprintf(`{"Error":{"Code":%q,"Message":"broken"}}`, code)
		return 200, `{"Responses":[` + member + `,` + member + `]}`
	}
}

// breakers returns for each assumption a change of the proxy that breaks it.
func breakers() map[string]func(*proxy) {
	const batch = "DynamoDB.BatchExecuteStatement"
	return map[string]func(*proxy){
		"the queue has a dead-letter queue": replace("SQS.GetQueueAttributes", "RedrivePolicy", func(string) (int, string) { return 200, `{"Attributes":{}}` }),
		"Regions and accounts agree":        replace("SQS.GetQueueAttributes", "QueueArn", change(":us-east-1:", ":eu-west-1:")),
		"key, time to live, no replica":     replace("DynamoDB.DescribeTable", "", change(`"TableName"`, `"GlobalTableVersion":"2019.11.21","TableName"`)),
		"the clocks agree":                  func(p *proxy) { p.answer, p.date = mend, time.Minute },
		"statements in a batch":             replace(batch, "#other", membersFail("ValidationError")),
		"a lost condition in a batch":       replace(batch, "#loser", membersFail("InternalServerError")),
		"a second insert in a batch":        replace(batch, "#beside", membersFail("ConditionalCheckFailed")),
		"a lost condition alone":            replace("DynamoDB.PutItem", "attribute_not_exists(id)", refuseWith("InternalServerError")),
		"a transaction's token":             replace("DynamoDB.TransactWriteItems", `"b"`, func(string) (int, string) { return 200, `{}` }),
		"the list of names (optional)":      replace("DynamoDB.Query", "", refuseWith("ValidationException")),
		"a bad handle in a batch delete":    replace("SQS.DeleteMessageBatch", `[{"Id":"bad"`, refuseWith("com.amazonaws.sqs#ReceiptHandleIsInvalid")),
		"a bad handle in a batch of visibility changes": replace("SQS.ChangeMessageVisibilityBatch", "", func(string) (int, string) {
			return 200, `{"Successful":[{"Id":"bad"}],"Failed":[]}`
		}),
		"dead-letter send, visibility change, mixed delete": replace("SQS.SendMessageBatch", "", refuseWith("com.amazonaws.sqs#UnsupportedOperation")),
		"a schedule can be made":                            replace("Scheduler.POST", "makes", refuseWith("ValidationException")),
		"a second schedule of a name":                       replace("Scheduler.POST", "twice", func(string) (int, string) { return 200, `{"ScheduleArn":"arn"}` }),
		"a schedule reads back": replace("Scheduler.GET", "", func(answer string) (int, string) {
			if !strings.Contains(answer, "MessageBody") { // it is gone
				return 0, ""
			}
			return 200, strings.Replace(answer, "MessageBody", "Another", 1)
		}),
		"a deleted schedule": func(p *proxy) {
			p.answer = func(op, request, answer string) (int, string) {
				if op == "Scheduler.DELETE" && strings.Contains(answer, "does not exist") {
					return 200, `{}`
				}
				return mend(op, request, answer)
			}
		},
	}
}
