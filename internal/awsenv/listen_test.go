package awsenv

import (
	"fmt"
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	t.Run("port in use names the flag that changes it", testPortInUseNamesTheFlagThatChangesIt)
	t.Run("address that is none is a settings error", testAddressThatIsNoneIsASettingsError)
	t.Run("address that cannot be listened on names flag and value", testAddressThatCannotBeListenedOnNamesFlagAndValue)
	t.Run("loopback is reached by this machine alone", testLoopbackIsReachedByThisMachineAlone)
}

func testPortInUseNamesTheFlagThatChangesIt(t *testing.T) {
	taken, err := Listen("--addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	addr := taken.Addr().String()
	_, err = Listen("--addr", addr)
	want := fmt.Sprintf("--addr: %s is in use; choose another with --addr HOST:PORT", addr)
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	if Exit(err) != 1 {
		t.Errorf("exit code %d, want 1", Exit(err))
	}
}

func testAddressThatIsNoneIsASettingsError(t *testing.T) {
	for _, addr := range []string{"", "8080", "127.0.0.1", "::1:80"} {
		ln, err := Listen("--admin-addr", addr)
		if err == nil {
			_ = ln.Close()
		}
		if Exit(err) != 2 || !strings.Contains(err.Error(), "--admin-addr") {
			t.Errorf("Listen(%q): %v", addr, err)
		}
	}
}

func testAddressThatCannotBeListenedOnNamesFlagAndValue(t *testing.T) {
	ln, err := Listen("--addr", "127.0.0.1:http-of-nobody")
	if err == nil {
		_ = ln.Close()
	}
	if err == nil || !strings.Contains(err.Error(), `--addr "127.0.0.1:http-of-nobody"`) {
		t.Errorf("error is %v", err)
	}
}

func testLoopbackIsReachedByThisMachineAlone(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:0": true, "[::1]:80": true, "localhost:80": true,
		"0.0.0.0:80": false, ":80": false, "[::]:80": false, "10.0.0.1:80": false, "localhost.example:80": false,
		"": true, "80": true, // no addresses
	} {
		if got := Loopback(addr); got != want {
			t.Errorf("Loopback(%q) is %t", addr, got)
		}
	}
}
