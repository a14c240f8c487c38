package workercmd

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// writeFile writes a file of queues and returns its path.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fileSettings reads a valid file of queues.
func fileSettings(t *testing.T, text string, args ...string) config {
	t.Helper()
	var out bytes.Buffer
	got, err := parse(append([]string{"--config", writeFile(t, text)}, args...), &out, &out)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	c, ok := got.(config)
	if !ok {
		t.Fatalf("settings are a %T", got)
	}
	return c
}

// The text of a file gives the settings of the file.
func TestConfigText(t *testing.T) {
	want := fileSettings(t, twoQueues, "--table", "names")
	var out bytes.Buffer
	t.Setenv("SQSONCE_CONFIG_TEXT", twoQueues)
	got, err := parse([]string{"--table", "names"}, &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, any(want)) {
		t.Errorf("settings are %+v, of the file %+v", got, want)
	}
	for name, tc := range map[string]struct {
		text string
		args []string
		want string
	}{
		"a line":         {"slots: 0\n" + twoQueues[strings.Index(twoQueues, "queues:"):], nil, `--config-text:1: slots "0": must be`},
		"a file as well": {twoQueues, []string{"--config", "worker.yaml"}, `--config "worker.yaml": --config-text is set, too`},
		"local":          {twoQueues, []string{"--local"}, "--local has its own queue: leave out --config-text, or --local"},
		"a queue":        {twoQueues, []string{"--queue-url", "http://h/0/x"}, "--queue-url http://h/0/x: cannot be used with --config-text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SQSONCE_CONFIG_TEXT", tc.text)
			_, err := parse(append([]string{"--table", "names"}, tc.args...), &out, &out)
			if awsenv.Exit(err) != 2 || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %s", err, tc.want)
			}
		})
	}
}

const twoQueues = `# two queues
slots: 30
queues:
  - queue-url: http://127.0.0.1:1/0/orders
    target-url: http://127.0.0.1:2/orders
    key: order.id
    weight: 2
    lease: 20s
    permanent-statuses: [400, 410]
    path-prefix: ["/a,b", /c]
    sqsd: true
  - queue-url: http://127.0.0.1:1/0/mails.fifo
    handler: log
    table: mails
    permanent-statuses: []
  - {queue-url: "http://127.0.0.1:1/0/bills", handler: log, concurrency: 4}
`

func TestReadConfig(t *testing.T) {
	t.Setenv("SQSONCE_WINDOW", "48h")
	c := fileSettings(t, twoQueues, "--table", "names", "--lease", "25s", "--admin-addr", "127.0.0.1:7")
	if len(c.Queues) != 3 || c.Slots != 30 || c.AdminAddr != "127.0.0.1:7" {
		t.Fatalf("settings are %+v", c)
	}
	orders, mails, bills := c.queues()[0], c.queues()[1], c.queues()[2]
	for name, wrong := range map[string]bool{
		"orders: own settings":          orders.Key != "order.id" || orders.Lease != 20*time.Second || orders.TargetURL != "http://127.0.0.1:2/orders",
		"orders: statuses":              len(orders.PermanentStatuses) != 2 || orders.PermanentStatuses[1] != 410,
		"orders: prefixes":              len(orders.PathPrefix) != 2 || orders.PathPrefix[0] != "/a,b" || orders.PathPrefix[1] != "/c",
		"orders: preset of --sqsd":      !orders.Sqsd || orders.TargetTimeout != sqsdTimeout,
		"orders: share":                 orders.Weight != 2 || orders.Concurrency != 20,
		"orders: table of the flag":     orders.Table != "names",
		"mails: lease of the flag":      mails.Lease != 25*time.Second,
		"mails: window of the variable": mails.Window != 48*time.Hour,
		"mails: own table":              mails.Table != "mails",
		"mails: no target":              mails.TargetURL != "" || mails.Handler != "log" || mails.Sqsd,
		"mails: statuses":               mails.PermanentStatuses == nil || len(mails.PermanentStatuses) != 0,
		"mails: share":                  mails.Weight != 1 || mails.Concurrency != 10,
		"bills: own slots":              bills.Weight != 0 || bills.Concurrency != 4,
		"bills: default statuses":       len(bills.PermanentStatuses) != 5,
	} {
		if wrong {
			t.Errorf("%s: not as set: %+v", name, c.Queues)
		}
	}
	t.Run("own secret wins over the default file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte("of-the-file"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := fileSettings(t, "queues:\n- {queue-url: http://h/0/a, target-url: http://h/, target-token: own}\n- {queue-url: http://h/0/b, target-url: http://h/}\n",
			"--table", "t", "--target-token-file", file, "--admin-token-file", file)
		if c.Queues[0].TargetToken != "own" || c.Queues[1].TargetToken != "of-the-file" || c.AdminToken != "of-the-file" {
			t.Errorf("tokens are %q, %q and %q", c.Queues[0].TargetToken, c.Queues[1].TargetToken, c.AdminToken)
		}
	})
}

func TestReadConfig_problems(t *testing.T) {
	queue := func(fields string) string {
		return "queues:\n- queue-url: http://h/0/orders\n  handler: log\n" + fields
	}
	for name, tc := range map[string]struct {
		file string
		args []string
		want []string
	}{
		"empty":             {"# nothing\n", nil, []string{`worker.yaml: is empty: it must have a list "queues"`}},
		"no YAML":           {"queues: [", nil, []string{"worker.yaml: yaml: line 1"}},
		"no list":           {"queues: 7\n", nil, []string{"worker.yaml:1: queues: must be a list of queues"}},
		"no queue":          {"queues: []\n", nil, []string{"queues: must list at least one queue"}},
		"a list":            {"- queue-url: x\n", nil, []string{"worker.yaml:1: the file: must have fields"}},
		"two documents":     {queue("") + "---\nslots: 1\n", nil, []string{"second document: the file must hold a single document"}},
		"unknown above":     {"queue:\n- x: 1\n", nil, []string{"worker.yaml:1: queue: unknown field; the file has queues and slots"}},
		"unknown":           {queue("  colour: red\n"), nil, []string{"worker.yaml:4: colour: unknown field; the fields of a queue are its flags"}},
		"misspelled":        {queue("  target_url: http://h/\n"), nil, []string{"worker.yaml:4: target_url: unknown field; did you mean target-url?"}},
		"of the process":    {queue("  admin-addr: ':1'\n"), nil, []string{"worker.yaml:4: admin-addr: unknown field; it is a setting of the process: set it by --admin-addr or SQSONCE_ADMIN_ADDR"}},
		"merge":             {queue("  <<: {key: a}\n"), nil, []string{"worker.yaml:4: <<: unknown field"}},
		"twice":             {queue("  key: a\n  key: b\n"), nil, []string{"worker.yaml:5: key: must not be repeated; it is set in line 4"}},
		"no number":         {queue("  concurrency: many\n"), nil, []string{`worker.yaml:4: concurrency "many": expected a valid 64 bit int`}},
		"no unit":           {queue("  lease: 30\n"), nil, []string{`worker.yaml:4: lease "30": expected duration`}},
		"no choice":         {queue("  on-unknown: retry\n"), nil, []string{`worker.yaml:4: on-unknown "retry": must be one of rerun, hold`}},
		"no value":          {queue("  key:\n"), nil, []string{`worker.yaml:4: key "": has no value`}},
		"a list for one":    {queue("  key: [a, b]\n"), nil, []string{`worker.yaml:4: key "": must be a single value`}},
		"a map in a list":   {queue("  permanent-statuses: [{a: 1}]\n"), nil, []string{"worker.yaml:4: permanent-statuses", "must be a single value"}},
		"no queue's fields": {"queues:\n- orders\n", nil, []string{"worker.yaml:2: a queue: must have fields"}},
		"no URL":            {"queues:\n- handler: log\n", nil, []string{"worker.yaml:2: queue without a name: queue-url is missing"}},
		"no target":         {"queues:\n- queue-url: http://h/0/orders\n", nil, []string{"worker.yaml:2: queue orders: --target-url (SQSONCE_TARGET_URL) is missing"}},
		"no table":          {queue(""), []string{"--table", ""}, []string{"worker.yaml:2: queue orders: --table (SQSONCE_TABLE) is missing"}},
		"bad together":      {queue("  lease: 60s\n"), nil, []string{"worker.yaml:2: queue orders: --lease 1m0s + --skew 2s: must not exceed"}},
		"bad key":           {queue("  key: 'a ==='\n"), nil, []string{"worker.yaml:2: queue orders: ", "a ==="}},
		"same name":         {queue("- {queue-url: http://other/1/orders, handler: log}\n"), nil, []string{"worker.yaml:4: queue-url http://other/1/orders: the queue in line 2 is named orders, too"}},
		"weight of nothing": {queue("  weight: 2\n"), nil, []string{"worker.yaml:2: queue orders: weight 2: needs slots"}},
		"weight and own":    {"slots: 9\n" + queue("  weight: 2\n  concurrency: 3\n"), nil, []string{"worker.yaml:3: queue orders: weight 2: cannot be used with concurrency 3"}},
		"bad weight":        {"slots: 9\n" + queue("  weight: none\n"), nil, []string{`worker.yaml:5: weight "none": must be a whole number from 1 to 1000000`}},
		"bad slots":         {"slots: -1\n" + queue(""), nil, []string{`worker.yaml:1: slots "-1": must be a whole number from 1 to 1000000`}},
		"weight too large":  {"slots: 9\n" + queue("  weight: 9223372036854775807\n"), nil, []string{`worker.yaml:5: weight "9223372036854775807": must be a whole number from 1 to 1000000`}},
		"slots too large":   {"slots: 4611686018427387904\n" + queue(""), nil, []string{`worker.yaml:1: slots "4611686018427387904": must be a whole number from 1 to 1000000`}},
		"flag of no slots":  {queue(""), []string{"--slots=-3"}, []string{"--slots -3: must be from 0 to 1000000"}},
		"too few slots":     {"slots: 1\n" + queue("- {queue-url: http://h/1/mails, handler: log}\n"), nil, []string{"is too small for a share of 1 slots"}},
		"local":             {queue(""), []string{"--local"}, []string{"--local has its own queue: leave out --config"}},
		"a queue beside it": {queue(""), []string{"--queue-url", "http://h/0/x"}, []string{"--queue-url http://h/0/x: cannot be used with --config"}},
		"process":           {queue("  key: a\n"), []string{"--drain-timeout", "0s"}, []string{"--drain-timeout 0s: must be positive"}},
		"all at once":       {queue("  kee: a\n  lease: 5\n") + "- {}\n", nil, []string{"worker.yaml:4: kee", "worker.yaml:5: lease", "worker.yaml:6: queue without a name"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"check", "--table", "t"}, append(tc.args, "--config", writeFile(t, tc.file))...)
			_, err := parse(args, &out, &out)
			if awsenv.Exit(err) != 2 {
				t.Fatalf("error is %v, want one about the settings", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in\n%v", want, err)
				}
			}
		})
	}
	var out bytes.Buffer
	if _, err := parse([]string{"--config", filepath.Join(t.TempDir(), "none.yaml")}, &out, &out); awsenv.Exit(err) != 2 {
		t.Errorf("a file that is not there: error is %v", err)
	}
	if _, err := parse([]string{"--local", "--slots", "5"}, &out, &out); awsenv.Exit(err) != 2 ||
		!strings.Contains(err.Error(), "--slots 5: needs --config or --config-text") {
		t.Errorf("slots without a file: error is %v", err)
	}
}

func TestCheckConfig(t *testing.T) {
	t.Setenv("SQSONCE_CONFIG", "/not/read") // a health check does not read the worker's file
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"check", "--config", writeFile(t, twoQueues), "--table", "names"}, &out, &errs, nil)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	for _, want := range []string{"orders", "http://127.0.0.1:2/orders", "order.id", "20 of 30, weight 2", "mails.fifo", "log", "10 of 30, weight 1", "bills"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestTryConfig(t *testing.T) {
	path := writeFile(t, twoQueues)
	var out bytes.Buffer
	got, err := parse([]string{"try", "--config", path, "--table", "names", "--queue", "orders"}, &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := got.(trial); !ok || s.Key != "order.id" || s.queueName() != "orders" {
		t.Errorf("settings are %+v", got)
	}
	for _, args := range [][]string{{"--config", path, "--queue", "none"}, {"--config", path}, {"--queue", "orders"}} {
		if _, err := parse(append([]string{"try", "--table", "names"}, args...), &out, &out); awsenv.Exit(err) != 2 || !strings.Contains(err.Error(), "--queue") {
			t.Errorf("%q: error is %v", args, err)
		}
	}
}
