package workercmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"sync/atomic"
	"syscall"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

// answered returns the SDK's error for an answer with a status.
func answered(status int, err error) error {
	return fmt.Errorf("operation error: %w", &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err,
	}})
}

func TestIsOutage(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	code := func(code string) error { return &smithy.GenericAPIError{Code: code, Fault: smithy.FaultClient} }
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"connection refused":       {fmt.Errorf("send: %w", refused), true},
		"deadline":                 {fmt.Errorf("send: %w", context.DeadlineExceeded), true},
		"DNS does not answer":      {&net.DNSError{Err: "server misbehaving", IsTemporary: true}, true},
		"name that does not exist": {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, false},
		"certificate":              {&url.Error{Op: "Post", Err: &tls.CertificateVerificationError{Err: errors.New("expired")}}, false},
		"bad gateway":              {answered(502, errors.New("not JSON")), true},
		"server fault":             {answered(500, &smithy.GenericAPIError{Code: "InternalError", Fault: smithy.FaultServer}), true},
		"throttled":                {answered(400, code("ThrottlingException")), true},
		"expired token":            {answered(400, code("ExpiredTokenException")), true},
		"denied":                   {answered(400, code("AccessDeniedException")), false},
		"no such queue":            {answered(400, code("AWS.SimpleQueueService.NonExistentQueue")), false},
		"no credentials":           {fmt.Errorf("failed to refresh cached credentials, no EC2 IMDS role found: %w", refused), false},
		"another":                  {errors.New("no"), false},
		"none":                     {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isOutage(tc.err); got != tc.want {
				t.Errorf("isOutage(%v) = %t", tc.err, got)
			}
		})
	}
	t.Run("credentials of the platform", func(t *testing.T) {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x")
		if err := fmt.Errorf("failed to refresh cached credentials: %w", refused); !isOutage(err) {
			t.Errorf("isOutage(%v) = false", err)
		}
	})
}

// ailing is a server in an outage: it answers 503 to every request until it is well.
type ailing struct {
	*httptest.Server
	well  atomic.Bool
	asked atomic.Int64
}

func newAiling(t *testing.T, server string) *ailing {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	a := &ailing{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		if a.well.Load() {
			pass.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(a.Close)
	return a
}

func TestWaitAtStart(t *testing.T) {
	for name, variable := range map[string]string{"queue": "AWS_ENDPOINT_URL_SQS", "table": "AWS_ENDPOINT_URL_DYNAMODB"} {
		t.Run(name, func(t *testing.T) {
			o := newOutside(t)
			if err := dynamo.CreateTable(t.Context(), o.dynamo, o.table); err != nil {
				t.Fatal(err)
			}
			aws := newAiling(t, os.Getenv(variable))
			t.Setenv(variable, aws.URL)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			p := start(t, "--queue-url", o.queueURL, "--table", o.table)
			p.logged(t, "waiting at the start", 1)
			admin := regexp.MustCompile(`"admin":"([^"]+)"`).FindStringSubmatch(p.stderr.String())[1]
			if code := get(t, admin+"/healthz"); code != http.StatusOK {
				t.Errorf("/healthz answers %d while it waits", code)
			}
			if code := get(t, admin+"/readyz"); code != http.StatusServiceUnavailable {
				t.Errorf("/readyz answers %d while it waits", code)
			}
			aws.well.Store(true)
			p.printed(t, `worker on (\S+)`)
			wait(t, "ready", func() bool { return get(t, admin+"/readyz") == http.StatusOK })
		})
	}
	t.Run("wrong settings", func(t *testing.T) {
		o := newOutside(t)
		aws := newAiling(t, os.Getenv("AWS_ENDPOINT_URL_SQS"))
		t.Setenv("AWS_ENDPOINT_URL_SQS", aws.URL)
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		text, code := failsToStart(t, "--queue-url", o.queueURL, "--table", "none")
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		expectIn(t, text, "queue "+o.queueURL+": cannot be read", "table none: ")
	})
	t.Run("not at all", func(t *testing.T) {
		o := newOutside(t)
		t.Setenv("AWS_ENDPOINT_URL_SQS", newAiling(t, os.Getenv("AWS_ENDPOINT_URL_SQS")).URL)
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		if text, code := failsToStart(t, o.args("--wait-at-start", "0s")...); code != 1 {
			t.Errorf("exit code %d: %s", code, text)
		}
	})
	t.Run("in vain", func(t *testing.T) {
		o := newOutside(t)
		t.Setenv("AWS_ENDPOINT_URL_SQS", newAiling(t, os.Getenv("AWS_ENDPOINT_URL_SQS")).URL)
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		text, code := failsToStart(t, o.args("--wait-at-start", "100ms")...)
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		expectIn(t, text, "waited 100ms (--wait-at-start)")
	})
}

// The worker is not ready while the table refuses writes, until the first write succeeds.
func TestDeniedWrites(t *testing.T) {
	o := newOutside(t)
	if err := dynamo.CreateTable(t.Context(), o.dynamo, o.table); err != nil {
		t.Fatal(err)
	}
	table, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"))
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(table); r.Out.Host = r.In.Host }}
	var denying atomic.Bool
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !denying.Load() {
			pass.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no grant"}`)
	}))
	t.Cleanup(aws.Close)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", aws.URL)
	p := start(t, "--queue-url", o.queueURL, "--table", o.table)
	p.printed(t, `worker on (\S+)`)
	ready := p.adminURL(t) + "/readyz"
	wait(t, "ready", func() bool { return get(t, ready) == http.StatusOK })
	denying.Store(true)
	send(t, o.sqs, o.queueURL, `{"name":"a"}`)
	wait(t, "not ready", func() bool { return get(t, ready) == http.StatusServiceUnavailable })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ready, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	why, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	expectIn(t, string(why), "records cannot be written", "AccessDeniedException")
	denying.Store(false)
	wait(t, "ready again", func() bool { return get(t, ready) == http.StatusOK })
	waitCounts(t, o.sqs, o.queueURL, "0", "0")
}
