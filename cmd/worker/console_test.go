package main

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answerOf returns what a URL answers.
func answerOf(t *testing.T, url string) (status int, contentType, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(data)
}

func TestTheConsoleIsOnTheAdminAddress(t *testing.T) {
	p := startLocal(t, "--admin-token", "t0ken")
	url := p.adminURL(t)
	send(t, anySDK(p.queueURL(t)), p.queueURL(t), body("order-17"), body("order-17"))
	wait(t, "the console tells the story of order-17", func() bool {
		_, _, text := answerOf(t, url+"/api/queues/sqsonce/names?name=order-17")
		return strings.Contains(text, `"status":"COMPLETED"`) && strings.Contains(text, `"kind":"claimed"`)
	})
	for path, want := range map[string]struct {
		status     int
		kind, text string
	}{
		"/":                          {200, "text/html; charset=utf-8", "<title>sqsonce</title>"},
		"/api/session":               {200, "application/json", `"local":true`},
		"/api/queues/sqsonce/status": {200, "application/json", `"state":"running"`},
		"/api/queues/sqsonce/config": {200, "application/json", `"name":"concurrency"`},
		"/healthz":                   {200, "application/json", `"status":"ok"`},
		"/config":                    {200, "application/json", `{"queues":{"sqsonce":{`},
		"/nothing":                   {404, "application/problem+json", "nothing is at"},
	} {
		status, kind, text := answerOf(t, url+path)
		if status != want.status || kind != want.kind || !strings.Contains(text, want.text) {
			t.Errorf("%s answers %d %s %.200s", path, status, kind, text)
		}
		if strings.Contains(text, "t0ken") {
			t.Errorf("%s tells the admin token", path)
		}
	}
}

func TestAProxyMayPassOnItsOwnName(t *testing.T) {
	p := startLocal(t, "--admin-hosts", "console.example")
	for host, want := range map[string]int{"console.example": 200, "console.example:443": 200, "evil.example": 421} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.adminURL(t)+"/api/session", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil || resp.StatusCode != want {
			t.Errorf("%s: status %d, %v", host, resp.StatusCode, err)
		}
		if want == http.StatusOK && !strings.Contains(string(text), `"may_act":false`) {
			t.Errorf("%s may act without the token: %s", host, text)
		}
	}
}

func TestAnOpenConsoleDoesNotHoldUpAStop(t *testing.T) {
	p := startLocal(t)
	resp, err := http.Get(p.adminURL(t) + "/api/queues/sqsonce/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.ReadFull(resp.Body, make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	p.signals <- syscall.SIGTERM
	start := time.Now()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d after %s", code, time.Since(start))
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream was cut off: %v", err)
	}
}
