package producercmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestImport(t *testing.T) {
	t.Parallel()
	t.Run("over HTTP", func(t *testing.T) { testImport(t, localRig(t)) })
	t.Run("interrupted", testImportInterrupted)
	producer(t, "", "import").want(2).says("--completed")
	producer(t, "", "import", "--completed", "--skip=-1").want(2).says("--skip -1")
}

// nameLines returns old-1 to old-count, one per line.
func nameLines(count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "old-%d\n", i+1)
	}
	return b.String()
}

func testImport(t *testing.T, r *rig) {
	r.work(1)
	r.do("send", "--name", "old-7", "--wait", "20s").want(0)
	runs := func(stdin string, args ...string) result {
		return producer(t, stdin, append(append([]string{"import", "--completed"}, args...), r.backend...)...)
	}
	runs(nameLines(2500)).want(0).says("2499 names recorded as COMPLETED, 1 name already recorded, 0 refused")
	runs(nameLines(2500)).want(0).says("0 names recorded as COMPLETED, 2500 names already recorded")
	r.do("send", "--name", "old-2500", "--wait", "20s").want(0).says("COMPLETED")
	r.do("status", "old-2500").want(0).says("last verb", "import by")
	r.mu.Lock()
	if n := r.runs["old-2500"]; n != 0 {
		t.Errorf("its work was done %d times", n)
	}
	r.mu.Unlock()
	runs("new-1\r\n\nnew\x01\n").want(1).says("1 name recorded", "line 3:", "control character", "1 line refused")
	runs("a\nb\nnew-2\n", "--skip", "2").want(0).says("1 name recorded")
	runs("a\n", "--skip", "4").want(1).says("--skip 4", "1 lines")
}

func testImportInterrupted(t *testing.T) {
	r := localRig(t)
	var calls atomic.Int64
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if calls.Add(1) == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, req, r.backend[1]+req.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer flaky.Close()
	args := []string{"import", "--completed", "--url", flaky.URL, "--auth-token", token}
	producer(t, nameLines(1500), args...).want(1).says("1000 names recorded", "continue with --skip 1000")
	producer(t, nameLines(1500), append(args, "--skip", "1000")...).want(0).says("500 names recorded")
}
