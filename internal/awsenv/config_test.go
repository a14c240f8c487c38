package awsenv

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/sqsonce/sqsonce/internal/wholebody"
)

// cleanEnv removes the machine's AWS settings from the environment.
func cleanEnv(t *testing.T) {
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value) // restores it
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
}

func TestConfig(t *testing.T) {
	t.Run("endpoint override is the address that the SDK calls", testEndpointOverrideIsTheAddressThatTheSDKCalls)
	t.Run("base endpoint of the config is an override", testBaseEndpointOfTheConfigIsAnOverride)
	t.Run("load keeps connections for a busy worker", testLoadKeepsConnectionsForABusyWorker)
	t.Run("full batch of writes takes one system call", testAFullBatchOfWritesTakesOneSystemCall)
	t.Run("configuration that cannot work is a settings error", testConfigurationThatCannotWorkIsASettingsError)
}

func testEndpointOverrideIsTheAddressThatTheSDKCalls(t *testing.T) {
	const endpoint = "http://127.0.0.1:4566"
	for name, tc := range map[string]struct {
		env         map[string]string
		profile     string
		sqs, dynamo bool
	}{
		"nothing set":       {},
		"for all services":  {env: map[string]string{"AWS_ENDPOINT_URL": endpoint}, sqs: true, dynamo: true},
		"for SQS":           {env: map[string]string{"AWS_ENDPOINT_URL_SQS": endpoint}, sqs: true},
		"for DynamoDB":      {env: map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": endpoint}, dynamo: true},
		"empty":             {env: map[string]string{"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SQS": ""}},
		"for another":       {env: map[string]string{"AWS_ENDPOINT_URL_S3": endpoint}},
		"set but ignored":   {env: map[string]string{"AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_SQS": endpoint, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}},
		"not ignored":       {env: map[string]string{"AWS_ENDPOINT_URL_SQS": endpoint, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"}, sqs: true},
		"in the profile":    {profile: "endpoint_url = " + endpoint, sqs: true, dynamo: true},
		"profile's service": {profile: "services = local\n[services local]\ndynamodb =\n  endpoint_url = " + endpoint, dynamo: true},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnv(t)
			t.Setenv("AWS_REGION", "eu-central-1")
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			if tc.profile != "" {
				file := filepath.Join(t.TempDir(), "config")
				if err := os.WriteFile(file, []byte("[default]\n"+tc.profile+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv("AWS_CONFIG_FILE", file)
			}
			cfg, err := Load(t.Context(), slog.Default())
			if err != nil {
				t.Fatal(err)
			}
			for service, want := range map[string]bool{"SQS": tc.sqs, "DYNAMODB": tc.dynamo, "S3": false} {
				if got := EndpointOverridden(cfg, service); got != want {
					t.Errorf("EndpointOverridden(%s) = %t, want %t", service, got, want)
				}
			}
		})
	}
}

func testBaseEndpointOfTheConfigIsAnOverride(t *testing.T) {
	cleanEnv(t)
	if !EndpointOverridden(aws.Config{BaseEndpoint: new("http://127.0.0.1:1")}, "SQS") {
		t.Error("BaseEndpoint was not taken for an override")
	}
	if EndpointOverridden(aws.Config{}, "SQS") {
		t.Error("an empty configuration was taken for an override")
	}
}

func testLoadKeepsConnectionsForABusyWorker(t *testing.T) {
	cleanEnv(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	cfg, err := Load(t.Context(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	client, ok := cfg.HTTPClient.(wholebody.Client).HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		t.Fatalf("HTTP client is %#v", cfg.HTTPClient)
	}
	transport := client.GetTransport()
	if transport.MaxIdleConnsPerHost < 256 || transport.MaxIdleConns < 2*256 {
		t.Errorf("keeps %d idle connections, %d a host", transport.MaxIdleConns, transport.MaxIdleConnsPerHost)
	}
}

// countedWrites is a connection that counts its writes.
type countedWrites struct {
	net.Conn
	n *atomic.Int64
}

func (c countedWrites) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}

func testAFullBatchOfWritesTakesOneSystemCall(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	cleanEnv(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	cfg, err := Load(t.Context(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	client := cfg.HTTPClient.(wholebody.Client).HTTPClient.(*awshttp.BuildableClient)
	var writes atomic.Int64
	counting := client.WithTransportOptions(func(transport *http.Transport) {
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return countedWrites{conn, &writes}, err
		}
	})
	defer counting.GetTransport().CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 24<<10))})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 24 << 10
	resp, err := wholebody.Client{HTTPClient: counting}.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes", n)
	}
}

func testConfigurationThatCannotWorkIsASettingsError(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string // in the error; empty for none
	}{
		"no region":                   {want: "AWS_REGION"},
		"no region, but an endpoint":  {env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}},
		"profile that does not exist": {env: map[string]string{"AWS_PROFILE": "nobody"}, want: "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnv(t)
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			_, err := Load(t.Context(), slog.Default())
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if Exit(err) != 2 || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %v (exit code %d)", err, Exit(err))
			}
		})
	}
}
