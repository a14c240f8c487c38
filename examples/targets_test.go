// Package examples_test runs the examples that are not Go.
package examples_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/target"
)

const secret = "whsec_c2VjcmV0IGtleSBvZiB0aGUgdGVzdA=="

// startTarget runs an example and returns where it listens.
func startTarget(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "TARGET_SECRET="+secret)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("%s:\n%s", name, complaints.String())
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	if err != nil || url == "" {
		t.Fatalf("%s printed %q (%v)", name, line, err)
	}
	return url
}

func TestTargetsBookAnOrderOnce(t *testing.T) {
	for name, command := range map[string][]string{
		"python": {"python3", filepath.Join("python", "target.py"), "0", filepath.Join(t.TempDir(), "orders.db")},
		"node":   {"node", filepath.Join("node", "target.mjs"), "0"},
	} {
		t.Run(name, func(t *testing.T) {
			url := startTarget(t, command[0], command[1:]...)
			signed := newTarget(t, url, secret)
			if err := signed.Healthy(t.Context(), "/healthz"); err != nil {
				t.Error(err)
			}
			const order = "Bestellung №17"
			if resp, err := signed.Post(t.Context(), request("100% cotton", 1, `{"total":1}`)); err != nil || !bytes.Contains(resp.Body, []byte("100% cotton")) {
				t.Errorf("answered %s (%v)", resp.Body, err)
			}
			for _, tc := range []struct {
				what   string
				fence  int64
				body   string
				status int // 0: done
				fresh  bool
			}{
				{"first attempt", 1_795_592_901_432, `{"total":30}`, 0, true},
				{"its request once more", 1_795_592_901_432, `{"total":30}`, 0, false},
				{"next attempt", 1_795_592_999_999, `{"total":30}`, 0, false},
				{"late attempt", 1_795_592_901_432, `{"total":30}`, 409, false},
				{"bad message", 1_795_593_000_000, `{"total":"much"}`, 422, false},
			} {
				resp, err := signed.Post(t.Context(), request(order, tc.fence, tc.body))
				if tc.status != 0 {
					if got := statusOf(err); got != tc.status {
						t.Errorf("%s: answered %v, want %d", tc.what, err, tc.status)
					}
					continue
				}
				var got struct {
					Order string `json:"order"`
					Total int    `json:"total"`
					New   bool   `json:"new"`
				}
				if err != nil {
					t.Errorf("%s: %v", tc.what, err)
				} else if err := json.Unmarshal(resp.Body, &got); err != nil || got.Order != order || got.Total != 30 || got.New != tc.fresh {
					t.Errorf("%s: answered %s (%v)", tc.what, resp.Body, err)
				}
			}
		})
	}
}

func TestTargetsRefuseWhatIsNotSigned(t *testing.T) {
	for name, command := range map[string][]string{
		"python": {"python3", filepath.Join("python", "target.py"), "0", filepath.Join(t.TempDir(), "orders.db")},
		"node":   {"node", filepath.Join("node", "target.mjs"), "0"},
	} {
		t.Run(name, func(t *testing.T) {
			url := startTarget(t, command[0], command[1:]...)
			for what, with := range map[string]string{"no secret": "", "another secret": "whsec_b3RoZXI="} {
				_, err := newTarget(t, url, with).Post(t.Context(), request("a", 1, `{"total":1}`))
				if statusOf(err) != http.StatusUnauthorized {
					t.Errorf("%s: answered %v", what, err)
				}
			}
			// Signed well, an hour ago: recorded, and sent again by somebody else.
			headers := recorded(t, request("a", 1, `{"total":1}`))
			headers.Set("Webhook-Timestamp", fmt.Sprint(time.Now().Add(-time.Hour).Unix()))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/work", bytes.NewReader([]byte(`{"total":1}`)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = headers
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("old signature: answered %d", resp.StatusCode)
			}
		})
	}
}

// recorded returns the headers that a request is sent with.
func recorded(t *testing.T, r target.Request) http.Header {
	t.Helper()
	var headers http.Header
	to, err := target.New(target.Config{URL: "http://target.invalid", Secret: secret, HTTP: &http.Client{
		Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			headers = req.Header.Clone()
			return nil, errors.New("recorded")
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = to.Post(t.Context(), r) // fails, as it must
	return headers
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newTarget(t *testing.T, url, secret string) *target.Target {
	t.Helper()
	to, err := target.New(target.Config{URL: url + "/work", Secret: secret, Queue: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func request(name string, fence int64, body string) target.Request {
	return target.Request{Name: name, Fence: fence, Attempt: 1, Body: body, MessageID: "m-1", ReceiveCount: 1}
}

func statusOf(err error) int {
	if e, ok := errors.AsType[*target.StatusError](err); ok {
		return e.Status
	}
	return 0
}
