package producerapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A client that writes its whole request before it reads gets the answer, although its body was
// refused.
func TestRefusedBody(t *testing.T) {
	large := strings.Repeat("x", maxBody+1)
	chunked := func(body string) string {
		return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	declared := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	const jsonType = "Content-Type: application/json\r\n"
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"a byte too large":     {jsonType + declared(large), http.StatusRequestEntityTooLarge},
		"4 MiB too large":      {jsonType + declared(strings.Repeat(large[:maxBody], 4)), http.StatusRequestEntityTooLarge},
		"too large in chunks":  {jsonType + chunked(strings.Repeat(large[:maxBody], 4)), http.StatusRequestEntityTooLarge},
		"another media type":   {"Content-Type: text/plain\r\n" + declared(large), http.StatusUnsupportedMediaType},
		"without a token":      {"Authorization: Bearer no\r\n" + jsonType + declared(large), http.StatusUnauthorized},
		"no JSON from the top": {jsonType + declared(large[:maxBody]), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			served(t, func(c *Config) { c.AuthTokens = []string{token} }, func(b *bench, l *pipeListener, _ context.CancelFunc) {
				conn := l.dial()
				defer conn.Close()
				authorization := "Authorization: Bearer " + token + "\r\n"
				if strings.HasPrefix(tc.request, "Authorization") {
					authorization = ""
				}
				if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"+authorization+tc.request); err != nil {
					b.t.Fatalf("the body is not read to its end: %v", err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					b.t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(text), `"status":`) {
					b.t.Errorf("answered %d, %v: %s", resp.StatusCode, err, text)
				}
				synctest.Wait()
				if used := b.api.pending.pending(); used != 0 {
					b.t.Errorf("%d bytes are still charged", used)
				}
			})
		})
	}
}

func TestBody(t *testing.T) {
	t.Run("refused body is not waited for", testRefusedBodyIsNotWaitedFor)
}

// The API does not wait for a body that the client has not started, or that is too large to be
// read.
func testRefusedBodyIsNotWaitedFor(t *testing.T) {
	for name, headers := range map[string]string{
		"waits to be asked": fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", maxBody+1),
		"99 MB":             "Content-Length: 99000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			served(t, nil, func(b *bench, l *pipeListener, _ context.CancelFunc) {
				conn := l.dial()
				defer conn.Close()
				began := time.Now()
				_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+headers+"\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					b.t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				if resp.StatusCode != http.StatusRequestEntityTooLarge || time.Since(began) != 0 {
					b.t.Errorf("answered %d after %s", resp.StatusCode, time.Since(began))
				}
			})
		})
	}
	t.Run("the rest does not come", func(t *testing.T) {
		served(t, nil, func(b *bench, l *pipeListener, _ context.CancelFunc) {
			conn := l.dial()
			defer conn.Close()
			began := time.Now()
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\nx")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				b.t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != http.StatusUnsupportedMediaType || time.Since(began) != drainTimeout {
				b.t.Errorf("answered %d after %s", resp.StatusCode, time.Since(began))
			}
		})
	})
}
