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

// linePatience bounds the write of a log line during a stop.
const linePatience = 100 * time.Millisecond

// LogPipe writes a log to a pipe whose reader may be stuck. Before [LogPipe.Stop] a full pipe
// blocks Write, so that no line is lost. After Stop a line is dropped if the pipe does not take it
// within 100 ms, and further lines are dropped at once until the pipe takes lines again. The log
// therefore cannot delay the end of the process.
type LogPipe struct {
	w        io.Writer
	free     chan struct{} // capacity 1; empty during a write
	stopping chan struct{} // closed by Stop
	once     sync.Once
	stuck    atomic.Bool // the last line was dropped, and its write has not returned
}

// NewLogPipe returns a LogPipe that writes to w. It must be the only writer of w.
func NewLogPipe(w io.Writer) *LogPipe {
	l := &LogPipe{w: w, free: make(chan struct{}, 1), stopping: make(chan struct{})}
	l.free <- struct{}{}
	return l
}

// Stop makes Write drop lines instead of blocking. It may be called several times.
func (l *LogPipe) Stop() { l.once.Do(func() { close(l.stopping) }) }

// Write implements [io.Writer]. A dropped line counts as written, because there is no other place
// to report it.
func (l *LogPipe) Write(line []byte) (int, error) {
	if !l.await(l.free) {
		return len(line), nil
	}
	line = bytes.Clone(line) // the caller reuses its slice
	var err error
	written := make(chan struct{})
	go func() { // not joined: a full pipe may block it until the process ends
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

// await waits for done and reports whether it came. After Stop it waits for linePatience at most.
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

// Stat returns the file info of the underlying writer, by which [Logger] recognises a terminal.
func (l *LogPipe) Stat() (fs.FileInfo, error) {
	if f, ok := l.w.(interface{ Stat() (fs.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, errors.ErrUnsupported
}
