// Package transcript collects the output of programs that tests run.
package transcript

import (
	"bytes"
	"sync"
)

// Buffer collects the output of a program that runs. Its zero value is empty and ready to use. It
// is safe for concurrent use.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns the output so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
