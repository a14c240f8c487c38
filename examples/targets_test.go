// Package examples_test runs the examples that are not Go.
package examples_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

func TestTargets(t *testing.T) {
	t.Run("targets book an order once if it is signed", testTargetsBookAnOrderOnceIfItIsSigned)
	t.Run("batch target names the messages that failed", testBatchTarget)
}

func testBatchTarget(t *testing.T) {
	url := startTarget(t, "python3", filepath.Join("python", "batch_target.py"), "0")
	batch := make([]target.Request, 3)
	for i, body := range []string{`{"total":30}`, `{"total":"much"}`, `{"total":1}`} {
		batch[i] = request(fmt.Sprint("order-", i), 1, body)
		batch[i].MessageID = fmt.Sprint("id-", i)
	}
	failed, err := newTarget(t, url, "").PostBatch(t.Context(), batch)
	if err != nil || failed[0] != nil || failed[2] != nil || statusOf(failed[1]) != http.StatusUnprocessableEntity {
		t.Errorf("answered %v, %v, want 422 for the second message", failed, err)
	}
}

func testTargetsBookAnOrderOnceIfItIsSigned(t *testing.T) {
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
			for what, with := range map[string]string{"no secret": "", "another secret": "whsec_b3RoZXI="} {
				_, err := newTarget(t, url, with).Post(t.Context(), request("a", 1, `{"total":1}`))
				if statusOf(err) != http.StatusUnauthorized {
					t.Errorf("%s: answered %v", what, err)
				}
			}
			// Signed well, now and an hour ago.
			for age, want := range map[time.Duration]int{0: http.StatusOK, time.Hour: http.StatusUnauthorized} {
				if got := postSigned(t, url, time.Now().Add(-age)); got != want {
					t.Errorf("signed %s ago: answered %d, want %d", age, got, want)
				}
			}
		})
	}
}

// postSigned posts a message signed by hand at the given time.
func postSigned(t *testing.T, url string, at time.Time) int {
	t.Helper()
	const body = `{"total":1}`
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	timestamp := fmt.Sprint(at.Unix())
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("m-2." + timestamp + "." + body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/work", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Idempotency-Key": `"b"`, "X-Sqsonce-Fence": "1", "Webhook-Id": "m-2", "Webhook-Timestamp": timestamp,
		// Two while a secret is changed.
		"Webhook-Signature": "v1,b3RoZXI= v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

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
