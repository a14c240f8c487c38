package workercmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// settings parses a valid command line.
func settings(t *testing.T, args ...string) queueSettings {
	t.Helper()
	var out bytes.Buffer
	got, err := parse(args, &out, &out)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	c, ok := got.(config)
	if !ok {
		t.Fatalf("%q: settings are a %T", args, got)
	}
	if len(c.Queues) != 1 {
		t.Fatalf("%q: %d queues, want one", args, len(c.Queues))
	}
	return c.queues()[0]
}

func TestFlags(t *testing.T) {
	t.Run("defaults are those of the design", testDefaultsAreThoseOfTheDesign)
	t.Run("every flag has an environment variable", testEveryFlagHasAnEnvironmentVariable)
	t.Run("settings that cannot work are all named at once", testSettingsThatCannotWorkAreAllNamedAtOnce)
	t.Run("addresses beyond loopback are taken where a token is asked for", testAddressesBeyondLoopbackAreTakenWhereATokenIsAskedFor)
	t.Run("stop timeout of the platform is found", testStopTimeoutOfThePlatformIsFound)
	t.Run("version and help are printed", testVersionAndHelpArePrinted)
	t.Run("variable named version is left alone", testVariableNamedVersionIsLeftAlone)
}

func testDefaultsAreThoseOfTheDesign(t *testing.T) {
	c := settings(t, "--local")
	want := queueSettings{
		processConfig: processConfig{
			Local: true, Addr: "127.0.0.1:8080", AdminAddr: "127.0.0.1:9090", Metrics: "none", LogFormat: "auto", Batch: "on",
			DrainTimeout: 25 * time.Second, WaitAtStart: 10 * time.Minute,
		},
		queueConfig: queueConfig{
			TTL: "expires_at", powertoolsConfig: powertoolsConfig{PowertoolsHash: "md5"}, Handler: "target", Key: "name", LongNames: "refuse", Unwrap: "none", S3Max: 16 << 20, MaxResult: 4 << 10, Result: "full", Unnamed: "dead-letter", OnMismatch: "dead-letter", Window: 720 * time.Hour, Lease: 30 * time.Second, Skew: 2 * time.Second, MaxAttempts: 5,
			SuspectAfter: 5, OnUnknown: "rerun", Visibility: time.Minute, Concurrency: 50, MaxWaitingBytes: 64 << 20, TargetTimeout: 30 * time.Second, TargetBatchWait: 100 * time.Millisecond,
		},
	}
	statuses := c.PermanentStatuses
	c.PermanentStatuses = nil
	if !equal(c, want) {
		t.Errorf("defaults are\n%+v, want\n%+v", c, want)
	}
	if got := len(statuses); got != 5 || statuses[0] != 400 || statuses[4] != 422 {
		t.Errorf("permanent statuses are %v", statuses)
	}
}

// These are all public flags, with a value and the printed value of the field.
var contract = []struct{ flag, value, field string }{
	{"queue-url", "http://127.0.0.1:1/000000000000/q", "QueueURL:http://127.0.0.1:1/000000000000/q"},
	{"table", "tab", "Table:tab"},
	{"ttl-attribute", "expiration", "TTL:expiration"},
	{"powertools-prefix", "orders.app.handle", "PowertoolsPrefix:orders.app.handle"},
	{"powertools-language", "python", "PowertoolsLanguage:python"},
	{"powertools-key", "messageId", "PowertoolsKey:messageId"},
	{"powertools-table", "old", "PowertoolsTable:old"},
	{"powertools-hash", "sha256", "PowertoolsHash:sha256"},
	{"powertools-sort-key", "sk", "PowertoolsSortKey:sk"},
	{"powertools-partition", "idempotency#orders", "PowertoolsPartition:idempotency#orders"},
	{"dlq-url", "http://127.0.0.1:1/000000000000/d", "DLQURL:http://127.0.0.1:1/000000000000/d"},
	{"target-url", "http://127.0.0.1:1/work", "TargetURL:http://127.0.0.1:1/work"},
	{"handler", "target", "Handler:target"},
	{"path-prefix", "/v1,/v2", "PathPrefix:[/v1 /v2]"},
	{"create", "true", "Create:true"},
	{"scope", "mine", "Scope:mine"},
	{"key", "order.id", "Key:order.id"},
	{"long-names", "hash", "LongNames:hash"},
	{"unwrap", "auto", "Unwrap:auto"},
	{"s3-payloads", "true", "S3Payloads:true"},
	{"max-result", "8192", "MaxResult:8192"},
	{"result", "hash", "Result:hash"},
	{"s3-max", "2048", "S3Max:2048"},
	{"unnamed", "run", "Unnamed:run"},
	{"on-mismatch", "suppress", "OnMismatch:suppress"},
	{"sqsd", "true", "Sqsd:true"},
	{"ignore", "Event=='s3:TestEvent'", "Ignore:Event=='s3:TestEvent'"},
	{"fingerprint", "off", "Fingerprint:off"},
	{"window", "48h", "Window:48h0m0s"},
	{"lease", "20s", "Lease:20s"},
	{"visibility", "90s", "Visibility:1m30s"},
	{"concurrency", "7", "Concurrency:7"},
	{"rate", "2.5", "Rate:2.5"},
	{"max-waiting-bytes", "2097152", "MaxWaitingBytes:2097152"},
	{"max-attempts", "9", "MaxAttempts:9"},
	{"drain-timeout", "11s", "DrainTimeout:11s"},
	{"on-unknown", "hold", "OnUnknown:hold"},
	{"admin-addr", "127.0.0.1:7", "AdminAddr:127.0.0.1:7"},
	{"metrics-addr", "127.0.0.1:8", "MetricsAddr:127.0.0.1:8"},
	{"admin-token", "sesame", "AdminToken:sesame"},
	{"admin-hosts", "a.example,b.example", "AdminHosts:[a.example b.example]"},
	{"target-timeout", "4s", "TargetTimeout:4s"},
	{"target-secret", "whsec_c2VjcmV0", "TargetSecret:whsec_c2VjcmV0"},
	{"target-token", "ticket", "TargetToken:ticket"},
	{"target-health", "/up", "TargetHealth:/up"},
	{"skew", "1s", "Skew:1s"},
	{"permanent-statuses", "400,404", "PermanentStatuses:[400 404]"},
	{"metrics", "emf", "Metrics:emf"},
	{"log-format", "json", "LogFormat:json"},
	{"addr", "127.0.0.1:6", "Addr:127.0.0.1:6"},
	{"auth-token", "a,b", "AuthToken:[a b]"},
	{"queue-addr", "127.0.0.1:5", "QueueAddr:127.0.0.1:5"},
	{"stop-timeout", "2m", "StopTimeout:2m0s"},
	{"wait-at-start", "3m", "WaitAtStart:3m0s"},
	{"suspect-after", "9", "SuspectAfter:9"},
	{"batch", "off", "Batch:off"},
	{"group-concurrency", "3", "GroupConcurrency:3"},
	{"group-rate", "2.5", "GroupRate:2.5"},
	{"group-by", "tenant", "GroupBy:tenant"},
	{"target-batch-wait", "200ms", "TargetBatchWait:200ms"},
}

func TestEveryFlagIsThere(t *testing.T) {
	var args []string
	for _, f := range contract {
		args = append(args, "--"+f.flag+"="+f.value)
	}
	expectFields(t, settings(t, args...))
}

func testEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	for _, f := range contract {
		t.Setenv("SQSONCE_"+strings.ToUpper(strings.ReplaceAll(f.flag, "-", "_")), f.value)
	}
	expectFields(t, settings(t))
}

func TestFlagWinsOverEnvironment(t *testing.T) {
	t.Setenv("SQSONCE_LOCAL", "true")
	t.Setenv("SQSONCE_CONCURRENCY", "3")
	if c := settings(t, "--concurrency", "4"); !c.Local || c.Concurrency != 4 {
		t.Errorf("settings are %+v", c)
	}
}

