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

// MinToken is how many characters a token has at least that protects a server beyond
// loopback. Sixteen random letters and digits hold 95 bits: no number of guesses over a
// network finds them.
const MinToken = 16

// CheckTokens returns what is wrong with the bearer tokens of a server that listens at
// addr; source names the flag and the variable that set them. A blank token is left over
// by an empty variable, and must not count as one.
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

// ReadSecret returns what a file holds, without the white space around it. A pipe or a
// device that nothing is written to, or that does not end, is an error.
func ReadSecret(path string) (string, error) { return readSecret(path, secretTimeout) }

func readSecret(path string, within time.Duration) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a pipe would wait for its writer
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	_ = f.SetReadDeadline(time.Now().Add(within)) // a plain file has none
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s: more than %d bytes", path, maxSecret)
	}
	return strings.TrimSpace(string(data)), nil
}
