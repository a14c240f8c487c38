package emulators

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// readEndpoints returns the two addresses of the helper's first line.
func readEndpoints(t *testing.T, r io.Reader) []string {
	t.Helper()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "endpoints" {
			return fields[1:]
		}
	}
	t.Fatalf("the helper ended without its endpoints: %v", lines.Err())
	return nil
}

// waitRefused waits until no process listens on addr. It waits on a connection, which the kernel
// closes when the server ends.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	var dialer net.Dialer
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := dialer.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		if err := conn.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(conn)
		_ = conn.Close() // nothing was written
		if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
			t.Fatalf("%s still serves after its owner was killed", addr)
		}
	}
}
