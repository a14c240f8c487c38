package console

import "time"

const (
	settleTime = 2 * time.Second // a younger interval is not shown yet
	leastTime  = time.Second     // least interval for a rate
)

// Point is an interval of five seconds in the sparklines. Unknown values are null.
type Point struct {
	T         int64    `json:"t"`        // start, epoch s
	Received  float64  `json:"received"` // per second; also the next ones
	Handled   float64  `json:"handled"`
	Failed    float64  `json:"failed"`
	Recorded  float64  `json:"recorded"`
	Cached    float64  `json:"cached"`
	Joined    float64  `json:"joined"`
	Deferred  float64  `json:"deferred"`
	InFlight  int      `json:"in_flight"`         // most at once
	PerMsg    *float64 `json:"calls_per_message"` // AWS calls per ended message
	HandleP50 *float64 `json:"handle_p50"`        // ms; also the next ones
	HandleP95 *float64 `json:"handle_p95"`
	HandleP99 *float64 `json:"handle_p99"`
	DwellP50  *float64 `json:"dwell_p50"`
	DwellP95  *float64 `json:"dwell_p95"`
	Oldest    *float64 `json:"oldest"` // seconds; this and the next ones are known only while a page was open
	Visible   *int64   `json:"visible"`
	Hidden    *int64   `json:"hidden"`
	Delayed   *int64   `json:"delayed"`
	Dead      *int64   `json:"dead"`
}

// points returns the last n intervals, oldest first. The current one is included after settleTime,
// because a rate over a shorter time varies too much. Intervals before the start of the history are
// left out. In an interval without events, the number of messages in the worker is that of the
// interval before.
func (h *History) points(now time.Time, n int) []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := now.UnixNano() / int64(bucketTime)
	first := last - int64(n) + 1
	if now.UnixNano()-last*int64(bucketTime) < int64(settleTime) {
		last--
	}
	began, here := false, 0
	out := make([]Point, 0, n)
	for index := last - bucketCount + 1; index <= last; index++ {
		b := &h.buckets[(index+bucketCount)%bucketCount]
		p := Point{T: index * int64(bucketTime/time.Second), InFlight: here}
		if b.index == index {
			began, here, p = true, b.left, h.pointOf(b, now)
		}
		if began && index >= first {
			out = append(out, p)
		}
	}
	return out
}

// pointOf returns the point of an interval. The caller holds mu.
func (h *History) pointOf(b *bucket, now time.Time) Point {
	begin := time.Unix(0, b.index*int64(bucketTime))
	end := begin.Add(bucketTime)
	if now.Before(end) {
		end = now
	}
	seconds := h.countedFor(begin, end).Seconds()
	rate := func(counter int) float64 { return round(float64(b.counts[counter]) / seconds) }
	p := Point{
		T: begin.Unix(), Received: rate(countReceived), Handled: rate(countHandled), Failed: rate(countFailed),
		Recorded: rate(countRecorded), Cached: rate(countCached), Joined: rate(countJoined), Deferred: rate(countDeferred),
		InFlight: b.inFlight, PerMsg: perMessage(b.counts[countCalls], b.counts[countEnded]),
	}
	p.HandleP50, p.HandleP95, p.HandleP99 = percentiles(&b.handle)
	p.DwellP50, p.DwellP95, _ = percentiles(&b.dwell)
	if b.looked {
		p.Oldest = new(round(b.gauges.oldest.Seconds()))
		p.Visible, p.Hidden = known(b.gauges.visible), known(b.gauges.hidden)
		p.Delayed, p.Dead = known(b.gauges.delayed), known(b.gauges.dl)
	}
	return p
}

// gauge stores the values that an open page has read.
func (h *History) gauge(now time.Time, g gaugeReading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucketAt(now)
	b.looked, b.gauges = true, g
}

// Figures are the numbers of the tiles, over the last seconds or the last minute.
type Figures struct {
	Received   float64  `json:"received"` // per second over the last 5 to 10 seconds; also the next ones
	Handled    float64  `json:"handled"`
	Failed     float64  `json:"failed"`
	Recorded   float64  `json:"recorded"`
	Cached     float64  `json:"cached"`
	Joined     float64  `json:"joined"`
	Deferred   float64  `json:"deferred"`
	Ended      float64  `json:"ended"`             // messages deleted or dead-lettered per second, over the last minute
	PerMessage *float64 `json:"calls_per_message"` // over the last minute; also the next ones
	HandleP50  *float64 `json:"handle_p50"`        // ms
	HandleP95  *float64 `json:"handle_p95"`
	HandleP99  *float64 `json:"handle_p99"`
	DwellP50   *float64 `json:"dwell_p50"`
	DwellP95   *float64 `json:"dwell_p95"`
}

// countedFor returns the time for which the history has counted since begin; at least leastTime.
// The caller holds mu.
func (h *History) countedFor(begin, now time.Time) time.Duration {
	if begin.Before(h.since) {
		begin = h.since
	}
	return max(leastTime, now.Sub(begin))
}

// figures returns the figures of the last seconds and the last minute.
func (h *History) figures(now time.Time) Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	const minute = int64(time.Minute / bucketTime)
	last := now.UnixNano() / int64(bucketTime)
	seconds := func(buckets int64) float64 {
		return h.countedFor(time.Unix(0, (last-buckets)*int64(bucketTime)), now).Seconds()
	}
	var short, long bucket
	for index := last - minute; index <= last; index++ {
		b := &h.buckets[(index+bucketCount)%bucketCount]
		if b.index != index {
			continue
		}
		for i, n := range b.counts {
			long.counts[i] += n
			if index >= last-1 {
				short.counts[i] += n
			}
		}
		long.handle.merge(&b.handle)
		long.dwell.merge(&b.dwell)
	}
	rate := func(counter int) float64 {
		return round(float64(short.counts[counter]) / seconds(1))
	}
	f := Figures{
		Received: rate(countReceived), Handled: rate(countHandled), Failed: rate(countFailed),
		Recorded: rate(countRecorded), Cached: rate(countCached), Joined: rate(countJoined), Deferred: rate(countDeferred),
		Ended:      round(float64(long.counts[countEnded]) / seconds(minute)),
		PerMessage: perMessage(long.counts[countCalls], long.counts[countEnded]),
	}
	f.HandleP50, f.HandleP95, f.HandleP99 = percentiles(&long.handle)
	f.DwellP50, f.DwellP95, _ = percentiles(&long.dwell)
	return f
}

func percentiles(h *histogram) (p50, p95, p99 *float64) {
	at := func(p float64) *float64 {
		if d, ok := h.percentile(p); ok {
			return new(millis(d))
		}
		return nil
	}
	return at(0.5), at(0.95), at(0.99)
}

func perMessage(calls, messages uint32) *float64 {
	if messages == 0 {
		return nil
	}
	return new(round(float64(calls) / float64(messages)))
}

// known returns n; nil if it is negative.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// round rounds to three decimals.
func round(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }
