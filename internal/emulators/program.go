package emulators

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// Program is one of the servers that npm installs.
type Program struct {
	Name string // in errors
	Env  string // the AWS SDK's variable with the endpoint of this service

	files   []string // required files, relative to the repository, with slashes
	command func(root string, port int, child bool) (name string, args []string)
}

// The pinned servers.
var (
	Dynoxide = Program{
		Name:  "dynoxide",
		Env:   "AWS_ENDPOINT_URL_DYNAMODB",
		files: []string{"node_modules/@dynoxide/linux-x64/dynoxide"},
		command: func(root string, port int, _ bool) (string, []string) {
			binary := filepath.Join(root, "node_modules", "@dynoxide", "linux-x64", "dynoxide")
			return binary, []string{"--host", "127.0.0.1", "--port", strconv.Itoa(port)}
		},
	}
	Fauxqs = Program{
		Name:  "fauxqs",
		Env:   "AWS_ENDPOINT_URL_SQS",
		files: []string{"scripts/fauxqs.mjs", "node_modules/fauxqs/package.json"},
		command: func(root string, port int, child bool) (string, []string) {
			args := []string{filepath.Join(root, "scripts", "fauxqs.mjs"), strconv.Itoa(port)}
			if child {
				args = append(args, "--with-stdin")
			}
			return "node", args
		},
	}
)

// cmd returns the command that serves on port of 127.0.0.1 (0: a free port). With child the server
// ends with this process. The error names a missing file and the command that installs it.
func (p Program) cmd(ctx context.Context, port int, child bool) (*exec.Cmd, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	for _, file := range p.files {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(file))); err != nil {
			return nil, fmt.Errorf("%s is not installed: run `make deps`, or set %s to the endpoint of a server of your own: %w",
				p.Name, p.Env, err)
		}
	}
	if port == 0 {
		// dynoxide does not print the port that it chose.
		if port, err = FreePort(ctx); err != nil {
			return nil, err
		}
	}
	name, args := p.command(root, port, child)
	return exec.CommandContext(ctx, name, args...), nil //nolint:gosec // The command is one of the two above.
}

// Root returns the repository's directory: the working directory or its nearest parent with both a
// go.mod and a package.json.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "go.mod")) && exists(filepath.Join(dir, "package.json")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the repository: go.mod and package.json upwards of %s: %w", start, fs.ErrNotExist)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// FreePort returns a port of 127.0.0.1 that is free now. Another process may take it before the
// caller does.
func FreePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

var listening = regexp.MustCompile(`(?i)listening on (http://127\.0\.0\.1:[0-9]+)\s`)

// endpointIn returns the address in a server's output, "" if there is none yet. Both servers print
// it only after binding the port, so it cannot belong to another program.
func endpointIn(output []byte) string {
	if match := listening.FindSubmatch(output); match != nil {
		return string(match[1])
	}
	return ""
}
