package schedule

import (
	"context"
	"sync"
	"time"
)

// Local keeps schedules in this process, by timers. Use [NewLocal].
type Local struct {
	send func(context.Context, Message)

	mu      sync.Mutex
	kept    map[string]*timed // guarded by mu
	closed  bool              // guarded by mu
	sending sync.WaitGroup
}

// timed is a schedule and its timer.
type timed struct {
	Schedule
	timer *time.Timer
}

var _ Scheduler = (*Local)(nil)

// NewLocal returns a scheduler that calls send for each message that is due. Close it.
func NewLocal(send func(context.Context, Message)) *Local {
	return &Local{send: send, kept: make(map[string]*timed)}
}

// Create implements [Scheduler].
func (l *Local) Create(_ context.Context, name string, s Schedule) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept[name] != nil {
		return time.Time{}, ErrExists
	}
	if !l.closed {
		t := &timed{Schedule: s}
		t.timer = time.AfterFunc(time.Until(s.At), func() { l.fire(name, t) })
		l.kept[name] = t
	}
	return s.At, nil
}

// fire sends a message unless its schedule is gone.
func (l *Local) fire(name string, t *timed) {
	l.mu.Lock()
	is := l.kept[name] == t && !l.closed
	if is {
		delete(l.kept, name)
		l.sending.Add(1)
	}
	l.mu.Unlock()
	if is {
		defer l.sending.Done()
		l.send(context.Background(), t.Message)
	}
}

// Get implements [Scheduler].
func (l *Local) Get(_ context.Context, name string) (Schedule, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.kept[name]; t != nil {
		return t.Schedule, nil
	}
	return Schedule{}, ErrNone
}

// Delete implements [Scheduler].
func (l *Local) Delete(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.kept[name]
	if t == nil {
		return ErrNone
	}
	t.timer.Stop()
	delete(l.kept, name)
	return nil
}

// Close forgets all schedules and waits for messages that are being sent.
func (l *Local) Close() {
	l.mu.Lock()
	l.closed = true
	for _, t := range l.kept {
		t.timer.Stop()
	}
	l.kept = nil
	l.mu.Unlock()
	l.sending.Wait()
}
