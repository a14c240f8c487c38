package awsenv

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// linePatience is how long a line of the log may take during a stop.
const linePatience = 100 * time.Millisecond

// LogPipe writes a log. A full pipe that is not read blocks its writers, and so every
// handler that logs. Until a stop LogPipe blocks too, so that no line is lost. From the
// stop on it gives up a line that the pipe does not take in time, and those after it at
// once, until the pipe takes lines again.
type LogPipe struct {
	w        io.Writer
	free     chan struct{} // holds one; empty while a line is on its way
	stopping chan struct{} // closed by Stop
	once     sync.Once
	stuck    atomic.Bool // a line was given up, and is on its way still
}

// NewLogPipe returns a LogPipe that writes to w. No two of them may share a pipe.
func NewLogPipe(w io.Writer) *LogPipe {
	l := &LogPipe{w: w, free: make(chan struct{}, 1), stopping: make(chan struct{})}
	l.free <- struct{}{}
	return l
}

// Stop keeps the log from holding up the process from now on.
func (l *LogPipe) Stop() { l.once.Do(func() { close(l.stopping) }) }

// Write implements [io.Writer]. A line that is given up counts as written: there is no
// other place to tell of it.
func (l *LogPipe) Write(line []byte) (int, error) {
	if !l.await(l.free) {
		return len(line), nil
	}
	line = bytes.Clone(line) // the caller uses its own again
	var err error
	written := make(chan struct{})
	go func() { // a full pipe holds it until the process ends
		_, err = l.w.Write(line)
		l.stuck.Store(false)
		close(written)
		l.free <- struct{}{}
	}()
	if !l.await(written) {
		l.stuck.Store(true)
		return len(line), nil
	}
	return len(line), err
}

// await waits for done, during a stop only for a while, and reports whether it is.
func (l *LogPipe) await(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-l.stopping:
	}
	patience := linePatience
	if l.stuck.Load() {
		patience = 0
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-done:
		return true
	case <-over.C:
		return false
	}
}

// Stat tells a terminal from a pipe; see [Logger].
func (l *LogPipe) Stat() (fs.FileInfo, error) {
	if f, ok := l.w.(interface{ Stat() (fs.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, errors.ErrUnsupported
}
