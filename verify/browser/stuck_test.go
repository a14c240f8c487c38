//go:build browser

package browser

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// The console program on the emulators, with three workers and 10,000 names of all statuses, finds,
// filters, and settles fifty names at once.
func TestProducerConsole(t *testing.T) {
	const name, count = "console-names", 10_000
	queue := sqs.NewFromConfig(emulators.Config(emulators.SQS(t)))
	url, _, err := awsenv.CreateQueue(t.Context(), queue, name)
	if err != nil {
		t.Fatal(err)
	}
	fillTable(t, name, count)
	environment := append(os.Environ(), "AWS_ENDPOINT_URL_SQS="+emulators.SQS(t), "AWS_ENDPOINT_URL_DYNAMODB="+emulators.DynamoDB(t),
		"AWS_REGION="+emulators.Region, "AWS_ACCESS_KEY_ID="+emulators.AccessKey, "AWS_SECRET_ACCESS_KEY="+emulators.SecretKey)
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/worker", "./cmd/producer")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	var workers []string
	for range 3 {
		workers = append(workers, start(t, environment, bin+"/worker", "--queue-url", url, "--table", name, "--handler", "log", "--admin-addr", "127.0.0.1:0"))
	}
	address := start(t, environment, bin+"/producer", "console", "--queue-url", url, "--table", name, "--addr", "127.0.0.1:0", "--workers", strings.Join(workers, ","))

	p := open(t, address)
	p.until("the first page is there", `document.querySelectorAll('#names-table tbody tr').length === 100`)
	p.shoot("all")
	p.axe("stuck names")
	p.click("#status-rejected")
	p.click("#status-retrying")
	p.until("only UNKNOWN names are listed", `[...document.querySelectorAll('#names-table tbody tr')].every(r => r.cells[2].textContent === 'UNKNOWN')`)
	p.click("#names-next")
	p.until("the second page is there", `document.querySelector('#names-list .note').textContent.startsWith('Page 2, 100 names')`)
	eval[bool](p, `(() => { const f = document.getElementById('names-prefix'); f.value = 'order-00'; f.dispatchEvent(new Event('change')); return true })()`)
	p.until("they are found by their beginning", `(rows => rows.length === 25 && rows.every(r => r.cells[1].textContent.startsWith('order-00')))([...document.querySelectorAll('#names-table tbody tr')])`)
	p.shoot("filtered")
	eval[bool](p, `(() => { const f = document.getElementById('names-prefix'); f.value = 'order-0'; f.dispatchEvent(new Event('change')); return true })()`)
	p.until("more of them", `document.querySelectorAll('#names-table tbody tr').length === 100`)
	eval[bool](p, `([...document.querySelectorAll('#names-table tbody input')].slice(0, 50).forEach(b => b.click()), true)`)
	p.until("fifty are chosen", `document.getElementById('names-chosen').textContent === '50 chosen'`)
	p.click("#settle-completed")
	p.until("the preview says so", `document.getElementById('ask').open && document.getElementById('ask-text').textContent.startsWith('Each of 50 names')`)
	p.shoot("preview")
	p.click("#ask-yes")
	p.until("they are settled", `document.getElementById('names-report').textContent === 'completed: 50 of 50 names.'`)
	p.shoot("settled")
	p.goTo("#/workers")
	p.until("the workers' figures are there", `document.querySelectorAll('#workers-table tbody tr').length === 3 && [...document.querySelectorAll('#workers-table tbody tr')].every(r => r.cells[1].textContent === 'running')`)
	p.shoot("workers")
}

// fillTable creates a table of names, a quarter in each status.
func fillTable(t *testing.T, name string, count int) {
	t.Helper()
	client := emulators.DynamoDBClient(t)
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	store, err := dynamo.New(client, dynamo.Config{Table: name, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	terms := protocol.Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: 720 * time.Hour, MaxAttempts: 5}
	owner := protocol.Token{1}
	var group errgroup.Group
	group.SetLimit(100)
	for i := range count {
		group.Go(func() error {
			order := fmt.Sprintf("order-%04d", i)
			at := time.Now().Add(-time.Duration(i) * time.Second)
			r, _ := protocol.Step(protocol.Record{}, protocol.Claim{Now: at, Owner: owner, Terms: terms, ID: protocol.RecordID(name, order), Name: order, MessageID: "m"})
			var end protocol.Event = protocol.Complete{Now: at, Owner: owner, Terms: terms, Result: []byte("{}")}
			if kind := i % 4; kind < 3 {
				end = protocol.Fail{Now: at, Owner: owner, Terms: terms, Kind: []protocol.FailKind{protocol.FailUnknown, protocol.FailPermanent, protocol.FailRetryable}[kind], Error: "gateway answered 502"}
			}
			r, _ = protocol.Step(r, end)
			return store.Swap(t.Context(), 0, r)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// start runs a program until the test ends, and returns the address that it prints.
func start(t *testing.T, environment []string, program string, args ...string) (address string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = environment
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	found := regexp.MustCompile(`(?:admin|console) at (http://\S+)/`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("%s printed %q: %v", program, line, err)
	}
	return found[1]
}
