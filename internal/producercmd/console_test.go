package producercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sqsonce/sqsonce/internal/console"
)

func TestConsole(t *testing.T) {
	t.Run("on real servers", testConsoleServes)
	t.Run("bad settings", testConsoleSettings)
}

func testConsoleServes(t *testing.T) {
	r := realRig(t, "producer-console")
	r.deadLetters(3)
	var log bytes.Buffer
	said, out := io.Pipe()
	signals := make(chan os.Signal)
	ended := make(chan int, 1)
	go func() {
		defer func() { _ = out.Close() }()
		args := append([]string{"console", "--addr", "127.0.0.1:0"}, r.backend...)
		ended <- run(context.Background(), args, stdio{strings.NewReader(""), out, &log}, signals)
	}()
	first := make([]byte, 1024)
	n, err := said.Read(first)
	if err != nil {
		t.Fatalf("it ends with %d: %s", <-ended, &log)
	}
	address := regexp.MustCompile(`http://\S+/`).FindString(string(first[:n]))
	var session console.Session
	get := func(path string, into any) {
		t.Helper()
		resp, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s answers %s: %v", path, resp.Status, err)
		}
	}
	get("api/session", &session)
	if q := session.Queues[0]; !session.MayAct || q.Pool || !q.Listed || !q.Settle || q.DLQ == "" || q.Table != "producer-console" {
		t.Errorf("the session is %+v", session)
	}
	var list console.NameList
	get("api/queues/"+session.Queues[0].Name+"/names/list", &list)
	if len(list.Names) != 0 {
		t.Errorf("the list is %+v", list)
	}
	signals <- syscall.SIGTERM
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d: %s", code, &log)
	}
}

func testConsoleSettings(t *testing.T) {
	for args, want := range map[string][]string{
		"console": {"--queue-url", "--table"},
		"console --queue-url http://x/1/q --table t --addr 0.0.0.0:0":                     {"--token", "beyond loopback"},
		"console --queue-url http://x/1/q --table t --addr :0 --token short":              {"--token", "16"},
		"console --queue-url http://x/1/q --table t --workers ftp://x --hosts 10.0.0.7":   {"--workers", "--hosts"},
		"console --queue-url http://x/1/q --table t --skew=-1s":                           {"--skew"},
		"console --queue-url http://x/1/q --table t --addr 127.0.0.1:0 --token-file none": {"--token-file"},
	} {
		producer(t, "", strings.Fields(args)...).want(2).says(want...)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	producer(t, "", strings.Fields("console --queue-url http://x/1/q --table t --addr 0.0.0.0:0 --token-file "+file)...).want(2).says("16")
}
