package infra

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestWorkerFile(t *testing.T) {
	t.Run("rights", testRightsOnSeveralQueues)
	t.Run("variables", testVariablesOfSeveralQueues)
	t.Run("dashboard", testDashboardOfSeveralQueues)
	t.Run("problems", testProblemsOfAWorkerFile)
	t.Run("aliases", testAliasesOfAWorkerFile)
	t.Run("guide", testWorkerFileOfTheGuide)
}

// The worker may do on the other queues and tables what it may on the stack's own.
func testRightsOnSeveralQueues(t *testing.T) {
	b := synthesised(t, "several")
	role, places := b.template.taskRole(t, "worker"), b.places()
	for place, actions := range map[string][]string{
		"main": consumeActions, "queue mails": consumeActions, "queue bills.fifo": consumeActions,
		"dead": deadLetterActions, "dead mails": deadLetterActions, "dead bills.fifo": deadLetterActions,
		"table": recordActions, "table bills": recordActions, "index bills": listActions,
	} {
		for _, action := range actions {
			if !may(role, action, places[place]) {
				t.Errorf("the worker may not %s on %s: %s", action, place, flat(role))
			}
		}
	}
	for _, place := range []string{"queue mails", "queue bills.fifo"} {
		if may(role, "sqs:SendMessage", places[place]) {
			t.Errorf("the worker may send to %s", place)
		}
	}
}

// The stack's own queue stands in the file, and no variable gives its address to the others.
func testVariablesOfSeveralQueues(t *testing.T) {
	b := synthesised(t, "several")
	variables := b.variables(t, "worker")
	for _, name := range []string{"SQSONCE_QUEUE_URL", "SQSONCE_DLQ_URL", "SQSONCE_SCOPE"} {
		if value, set := variables[name]; set {
			t.Errorf("%s is %s", name, value)
		}
	}
	var got struct {
		Slots  int
		Queues []map[string]string
	}
	if err := yaml.Unmarshal([]byte(variables[fileVariable]), &got); err != nil {
		t.Fatalf("%v:\n%s", err, variables[fileVariable])
	}
	const host = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
	if got.Slots != 40 || len(got.Queues) != 3 {
		t.Fatalf("the file is %+v", got)
	}
	for i, want := range []map[string]string{
		{"queue-url": host + "several", "dlq-url": host + "several-dlq", "scope": "several", "key": "order.id", "weight": "3"},
		{"queue-url": host + "mails", "target-url": "https://target.example.com/mails", "on-unknown": "hold"},
		{"queue-url": host + "bills.fifo", "table": "bills", "scope": "2026-01-01", "concurrency": "4"},
	} {
		for field, value := range want {
			if got.Queues[i][field] != value {
				t.Errorf("queue %d: %s is %q, want %q", i+1, field, got.Queues[i][field], value)
			}
		}
	}
}

func testDashboardOfSeveralQueues(t *testing.T) {
	body := flat(synthesised(t, "several").template.only(t, "AWS::CloudWatch::Dashboard").Properties["DashboardBody"])
	for _, queue := range []string{"invoices", "mails", "bills.fifo"} {
		if !strings.Contains(body, `"sqsonce","Workers","Queue","`+queue+`"`) {
			t.Errorf("%s is not in the dashboard", queue)
		}
	}
}

