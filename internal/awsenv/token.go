package awsenv

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// MinToken is the minimum length, in characters, of a token that protects a server beyond loopback.
// Sixteen random letters and digits have 95 bits, too many to guess over a network.
const MinToken = 16

// CheckTokens returns the problems of the bearer tokens of a server that listens at addr: tokens
// that are blank, as from an empty variable, or shorter than [MinToken] beyond loopback. source
// names the flag and the variable that set the tokens.
func CheckTokens(source, addr string, tokens []string) (problems []string) {
	for i, token := range tokens {
		length := utf8.RuneCountInString(strings.TrimSpace(token))
		switch {
		case length == 0:
			problems = append(problems, fmt.Sprintf("%s: token %d of %d is blank", source, i+1, len(tokens)))
		case length < MinToken && !Loopback(addr):
			problems = append(problems, fmt.Sprintf("%s: token %d of %d has %d characters, and at least %d are needed to listen beyond loopback, at %s (openssl rand -hex 16 makes one)",
				source, i+1, len(tokens), length, MinToken, addr))
		}
	}
	return problems
}

const (
	maxSecret     = 64 << 10 // bytes of a file that holds secrets
	secretTimeout = 5 * time.Second
)

// ReadSecret returns the content of a file without the white space around it. It fails for more
// than 64 KiB, and for a pipe or a device that does not end within 5 seconds.
func ReadSecret(path string) (string, error) { return readSecret(path, secretTimeout) }

func readSecret(path string, within time.Duration) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // otherwise opening a pipe waits for its writer
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	_ = f.SetReadDeadline(time.Now().Add(within)) // fails for regular files, which need none
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s: more than %d bytes", path, maxSecret)
	}
	return strings.TrimSpace(string(data)), nil
}
