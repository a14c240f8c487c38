package producercmd

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// progressLine is a line on a terminal that counts up, and that its end clears. A program that
// reads the output gets nothing.
type progressLine struct {
	what  string
	total int64 // -1: unknown

	mu    sync.Mutex
	to    io.Writer // guarded by mu; nil: shown nowhere, or not any more
	done  int64     // guarded by mu
	began time.Time
	drawn time.Time // guarded by mu
}

// progress returns a line that is shown on a terminal only. A total of -1 means unknown.
func progress(w io.Writer, total int64, what string) *progressLine {
	p := &progressLine{what: what, total: total, began: time.Now()}
	if w = raw(w); awsenv.IsTerminal(w) {
		p.to = w
	}
	return p
}

// add counts n more.
func (p *progressLine) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw(p.done + int64(n))
}

// set sets the count.
func (p *progressLine) set(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw(n)
}

// draw writes the line anew, at most every progressEvery. p.mu is held.
func (p *progressLine) draw(done int64) {
	p.done = done
	now := time.Now()
	if p.to == nil || now.Sub(p.drawn) < progressEvery {
		return
	}
	p.drawn = now
	_, _ = fmt.Fprintf(p.to, "\r\x1b[K%s %s", p.what, p.state(now))
}

// state is the count, its share of the total, and its speed.
func (p *progressLine) state(now time.Time) string {
	text := fmt.Sprint(p.done)
	if p.total > 0 {
		text = fmt.Sprintf("%d%% (%d/%d)", 100*p.done/p.total, p.done, p.total)
	}
	if took := now.Sub(p.began).Seconds(); took > 0 {
		text += fmt.Sprintf(", %.0f a second", float64(p.done)/took)
	}
	return text
}

// finish clears the line. Later calls write nothing.
func (p *progressLine) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to != nil && !p.drawn.IsZero() {
		_, _ = io.WriteString(p.to, "\r\x1b[K")
	}
	p.to = nil
}
