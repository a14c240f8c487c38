package chaos

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sample is the resources of the workers' processes and the latency of messages at one time.
type Sample struct {
	At          time.Duration // since the start of the load
	MemoryBytes int64         // resident, of all workers
	Threads     int           // of the operating system
	Goroutines  int           // from /metrics
	Files       int           // open descriptors
	Waiting     int           // messages in the queue
	Calls       int           // of the target so far
	Latency     time.Duration // median time from sending to the first call, since the last sample
	Slowest     time.Duration // the longest of these times
}

// sample calls cfg.Sample every second until ctx ends.
func (r *run) sample(ctx context.Context) {
	if r.cfg.Sample == nil {
		return
	}
	start, calls := time.Now(), 0
	for ctx.Err() == nil {
		s := &Sample{At: time.Since(start)}
		for _, pid := range r.fleet.PIDs() {
			s.add(pid)
		}
		for _, admin := range r.fleet.Admins() {
			s.Goroutines += goroutines(ctx, admin)
		}
		s.Waiting, _ = r.depth(ctx) // after an error the plot has a gap
		fresh := r.ledger.after(calls)
		calls += len(fresh)
		s.Calls = calls
		s.Latency, s.Slowest = r.latency(fresh)
		r.cfg.Sample(s)
		wait(ctx, time.Second)
	}
}

// latency returns the median and the longest of the times until the first call of a name.
func (r *run) latency(calls []Call) (median, slowest time.Duration) {
	var all []time.Duration
	for _, c := range calls {
		if sent, ok := r.sentAt.LoadAndDelete(c.Name); ok {
			all = append(all, c.Start.Sub(sent.(time.Time)))
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}

// goroutines returns the number of a worker's goroutines from its metrics, 0 if it does not answer.
func goroutines(ctx context.Context, admin string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			count, _ := strconv.Atoi(n)
			return count
		}
	}
	return 0
}

// add adds the resources of a process, from /proc.
func (s *Sample) add(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return // the process has just ended
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

// Plot draws samples as an SVG image, with one curve for each figure on its own scale.
func Plot(samples []Sample) []byte {
	curves := []struct {
		name, unit string
		of         func(Sample) float64
	}{
		{"resident memory", "MiB", func(s Sample) float64 { return float64(s.MemoryBytes) / (1 << 20) }},
		{"threads", "", func(s Sample) float64 { return float64(s.Threads) }},
		{"goroutines", "", func(s Sample) float64 { return float64(s.Goroutines) }},
		{"open files", "", func(s Sample) float64 { return float64(s.Files) }},
		{"from sending to the target, median", "ms", func(s Sample) float64 { return float64(s.Latency.Milliseconds()) }},
		{"from sending to the target, longest", "ms", func(s Sample) float64 { return float64(s.Slowest.Milliseconds()) }},
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