// The file that docs/several-queues.md shows is right.
func testWorkerFileOfTheGuide(t *testing.T) {
	guide, err := os.ReadFile("docs/several-queues.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(guide), "## Deploy on AWS")
	_, block, _ := strings.Cut(section, "```yaml\n")
	text, _, found := strings.Cut(block, "```")
	path := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || !found {
		t.Fatalf("no file in the guide: %v", err)
	}
	c, err := ReadConfig(map[string]any{"demo": true, "workerConfig": path})
	if err != nil {
		t.Fatal(err)
	}
	f, err := workerFileOf(c.Worker.File)
	if err != nil || len(f.queues) != 2 || len(f.others()) != 1 || f.others()[0].table != "mails" {
		t.Errorf("the file has %+v, %v", f.others(), err)
	}
}

// Two queues, of which the second has values of the first.
const mailsAndBills = `  - queue-url: https://sqs.eu-west-1.amazonaws.com/123456789012/mails
    dlq-url: &dead https://sqs.eu-west-1.amazonaws.com/123456789012/dead
    table: &shared one
  - queue-url: https://sqs.eu-west-1.amazonaws.com/123456789012/bills
    dlq-url: *dead
    table: *shared
`

// An alias stands for the value of its anchor, in the rights and in the file for the worker.
func testAliasesOfAWorkerFile(t *testing.T) {
	for name, text := range map[string]string{
		"values":      "queues:\n  - key: a\n" + mailsAndBills,
		"the list":    "x: &q\n  - key: a\n" + mailsAndBills + "queues: *q\n",
		"all entries": "x:\n  - &a {key: a}\n" + strings.Replace(mailsAndBills, "- queue", "- &b\n    queue", 1) + "queues: [*a, *b]\n",
	} {
		f, err := workerFileOf(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, q := range f.others() {
			if q.dlqARN != "arn:aws:sqs:eu-west-1:123456789012:dead" || q.table != "one" {
				t.Errorf("%s: a queue is %+v", name, q)
			}
		}
		if len(f.others()) == 0 || len(f.items) != len(f.queues) || len(f.items[0].Content) != 2 {
			t.Errorf("%s: %d entries of %d queues", name, len(f.items), len(f.queues))
			continue
		}
		f.items[0].Content[1].Value = "changed"
		if rest, err := yaml.Marshal(&f.document); err != nil || strings.Count(string(rest), "changed") != 1 {
			t.Errorf("%s: %v, the file is\n%s", name, err, rest)
		}
	}
}

func testProblemsOfAWorkerFile(t *testing.T) {
	const own = "queues:\n  - key: a\n"
	const mails = "  - queue-url: https://sqs.eu-west-1.amazonaws.com/123456789012/mails\n    dlq-url: https://sqs.eu-west-1.amazonaws.com/123456789012/dead\n"
	for name, tc := range map[string]struct {
		text    string
		context map[string]any
		want    []string
	}{
		"right":              {own + mails, nil, nil},
		"in China":           {own + strings.NewReplacer("eu-west-1", "cn-north-1", "amazonaws.com/", "amazonaws.com.cn/").Replace(mails), nil, nil},
		"empty":              {"", nil, []string{"workerConfig "}},
		"only a comment":     {"# none\n", nil, []string{"workerConfig: not a file of worker --config: it is empty"}},
		"no YAML":            {"queues: [", nil, []string{"workerConfig: not a file of worker --config: yaml"}},
		"no queues":          {"slots: 3", nil, []string{"workerConfig: 0 queues without queue-url"}},
		"a text":             {"queues", nil, []string{"workerConfig: not a file"}},
		"none of its own":    {"queues:\n" + mails, nil, []string{"workerConfig: 0 queues without queue-url"}},
		"two of its own":     {own + "  - key: b\n", nil, []string{"workerConfig: 2 queues without queue-url"}},
		"a table of its own": {own + "    table: x\n", nil, []string{`workerConfig: queue 1: table "x": the stack sets it`}},
		"no address":         {own + strings.Replace(mails, "https:", "http:", 1), nil, []string{`workerConfig: queue 2: queue-url "http://sqs`}},
		"no dead letters":    {own + mails[:strings.Index(mails, "    dlq-url")], nil, []string{`workerConfig: queue 2: dlq-url "": is required`}},
		"no table":           {own + mails + "    table: a/b\n", nil, []string{`workerConfig: queue 2: table "a/b"`}},
		"a file":             {own + mails + "    target-secret-file: /x\n", nil, []string{"workerConfig: queue 2: target-secret-file: the image has no files"}},
		"a secret":           {own + mails + "    target-token: abc\n", nil, []string{"workerConfig: queue 2: target-token: would be readable"}},
		"no fields":          {own + "  -\n", nil, []string{"workerConfig: queue 2: must have fields"}},
		"only null":          {"queues: [null]\n", nil, []string{"workerConfig: queue 1: must have fields", "workerConfig: 0 queues without"}},
		"aliases":            {own + mailsAndBills, nil, nil},
		"a list elsewhere":   {"x: &q [{key: a}]\nqueues: *q\n", nil, nil},
		"a list in itself":   {"x: &q [*q]\nqueues: [{key: a}]\n", nil, []string{"workerConfig: not a file of worker --config: yaml: anchor 'q' value contains itself"}},
		"fields of a merge":  {own + "  - <<: {table: x}\n", nil, []string{"workerConfig: queue 2: <<: unknown field"}},
		"a merged list":      {"<<: {queues: [{key: a}]}\n", nil, []string{"workerConfig: not a file of worker --config: no list of queues"}},
		"keys of others":     {own + mails, map[string]any{"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0b1c"}, nil},
		"keys of none":       {own, map[string]any{"queueKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0b1c"}, []string{"queueKeyArns: apply"}},
		"to none":            {own + mails, map[string]any{"minTasks": 0}, []string{"minTasks 0: scaling counts"}},
		"a variable":         {own, map[string]any{"workerEnv": `{"SQSONCE_CONFIG_TEXT":"x"}`}, []string{"workerEnv SQSONCE_CONFIG_TEXT"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "worker.yaml")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadConfig(with(map[string]any{"demo": true, "workerConfig": path}, tc.context))
			var problems []string
			if e, ok := errors.AsType[*ConfigError](err); ok {
				problems = e.Problems
			}
			for _, want := range tc.want {
				if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, want) }) {
					t.Errorf("no problem begins with %q: %q", want, problems)
				}
			}
			if len(problems) > len(tc.want) {
				t.Errorf("problems are %q, want %q", problems, tc.want)
			}
		})
	}
	_, err := ReadConfig(map[string]any{"demo": true, "workerConfig": "none.yaml"})
	if err == nil || !strings.Contains(err.Error(), "workerConfig none.yaml: open none.yaml") {
		t.Errorf("error is %v", err)
	}
}
