package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Harm is a signal to a worker's process.
type Harm struct {
	Process  int    // number in the order of starts, from 1
	Kind     string // "kill", "pause" or "stop"
	From, To time.Time
}

// Fleet is a number of worker processes. A process that ends is replaced by a new one.
type Fleet struct {
	env []string
	log io.Writer

	mu      sync.Mutex
	binary  []string    // guarded by mu; by worker
	changed int         // guarded by mu; changes of binary
	workers []*exec.Cmd // guarded by mu; the present process of each worker
	numbers []int       // guarded by mu; the number of that process
	admins  []string    // guarded by mu; the admin address of that process
	harms   []Harm      // guarded by mu
	ending  bool        // guarded by mu
	starts  int         // guarded by mu
	ended   sync.WaitGroup
}

// NewFleet starts n workers. Each gets env and its own target.
func NewFleet(binary string, n int, target string, env []string, log io.Writer) (*Fleet, error) {
	f := &Fleet{
		binary: slices.Repeat([]string{binary}, n), env: env, log: log,
		workers: make([]*exec.Cmd, n), numbers: make([]int, n), admins: make([]string, n),
	}
	for i := range n {
		if err := f.start(i, target); err != nil {
			f.Kill()
			return nil, err
		}
	}
	return f, nil
}

// start starts the next process of a worker.
func (f *Fleet) start(i int, target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return nil
	}
	// If another process takes the port first, the worker ends, and its successor gets another
	// port.
	port, err := emulators.FreePort(context.Background()) // does not block
	if err != nil {
		return fmt.Errorf("start worker %d: %w", i, err)
	}
	admin := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(f.binary[i], "--admin-addr", admin) //nolint:gosec,noctx // built by the caller; Kill or Stop ends it
	cmd.Env = append(append(os.Environ(), f.env...), fmt.Sprintf("SQSONCE_TARGET_URL=%s/p%d", target, f.starts+1))
	cmd.Stdout, cmd.Stderr = f.log, f.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start worker %d: %w", i, err)
	}
	f.starts++
	f.workers[i], f.numbers[i], f.admins[i] = cmd, f.starts, admin
	f.ended.Go(func() {
		_ = cmd.Wait() // returns an error if the process was killed
		time.Sleep(200 * time.Millisecond)
		_ = f.start(i, target) // after an error the run has one worker less
	})
	return nil
}

// Admins returns the admin addresses of the present processes.
func (f *Fleet) Admins() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.admins)
}

// Harass harms random workers until ctx ends, on average once per interval. Half of the pauses stop
// two workers at once.
func (f *Fleet) Harass(ctx context.Context, seed uint64, interval, minPause, maxPause time.Duration) {
	r := rand.New(rand.NewPCG(seed, 3))
	for {
		wait(ctx, time.Duration((0.5+r.Float64())*float64(interval)))
		if ctx.Err() != nil {
			return
		}
		i := r.IntN(len(f.workers))
		switch x := r.Float64(); {
		case x < 0.4:
			f.signal(i, "kill", syscall.SIGKILL)
		case x < 0.7:
			f.signal(i, "stop", syscall.SIGTERM)
		default:
			d := minPause + time.Duration(r.Float64()*float64(maxPause-minPause))
			for _, i := range r.Perm(len(f.workers))[:1+r.IntN(2)] {
				f.pause(i, d)
			}
		}
	}
}

// pause stops a worker for d. It does not wait.
func (f *Fleet) pause(i int, d time.Duration) {
	pid := f.signal(i, "pause", syscall.SIGSTOP)
	f.ended.Go(func() {
		time.Sleep(d) // to its end in any case, so that no process stays paused
		f.resume(pid)
	})
}

// Change ends a worker as a deployment does. Its next process runs another binary.
func (f *Fleet) Change(i int, binary string) {
	f.mu.Lock()
	f.binary[i] = binary
	f.changed++
	f.mu.Unlock()
	f.signal(i, "stop", syscall.SIGTERM)
}

// Changes returns the number of changes of a worker's binary.
func (f *Fleet) Changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// signal sends a signal to a worker, records the harm, and returns the process id.
func (f *Fleet) signal(i int, kind string, s syscall.Signal) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	pid := f.workers[i].Process.Pid
	f.harms = append(f.harms, Harm{Process: f.numbers[i], Kind: kind, From: time.Now()})
	_ = f.workers[i].Process.Signal(s) // fails if the process has just ended
	return pid
}

// resume continues a paused process.
func (f *Fleet) resume(pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, cmd := range f.workers {
		if cmd.Process.Pid != pid {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGCONT)
		for j := range f.harms {
			if h := &f.harms[j]; h.Process == f.numbers[i] && h.Kind == "pause" && h.To.IsZero() {
				h.To = time.Now()
			}
		}
	}
}

// Harms returns the harms so far.
func (f *Fleet) Harms() []Harm {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Harm(nil), f.harms...)
}

// Starts returns the number of started processes.
func (f *Fleet) Starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// PIDs returns the ids of the present processes.
func (f *Fleet) PIDs() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var pids []int
	for _, cmd := range f.workers {
		if cmd != nil {
			pids = append(pids, cmd.Process.Pid)
		}
	}
	return pids
}

// Kill kills all workers without replacement and waits for their end.
func (f *Fleet) Kill() { f.end(syscall.SIGKILL) }

// Stop sends SIGTERM to all workers without replacement and waits for their end.
func (f *Fleet) Stop() { f.end(syscall.SIGTERM) }

func (f *Fleet) end(s syscall.Signal) {
	f.mu.Lock()
	f.ending = true
	for _, cmd := range f.workers {
		if cmd != nil {
			_ = cmd.Process.Signal(syscall.SIGCONT)
			_ = cmd.Process.Signal(s)
		}
	}
	f.mu.Unlock()
	f.ended.Wait()
}
