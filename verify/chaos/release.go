package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Release is the programs of one release.
type Release struct {
	Worker   string // executable
	Producer string // executable; reads the records of its release and of the other one
}

// Build builds a release: dir is the root of its module, and the executables go
// into the directory into.
func Build(ctx context.Context, dir, into string) (Release, error) {
	r := Release{Worker: filepath.Join(into, "worker"), Producer: filepath.Join(into, "producer")}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", into, "./cmd/worker", "./cmd/producer") //nolint:gosec // our own tree
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return r, fmt.Errorf("build the release in %s: %w\n%s", dir, err, out)
	}
	return r, nil
}

// roll upgrades the fleet from the other release to this one, rolls it back and upgrades it again,
// one worker after the other, evenly over the time of chaos.
func (r *run) roll(ctx context.Context) {
	n := r.cfg.Workers
	for step := range 3 * n {
		wait(ctx, r.cfg.Chaos/time.Duration(3*n+1))
		if ctx.Err() != nil {
			return
		}
		i, to := step%n, r.cfg.Binary
		if step/n == 1 {
			to = r.cfg.Other.Worker
		}
		r.fleet.Change(i, to)
	}
}

// compare reads every sent name with the producers of both releases. Their answers must be equal,
// and the result of a completed name must be the target's answer to its last attempt.
func (r *run) compare(ctx context.Context, rep *Report) error {
	var readers [2]*reader
	for i, producer := range []string{r.cfg.Other.Producer, r.cfg.Producer} {
		var err error
		if readers[i], err = r.startReader(ctx, producer); err != nil {
			return err
		}
		defer readers[i].stop()
	}
	for name := range r.sent {
		var told [2]map[string]any
		for i, from := range readers {
			var err error
			if told[i], err = from.get(ctx, name); err != nil {
				return err
			}
		}
		rep.Compared++
		for field, value := range told[0] {
			if !reflect.DeepEqual(value, told[1][field]) {
				rep.Differences = append(rep.Differences, fmt.Sprintf("%s: %s is %v to one release and %v to the other", name, field, value, told[1][field]))
			}
		}
		rep.checkResult(name, told[1])
	}
	return nil
}

// checkResult compares the result of a completed name with the target's answer,
// which is the fence of the attempt.
func (r *Report) checkResult(name string, told map[string]any) {
	if told["status"] != string(protocol.Completed) {
		return
	}
	result, _ := told["result"].(map[string]any)
	if fence := told["fence"]; fence == nil || result["fence"] != fence {
		r.Differences = append(r.Differences, fmt.Sprintf("%s: the attempt with fence %v has the result %v", name, fence, told["result"]))
	}
}

// reader is a producer that serves the API.
type reader struct {
	url string
	cmd *exec.Cmd
}

func (r *run) startReader(ctx context.Context, producer string) (*reader, error) {
	port, err := emulators.FreePort(ctx)
	if err != nil {
		return nil, fmt.Errorf("start a producer: %w", err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	p := &reader{url: "http://" + addr, cmd: exec.CommandContext(ctx, producer, "serve", "--addr", addr)} //nolint:gosec // built by the caller
	p.cmd.Env = slices.Concat(os.Environ(), r.env(r.cfg.SQS, r.cfg.DynamoDB))
	p.cmd.Stdout, p.cmd.Stderr = r.cfg.Log, r.cfg.Log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a producer: %w", err)
	}
	for deadline := time.Now().Add(time.Minute); ; wait(ctx, 50*time.Millisecond) {
		if _, err = p.get(ctx, "any"); err == nil {
			return p, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			p.stop()
			return nil, fmt.Errorf("the producer does not answer: %w", err)
		}
	}
}

func (p *reader) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // returns an error, because the process was killed
}

// get returns the API's answer for a name.
func (p *reader) get(ctx context.Context, name string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/messages/"+url.PathEscape(name), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	resp, err := (&http.Client{Timeout: callTimeout}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end, or reading has failed
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	var told map[string]any
	if err := json.Unmarshal(body, &told); err != nil {
		return nil, fmt.Errorf("ask for %s: %w: %s", name, err, body)
	}
	delete(told, "request_id") // of a problem document
	return told, nil
}