// badSettings is a command line, and texts that its error must have.
type badSettings struct {
	args []string
	want []string
}

var settingsThatFail = map[string]badSettings{
	"neither local nor AWS": {nil, []string{"--local", "--queue-url and --table", "are missing"}},
	"no table":              {[]string{"--queue-url", "http://h/1/q", "--handler", "log"}, []string{"--table"}},
	"no queue":              {[]string{"--table", "t", "--handler", "log"}, []string{"--queue-url"}},
	"no target": {
		[]string{"--queue-url", "http://h/1/q", "--table", "t"},
		[]string{"--target-url (SQSONCE_TARGET_URL) is missing: messages would be completed without being handled; to log and complete each message set --handler log"},
	},
	"a target, and the log": {
		[]string{"--local", "--handler", "log", "--target-url", "http://127.0.0.1:1/"}, []string{"--handler log: cannot be used with --target-url"},
	},
	"local with a queue":     {[]string{"--local", "--queue-url", "http://h/1/q"}, []string{"--local has its own queue"}},
	"local with create":      {[]string{"--local", "--create"}, []string{"--create"}},
	"queue URL without name": {[]string{"--queue-url", "http://h/", "--table", "t", "--handler", "log"}, []string{"--queue-url"}},
	"local, beyond loopback": {
		[]string{"--local", "--addr", "0.0.0.0:8080", "--queue-addr", ":4566"},
		[]string{
			`--addr "0.0.0.0:8080": listening beyond loopback needs --auth-token (SQSONCE_AUTH_TOKEN)`,
			`--queue-addr ":4566": must be a loopback address`,
		},
	},
	"tokens that can be guessed": {
		[]string{"--local", "--addr", ":8080", "--auth-token", "sesame", "--admin-addr", ":9090", "--admin-token", "hunter2"},
		[]string{"--auth-token (SQSONCE_AUTH_TOKEN): token 1 of 1 has 6 characters", "--admin-token (SQSONCE_ADMIN_TOKEN): token 1 of 1 has 7 characters"},
	},
	"paths": {
		[]string{"--queue-url", "http://h/1/q", "--table", "t", "--handler", "log", "--path-prefix", "v1,/a/../b"},
		[]string{`--path-prefix "v1"`, `--path-prefix has the segment ".."`, "--path-prefix v1,/a/../b: needs --target-url"},
	},
	"batches": {
		[]string{"--local", "--target-batch", "20", "--concurrency", "10", "--target-batch-wait", "8s", "--path-prefix", "/v1", "--sqsd"},
		[]string{
			"--target-batch-wait 8s: must be positive, and at most 7.5s, a quarter of --lease 30s",
			"--target-batch 20: must be from 1 to --concurrency 10", "--target-batch 20: needs --target-url",
		},
	},
	"batches, and requests in messages": {
		[]string{"--local", "--target-url", "http://127.0.0.1:1/", "--target-batch", "5", "--path-prefix", "/v1"},
		[]string{"--target-batch 5: cannot be used with --path-prefix"},
	},
	"groups": {
		[]string{"--local", "--group-concurrency=-1", "--group-rate=-0.5", "--group-by", "a["},
		[]string{"GroupConcurrency -1: must not be negative", "GroupRate -0.5: must be 0, or 1e-06 to 1e+09", `--group-by: key "a["`},
	},
	"rates without an end": {
		[]string{"--local", "--rate", "Inf", "--group-rate", "+inf"},
		[]string{"Rate +Inf: must be 0, or 1e-06 to 1e+09", "GroupRate +Inf: must be 0, or 1e-06 to 1e+09"},
	},
	"groups without a bound": {
		[]string{"--local", "--group-by", "tenant"}, []string{`--group-by "tenant": needs --group-concurrency or --group-rate`},
	},
	"batches, and the daemon": {
		[]string{"--local", "--target-url", "http://127.0.0.1:1/", "--target-batch", "5", "--sqsd"},
		[]string{"--target-batch 5: cannot be used with --sqsd"},
	},
	"blank tokens": {
		[]string{"--local", "--auth-token", "a, ,b", "--admin-token", " "},
		[]string{"--auth-token (SQSONCE_AUTH_TOKEN): token 2 of 3 is blank", "--admin-token (SQSONCE_ADMIN_TOKEN): token 1 of 1 is blank"},
	},
	"several": {
		[]string{"--local", "--lease", "0s", "--max-attempts", "0", "--concurrency", "0", "--skew=-1s", "--wait-at-start=-1s", "--suspect-after=-1"},
		[]string{"--lease 0s", "--suspect-after -1", "--wait-at-start -1s", "--max-attempts 0", "--concurrency 0", "--skew -1s"},
	},
	"several parts": {
		[]string{"--local", "--scope", "a#b", "--rate=-1", "--key", "a[", "--target-url", "ftp://x", "--max-attempts=-1"},
		[]string{"Scope", "Rate -1", `key "a["`, "target URL", "MaxAttempts -1"},
	},
	"lease longer than visibility allows": {
		[]string{"--local", "--lease", "40s"},
		[]string{"--lease 40s + --skew 2s: must not exceed 33s, which is --visibility 1m0s less"},
	},
	"drain longer than the platform waits": {
		[]string{"--local", "--drain-timeout", "26s", "--stop-timeout", "30s"},
		[]string{"--drain-timeout 26s", "--stop-timeout 30s"},
	},
	"target longer than SQS allows": {
		[]string{"--local", "--target-timeout", "11h1s"},
		[]string{"--target-timeout 11h0m1s: must not exceed 11h0m0s"},
	},
	"health path without a target": {[]string{"--local", "--target-health", "/up"}, []string{"--target-health", "--target-url"}},
	"health path on another host": {
		[]string{"--local", "--target-url", "http://127.0.0.1:1/", "--target-health", "//other.example/up"},
		[]string{`--target-health: health path "//other.example/up"`},
	},
	"health path that is a URL": {
		[]string{"--local", "--target-url", "http://127.0.0.1:1/", "--target-health", "http://other.example/up"},
		[]string{`--target-health: health path "http://other.example/up"`},
	},
	"admin hosts that are no names": {
		[]string{"--local", "--admin-hosts", "ok.example,https://console.example,console.example:443,10.0.0.5,localhost"},
		[]string{
			`--admin-hosts "https://console.example": must be a host name, without scheme, port or path`,
			`--admin-hosts "console.example:443": must be a host name`,
			`--admin-hosts "10.0.0.5": must be a host name of a proxy`,
			`--admin-hosts "localhost": must be a host name of a proxy`,
		},
	},
	"payloads too large":    {[]string{"--local", "--s3-max", "1073741825"}, []string{"--s3-max 1073741825: must be from 1024 to 1073741824 bytes"}},
	"a small result":        {[]string{"--local", "--max-result", "4095"}, []string{"--max-result 4095: must be from 4096 to 307200 bytes"}},
	"a large result":        {[]string{"--local", "--max-result", "307201"}, []string{"--max-result 307201: must be from 4096 to 307200 bytes"}},
	"another result":        {[]string{"--local", "--result", "some"}, []string{"--result", "some"}},
	"payloads too small":    {[]string{"--local", "--s3-max", "1023"}, []string{"--s3-max 1023: must be from 1024 to 1073741824 bytes"}},
	"secret file missing":   {[]string{"--local", "--target-secret-file", "/nowhere"}, []string{"--target-secret-file", "/nowhere"}},
	"unknown flag":          {[]string{"--nope"}, []string{"--nope"}},
	"value out of a choice": {[]string{"--local", "--on-unknown", "maybe"}, []string{"--on-unknown", "maybe"}},
	"not a duration":        {[]string{"--local", "--lease", "30"}, []string{"--lease", "30"}},
}

