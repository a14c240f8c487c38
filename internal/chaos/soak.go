package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Sample is what the workers' processes take, and how long messages waited, at
// a moment.
type Sample struct {
	At          time.Duration // since the start of the load
	MemoryBytes int64         // resident, of all workers
	Threads     int           // of the operating system
	Files       int           // open descriptors
	Waiting     int           // messages in the queue
	Calls       int           // of the target so far
}

// sample calls cfg.Sample every second until ctx ends.
func (r *run) sample(ctx context.Context) {
	if r.cfg.Sample == nil {
		return
	}
	start := time.Now()
	for ctx.Err() == nil {
		s := &Sample{At: time.Since(start)}
		for _, pid := range r.fleet.PIDs() {
			s.add(pid)
		}
		s.Waiting, _ = r.depth(ctx) // a look that fails is a gap in the plot
		r.ledger.mu.Lock()
		s.Calls = len(r.ledger.calls)
		r.ledger.mu.Unlock()
		r.cfg.Sample(s)
		wait(ctx, time.Second)
	}
}

// add adds what the process takes, as Linux tells it.
func (s *Sample) add(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return // it has just ended
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			s.MemoryBytes += n << 10
		case "Threads:":
			s.Threads += int(n)
		}
	}
	if files, err := os.ReadDir(dir + "/fd"); err == nil {
		s.Files += len(files)
	}
}

// Plot draws samples as an SVG image: one curve a figure, each on its own scale.
func Plot(samples []Sample) []byte {
	curves := []struct {
		name, unit string
		of         func(Sample) float64
	}{
		{"resident memory", "MiB", func(s Sample) float64 { return float64(s.MemoryBytes) / (1 << 20) }},
		{"threads", "", func(s Sample) float64 { return float64(s.Threads) }},
		{"open files", "", func(s Sample) float64 { return float64(s.Files) }},
		{"messages in the queue", "", func(s Sample) float64 { return float64(s.Waiting) }},
		{"calls of the target", "", func(s Sample) float64 { return float64(s.Calls) }},
	}
	const width, height, left, gap = 900, 120, 20, 40
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		width+2*left, len(curves)*(height+gap)+gap)
	_, _ = fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i, c := range curves {
		top := gap + i*(height+gap)
		most := 1e-9
		for _, s := range samples {
			most = max(most, c.of(s))
		}
		var points strings.Builder
		for j, s := range samples {
			x := left + float64(j)/float64(max(1, len(samples)-1))*width
			_, _ = fmt.Fprintf(&points, "%.1f,%.1f ", x, float64(top+height)-c.of(s)/most*height)
		}
		_, _ = fmt.Fprintf(&b, `<text x="%d" y="%d">%s, up to %.0f %s</text>`+"\n", left, top-6, c.name, most, c.unit)
		_, _ = fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#ccc"/>`+"\n", left, top, width, height)
		_, _ = fmt.Fprintf(&b, `<polyline fill="none" stroke="#06c" points="%s"/>`+"\n", strings.TrimSpace(points.String()))
	}
	if n := len(samples); n > 0 {
		_, _ = fmt.Fprintf(&b, `<text x="%d" y="%d">0 to %s</text>`+"\n", left, len(curves)*(height+gap)+gap-8, samples[n-1].At.Round(time.Second))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
