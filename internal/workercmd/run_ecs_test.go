package workercmd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sqsonce/sqsonce/internal/ecs"
)

// fakeAgent fakes the called part of the ECS container agent.
type fakeAgent struct {
	*httptest.Server
	mu    sync.Mutex
	calls []string // guarded by mu
}

func newFakeAgent(t *testing.T, answer http.HandlerFunc) *fakeAgent {
	a := &fakeAgent{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.calls = append(a.calls, r.Method+" "+r.URL.Path+" "+string(text))
		a.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	t.Setenv(ecs.EnvAgentURI, a.URL+"/api/7")
	return a
}

func (a *fakeAgent) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

func TestECS(t *testing.T) {
	t.Run("task is protected while it works", testTaskIsProtectedWhileItWorks)
	t.Run("agent in trouble changes nothing for messages", testAgentInTroubleChangesNothingForMessages)
}

func testTaskIsProtectedWhileItWorks(t *testing.T) {
	agent := newFakeAgent(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"protection":{}}`) })
	target := newSlowTarget(t)
	p := startLocal(t, "--target-url", target.URL)
	queueURL := p.queueURL(t)
	client := anySDK(queueURL)
	send(t, client, queueURL, body("a"), body("b"), body("c"))
	wait(t, "three posts", func() bool { return target.asked() == 3 })
	wait(t, "protection", func() bool { return len(agent.seen()) == 1 })
	p.signals <- syscall.SIGTERM
	wait(t, "end of protection while still at work", func() bool { return len(agent.seen()) == 2 })
	close(target.answer)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	want := []string{
		`PUT /api/7/task-protection/v1/state {"ProtectionEnabled":true,"ExpiresInMinutes":10}`,
		`PUT /api/7/task-protection/v1/state {"ProtectionEnabled":false}`,
	}
	if got := agent.seen(); !slices.Equal(got, want) {
		t.Errorf("agent was called by\n%s", strings.Join(got, "\n"))
	}
}

func testAgentInTroubleChangesNothingForMessages(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"errs":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			agent := newFakeAgent(t, answer)
			target := newSlowTarget(t)
			p := startLocal(t, "--target-url", target.URL)
			queueURL := p.queueURL(t)
			client := anySDK(queueURL)
			send(t, client, queueURL, body("a"), body("b"), body("c"))
			wait(t, "three posts", func() bool { return target.asked() == 3 })
			wait(t, "a call", func() bool { return len(agent.seen()) > 0 })
			close(target.answer)
			p.logged(t, `"msg":"handled"`, 3)
			waitCounts(t, client, queueURL, "0", "0")
		})
	}
}
