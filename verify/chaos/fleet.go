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

// Harm is something that was done to a worker's process.
type Harm struct {
	Process  int    // by the order of their starts; the first is 1
	Kind     string // "kill", "pause" or "stop"
	From, To time.Time
}

// Fleet are workers in processes of their own. When one ends, whatever the
// reason, another takes its place.
type Fleet struct {
	env []string
	log io.Writer

	mu      sync.Mutex
	binary  []string    // guarded by mu; of each worker
	changed int         // guarded by mu; changes of binary
	workers []*exec.Cmd // guarded by mu; the present process of each
	numbers []int       // guarded by mu; of that
	admins  []string    // guarded by mu; their admin addresses
	harms   []Harm      // guarded by mu
	ending  bool        // guarded by mu
	starts  int         // guarded by mu
	ended   sync.WaitGroup
}

// NewFleet starts n workers. env is given to each, with its own target added.
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
	// Should somebody be faster, the worker ends, and the next one tries another.
	port, err := emulators.FreePort(context.Background()) // it does not wait
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
		_ = cmd.Wait() // killed, mostly
		time.Sleep(200 * time.Millisecond)
		_ = f.start(i, target) // nobody is there to be told; the run shows the missing one
	})
	return nil
}

// Admins returns the admin addresses of the present processes.
func (f *Fleet) Admins() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.admins)
}

// Harass does harm at random until ctx ends: about one act every interval.
func (f *Fleet) Harass(ctx context.Context, seed uint64, interval, maxPause time.Duration) {
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
			d := time.Duration((0.2 + 0.8*r.Float64()) * float64(maxPause))
			pid := f.signal(i, "pause", syscall.SIGSTOP)
			f.ended.Go(func() {
				time.Sleep(d) // also when ctx has ended: nobody stays paused
				f.resume(pid)
			})
		}
	}
}

// Change has a worker end as at a deployment; the next process of it runs another
// binary.
func (f *Fleet) Change(i int, binary string) {
	f.mu.Lock()
	f.binary[i] = binary
	f.changed++
	f.mu.Unlock()
	f.signal(i, "stop", syscall.SIGTERM)
}

// Changes returns how often workers have changed their binary.
func (f *Fleet) Changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// signal sends a signal to a worker, notes it, and returns who got it.
func (f *Fleet) signal(i int, kind string, s syscall.Signal) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	pid := f.workers[i].Process.Pid
	f.harms = append(f.harms, Harm{Process: f.numbers[i], Kind: kind, From: time.Now()})
	_ = f.workers[i].Process.Signal(s) // it may have just ended
	return pid
}

// resume lets a paused process go on.
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

// Harms returns what was done.
func (f *Fleet) Harms() []Harm {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Harm(nil), f.harms...)
}

// Starts returns how many processes were started.
func (f *Fleet) Starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// PIDs returns the present processes.
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

// Kill ends all workers for good and waits for them.
func (f *Fleet) Kill() { f.end(syscall.SIGKILL) }

// Stop tells all workers to end, and waits for them.
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