func testSettingsThatCannotWorkAreAllNamedAtOnce(t *testing.T) {
	for name, tc := range settingsThatFail {
		t.Run(name, tc.check)
	}
}

func (tc badSettings) check(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), tc.args, &stdout, &stderr, nil); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range tc.want {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not in:\n%s", want, stderr.String())
		}
	}
}

func testAddressesBeyondLoopbackAreTakenWhereATokenIsAskedFor(t *testing.T) {
	settings(t, "--local", "--addr", "0.0.0.0:8080", "--auth-token", "sesame-0123456789")
	settings(t, "--local", "--addr", "[::1]:8080", "--queue-addr", "localhost:4566")
	settings(t, "--queue-url", "http://h/1/q", "--table", "t", "--target-url", "http://h/work", "--addr", "0.0.0.0:8080") // serves no producer API
	var out bytes.Buffer
	if _, err := parse([]string{"--local", "--auth-token", "sesame", "--queue-addr", "0.0.0.0:4566"}, &out, &out); awsenv.Exit(err) != 2 {
		t.Errorf("the SQS endpoint is open to everybody: error is %v", err)
	}
}

func testStopTimeoutOfThePlatformIsFound(t *testing.T) {
	t.Setenv("ECS_CONTAINER_STOP_TIMEOUT", "20s")
	var out bytes.Buffer
	if _, err := parse([]string{"--local"}, &out, &out); awsenv.Exit(err) != 2 || !strings.Contains(err.Error(), "--stop-timeout 20s") {
		t.Errorf("error is %v", err)
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := settings(t, "--local", "--target-secret-file", file("s", "sec ret\n"),
		"--target-token-file", file("t", "ticket"), "--admin-token-file", file("a", "sesame\r\n"))
	if c.TargetSecret != "sec ret" || c.TargetToken != "ticket" || c.AdminToken != "sesame" {
		t.Errorf("secrets are %q, %q and %q", c.TargetSecret, c.TargetToken, c.AdminToken)
	}
	var out bytes.Buffer
	_, err := parse([]string{
		"--local", "--target-secret-file", file("e", "\n"),
		"--admin-token", "x", "--admin-token-file", file("b", "y"),
	}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "is empty") || !strings.Contains(err.Error(), "only one of them") {
		t.Errorf("error is %v", err)
	}
}

func testVersionAndHelpArePrinted(t *testing.T) {
	for args, want := range map[string]string{
		"--version": version(), "--help": "--queue-url", "-h": "SQSONCE_QUEUE_URL", "check --help": "--admin-addr",
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &stdout, &stderr, nil); code != 0 {
			t.Errorf("%s: exit code %d: %s", args, code, stderr.String())
		}
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: %q is not in\n%s", args, want, stdout.String())
		}
	}
}

