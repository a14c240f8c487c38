package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// redis is a Redis server without persistence, on a Unix socket.
type redis struct {
	socket string
	cmd    *exec.Cmd
	out    bytes.Buffer  // read only after the end
	ended  chan struct{} // closed after the end
}

// startRedis starts Debian's server, whose data and socket are in dir.
func startRedis(ctx context.Context, dir string) (*redis, error) {
	r := &redis{socket: filepath.Join(dir, "redis.sock"), ended: make(chan struct{})}
	r.cmd = exec.CommandContext(ctx, "redis-server", "--port", "0", "--unixsocket", r.socket, "--dir", dir, "--save", "", "--appendonly", "no") //nolint:gosec // our own socket
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start Redis, run make bench-deps: %w", err)
	}
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // usually an error, because the process was killed
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := r.do(ctx, "PING"); err == nil {
			return r, nil
		}
		select {
		case <-tick.C:
		case <-r.ended:
			return nil, fmt.Errorf("bench: Redis has ended: %s\n%s", r.cmd.ProcessState, &r.out)
		}
	}
}

func (r *redis) close() {
	_ = r.cmd.Process.Kill() // fails if it has ended
	<-r.ended
}

// reset forgets all keys and counts.
func (r *redis) reset(ctx context.Context) error {
	if _, err := r.do(ctx, "FLUSHALL"); err != nil {
		return err
	}
	_, err := r.do(ctx, "CONFIG RESETSTAT")
	return err
}

// clientCommands are the commands that the deduplication sends. The commands that its scripts call
// are counted by Redis too, under other names.
var clientCommands = regexp.MustCompile(`(?m)^cmdstat_(?:set|exists|eval|evalsha):calls=(\d+),`)

// commands returns the number of commands since the last reset.
func (r *redis) commands(ctx context.Context) (n int, err error) {
	text, err := r.do(ctx, "INFO commandstats")
	if err != nil {
		return 0, err
	}
	for _, found := range clientCommands.FindAllStringSubmatch(text, -1) {
		calls, err := strconv.Atoi(found[1])
		if err != nil {
			return 0, fmt.Errorf("bench: Redis: %w", err)
		}
		n += calls
	}
	return n, nil
}

// do sends an inline command, and returns its answer: a line or a bulk string.
// https://redis.io/docs/latest/develop/reference/protocol-spec/
func (r *redis) do(ctx context.Context, command string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	if err != nil {
		return "", fmt.Errorf("bench: Redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return "", fmt.Errorf("bench: Redis: %s: %w", command, err)
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("bench: Redis: %s: %w", command, err)
	}
	kind, rest := line[:1], strings.TrimSpace(line[1:])
	switch kind {
	case "+":
		return rest, nil
	case "$":
		size, err := strconv.Atoi(rest)
		if err != nil {
			return "", fmt.Errorf("bench: Redis: %s: %w", command, err)
		}
		bulk := make([]byte, size)
		if _, err := io.ReadFull(in, bulk); err != nil {
			return "", fmt.Errorf("bench: Redis: %s: %w", command, err)
		}
		return string(bulk), nil
	default:
		return "", fmt.Errorf("bench: Redis: %s: answered %q", command, line)
	}
}
