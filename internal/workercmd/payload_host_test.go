package workercmd

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/internal/testutil"
	"github.com/sqsonce/sqsonce/names"
)

// hostSeen is an HTTP client that refuses every request, and keeps the URL of the last one.
type hostSeen struct{ url string }

func (h *hostSeen) Do(r *http.Request) (*http.Response, error) {
	h.url = r.URL.String()
	return nil, errors.New("no network")
}

// A message chooses bucket and key, but never the host that gets a signed request.
func TestPayloadHost(t *testing.T) {
	var all []names.Pointer
	for _, bucket := range []string{
		"evil.test/", "evil.test#", "evil.test?", "evil.test:80/", "x@evil.test/", "..", "../evil", "http://evil.test", "169.254.169.254",
		"a b", "a\r\nHost: evil.test", "a.mrap", "-", "A", strings.Repeat("a", 300),
		"arn:aws:s3:evil.test/:123456789012:accesspoint/x", "arn:aws:s3:evil.test:123456789012:accesspoint/x",
		"arn:aws:s3:us-east-1:evil.test/:accesspoint/x", "arn:aws:s3:us-east-1:123456789012:accesspoint/evil.test/",
		"arn:evil.test:s3:us-east-1:123456789012:accesspoint/x", "arn:aws:evil.test:us-east-1:123456789012:accesspoint/x",
		"arn:aws:s3-object-lambda:evil.test/:123456789012:accesspoint/x",
		"arn:aws:s3-outposts:us-east-1:123456789012:outpost/evil.test/:accesspoint/x", "arn:aws:s3::123456789012:accesspoint:evil.test/",
	} {
		all = append(all, names.Pointer{Bucket: bucket, Key: "k", Size: 1})
	}
	for _, key := range []string{"../../evil/k", "//evil.test/k", "@evil.test/k", "?versionId=1", "#x", "a\r\nHost: evil.test"} {
		all = append(all, names.Pointer{Bucket: "bucket", Key: key, Size: 1})
	}
	seen := &hostSeen{}
	cfg := aws.Config{Region: "us-east-1", HTTPClient: seen, RetryMaxAttempts: 1, Credentials: testutil.Credentials("id", "secret")}
	p := queueSettings{queueConfig: queueConfig{S3Payloads: true, S3Max: 1 << 20}}.newPayloads(cfg, slog.New(slog.DiscardHandler))
	asked := 0
	for _, from := range all {
		seen.url = ""
		if _, _, err := p.Fetch(t.Context(), from); err == nil {
			t.Errorf("%+v: fetched", from)
		}
		if u, err := url.Parse(cmp.Or(seen.url, "https://none.amazonaws.com")); err != nil || !strings.HasSuffix(u.Hostname(), ".amazonaws.com") {
			t.Errorf("%+v: asked for %s", from, seen.url)
		}
		if seen.url != "" {
			asked++
		}
	}
	if asked == 0 {
		t.Error("nothing was asked for")
	}
}