func TestSqsd(t *testing.T) {
	c := settings(t, "--local", "--sqsd")
	if c.Key != "@message-id" || c.TargetTimeout != 299*time.Second {
		t.Errorf("key %q, target timeout %s", c.Key, c.TargetTimeout)
	}
	c = settings(t, "--local", "--sqsd", "--key", "job_id", "--target-timeout", "5s")
	if c.Key != "job_id" || c.TargetTimeout != 5*time.Second {
		t.Errorf("key %q, target timeout %s", c.Key, c.TargetTimeout)
	}
}

func TestEmptyPermanentStatuses(t *testing.T) {
	t.Setenv("SQSONCE_PERMANENT_STATUSES", "")
	if c := settings(t, "--local"); c.PermanentStatuses == nil || len(c.PermanentStatuses) != 0 {
		t.Errorf("permanent statuses are %v", c.PermanentStatuses)
	}
	if c := settings(t, "--local", "--permanent-statuses", "410"); len(c.PermanentStatuses) != 1 {
		t.Errorf("permanent statuses are %v", c.PermanentStatuses)
	}
}

func testVariableNamedVersionIsLeftAlone(t *testing.T) {
	t.Setenv("SQSONCE_VERSION", "true")
	settings(t, "--local")
}

func expectFields(t *testing.T, c queueSettings) {
	t.Helper()
	text := shown(c)
	for _, f := range contract {
		if !strings.Contains(text, f.field+" ") {
			t.Errorf("--%s %s: %q is not in %s", f.flag, f.value, f.field, text)
		}
	}
}
