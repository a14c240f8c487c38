package producercmd

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/producerapi"
)

func TestLs(t *testing.T) {
	t.Run("over HTTP", func(t *testing.T) { testLs(t, localRig(t)) })
	t.Run("table without the index", testLsWithoutIndex)
}

func testLs(t *testing.T, r *rig) {
	r.hold = true
	r.fail = func(name string) error {
		switch {
		case strings.HasPrefix(name, "bad"):
			return errBad
		case strings.HasPrefix(name, "lost"):
			return unknownOutcome{errors.New("the connection broke")}
		}
		return nil
	}
	r.work(1)
	r.do("ls").want(0).says("no names found")
	for _, name := range []string{"bad-1", "bad-2", "lost-1", "good"} {
		r.do("send", "--name", name, "--wait", "20s")
	}
	r.do("ls").want(0).says("UNKNOWN", "lost-1", "REJECTED", "bad-1", "bad-2", "no such customer", "3 names")
	if got := r.do("ls", "--status", "rejected", "--prefix", "bad-").want(0).out; strings.Contains(got, "lost") || !strings.Contains(got, "2 names") {
		t.Errorf("the list is\n%s", got)
	}
	r.do("ls", "--limit", "1").want(0).says("1 name; there are more")
	r.do("ls", "--older", "1h").want(0).says("no names found")
	if got := decode[producerapi.NameList](r.do("ls", "--limit", "0", "--json").want(0)); len(got.Names) != 3 || got.Names[0].Name != "lost-1" {
		t.Errorf("the list is %+v", got)
	}
}

func testLsWithoutIndex(t *testing.T) {
	r := realRig(t, "producer-ls-plain")
	const table = "producer-ls-no-index"
	client := emulators.DynamoDBClient(t)
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(table), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(dynamo.AttrID), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(dynamo.AttrID), KeyType: types.KeyTypeHash}},
	}); err != nil {
		t.Fatal(err)
	}
	s, err := dynamo.New(client, dynamo.Config{Table: table, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	producer(t, "", "ls", "--queue-url", r.queueURL, "--table", table, "--scope", "orders").want(1).says(dynamo.IndexAttention, table)
}

func TestSettle(t *testing.T) {
	t.Parallel()
	r := localRig(t)
	r.hold = true
	r.fail = func(string) error { return unknownOutcome{errors.New("the connection broke")} }
	r.work(4)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("lost %d", i))
	}
	var messages strings.Builder
	for _, name := range names {
		fmt.Fprintf(&messages, "{\"name\":%q}\n", name)
	}
	producer(t, messages.String(), append([]string{"send"}, r.backend...)...).want(0)
	r.waitFor(func() bool {
		return len(decode[producerapi.NameList](r.do("ls", "--limit", "0", "--json").want(0)).Names) == 50
	})
	stdin := strings.Join(names, "\n") + "\nnever\n"
	settle := func(args ...string) result { return producer(t, stdin, append(args, r.backend...)...) }
	settle("resolve", "-", "--completed", "--preview").want(1).says("never", "nothing is known of it", "completed: would be 50 of 51 names")
	settle("resolve", "-", "--completed", "--result", `{"by":"hand"}`).want(1).says("completed: 50 of 51 names", "1 name not changed")
	r.do("ls").want(0).says("no names found")
	r.do("status", names[7]).want(0).says("COMPLETED", `{"by":"hand"}`, "last verb", "resolve by "+operator())
	report := decode[producerapi.NameReport](r.do("forget", names[0], names[1], "--no-wait", "--json").want(0))
	if report.Done != 2 || len(report.Names) != 2 {
		t.Errorf("report is %+v", report)
	}
	r.do("status", names[0]).want(1)
}
