package awsenv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCheckTokens(t *testing.T) {
	const long = "0123456789abcdef"
	for name, tc := range map[string]struct {
		addr   string
		tokens []string
		want   []string // one part of each problem
	}{
		"none":                       {"0.0.0.0:1", nil, nil},
		"short on loopback":          {"127.0.0.1:1", []string{"a"}, nil},
		"short on IPv6 loopback":     {"[::1]:1", []string{"a"}, nil},
		"short everywhere":           {"0.0.0.0:1", []string{"a"}, []string{"token 1 of 1 has 1 characters"}},
		"short on all of IPv6":       {"[::]:1", []string{"a"}, []string{"at least 16"}},
		"short without a host":       {":1", []string{"a"}, []string{"at :1"}},
		"15":                         {"10.0.0.1:1", []string{long[1:]}, []string{"has 15 characters"}},
		"16":                         {"10.0.0.1:1", []string{long}, nil},
		"padded":                     {"10.0.0.1:1", []string{long[1:] + "  \n"}, []string{"has 15 characters"}},
		"characters, not bytes":      {"10.0.0.1:1", []string{strings.Repeat("ü", 15)}, []string{"has 15 characters"}},
		"blank on loopback":          {"127.0.0.1:1", []string{long, " "}, []string{"token 2 of 2 is blank"}},
		"each of them":               {"0.0.0.0:1", []string{"", "a", long, "\t"}, []string{"token 1 of 4", "token 2 of 4", "token 4 of 4"}},
		"the address is none at all": {"x", []string{"a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := CheckTokens("--auth-token", tc.addr, tc.tokens)
			if len(got) != len(tc.want) {
				t.Fatalf("problems are %q, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i], "--auth-token: ") || !strings.Contains(got[i], want) {
					t.Errorf("problem is %q, want %q", got[i], want)
				}
			}
			for _, problem := range got {
				if strings.Contains(problem, long[1:]) {
					t.Errorf("the token is shown: %s", problem)
				}
			}
		})
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("plain"), []byte(" s3cret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("plain", at("link")); err != nil { // as Kubernetes mounts them
		t.Fatal(err)
	}
	for _, fifo := range []string{"pipe", "silent"} {
		if err := syscall.Mkfifo(at(fifo), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe, err := os.OpenFile(at("pipe"), os.O_RDWR, 0) // as a shell's <(command)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	for path, want := range map[string]string{at("plain"): "s3cret", at("link"): "s3cret", at("silent"): ""} {
		if got, err := ReadSecret(path); got != want || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{at("none"), dir, "/dev/zero"} {
		if got, err := ReadSecret(path); err == nil {
			t.Errorf("%s: %q", path, got)
		}
	}
	if _, err := pipe.WriteString("s3cret\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(at("pipe"), time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) { // its writer does not close it
		t.Errorf("a pipe that does not end: %v", err)
	}
}
