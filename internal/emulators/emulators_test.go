package emulators

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestServer(t *testing.T) {
	t.Run("DynamoDB answers", testDynamoDB)
	t.Run("SQS answers on loopback", testSQS)
	t.Run("shared within the binary", testShared)
	t.Run("endpoint of the environment", testEndpoint)
	t.Run("missing", testMissing)
	t.Run("ends at once", testEndsAtOnce)
	t.Run("killed process", testKilledProcess)
}

func testDynamoDB(t *testing.T) {
	if _, err := DynamoDBClient(t).ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
		t.Fatal(err)
	}
}

func testSQS(t *testing.T) {
	client := SQSClient(t)
	created, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("emulators-test")})
	if err != nil {
		t.Fatal(err)
	}
	if url := aws.ToString(created.QueueUrl); os.Getenv(Fauxqs.Env) == "" && !strings.Contains(url, "127.0.0.1") {
		t.Errorf("queue URL %q does not lead to 127.0.0.1", url)
	}
	if _, err := client.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: created.QueueUrl}); err != nil {
		t.Error(err)
	}
}

func testShared(t *testing.T) {
	if first, second := DynamoDB(t), DynamoDB(t); first != second {
		t.Errorf("two servers: %s and %s", first, second)
	}
}

func testEndpoint(t *testing.T) {
	t.Setenv(Dynoxide.Env, "http://127.0.0.1:1")
	t.Setenv(Fauxqs.Env, "http://127.0.0.1:2")
	if got := DynamoDB(t); got != "http://127.0.0.1:1" {
		t.Errorf("DynamoDB: %s", got)
	}
	if got := SQS(t); got != "http://127.0.0.1:2" {
		t.Errorf("SQS: %s", got)
	}
}

func testMissing(t *testing.T) {
	missing := Program{Name: "nothing", Env: "NOTHING_URL", files: []string{"node_modules/nothing"}}
	_, err := missing.cmd(t.Context(), 0, false)
	if err == nil || !strings.Contains(err.Error(), "make deps") || !strings.Contains(err.Error(), "NOTHING_URL") {
		t.Errorf("error %v names neither the command nor the variable", err)
	}
}

func testEndsAtOnce(t *testing.T) {
	failing := Program{Name: "failing", command: func(string, int, bool) (string, []string) {
		return "sh", []string{"-c", "echo no luck; exit 3"}
	}}
	_, err := startChild(failing)
	if err == nil || !strings.Contains(err.Error(), "no luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v lacks the output or the exit status", err)
	}
}

// TestHelperHoldsServers runs in a child process of the test below.
func TestHelperHoldsServers(t *testing.T) {
	if os.Getenv("EMULATORS_HELPER") == "" {
		return
	}
	os.Stdout.WriteString("endpoints " + DynamoDB(t) + " " + SQS(t) + "\n")
	select {}
}

func testKilledProcess(t *testing.T) {
	helper := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperHoldsServers$")
	helper.Env = append(os.Environ(), "EMULATORS_HELPER=1", Dynoxide.Env+"=", Fauxqs.Env+"=")
	stdout, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	endpoints := readEndpoints(t, stdout)
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait() // returns an error, because the process was killed
	for _, url := range endpoints {
		waitRefused(t, strings.TrimPrefix(url, "http://"))
	}
}
