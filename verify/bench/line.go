package bench

import (
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// line is an HTTP client of a real DynamoDB server for a synctest bubble. Every request takes the
// latency in virtual time: half before the server gets it, and half after.
type line struct {
	*emulators.Line
	latency time.Duration
	count   func(h http.Header, body []byte)

	slowEvery int // one of this many write calls takes slowWrite; 0: none
	writes    atomic.Int64

	spread *spread // nil: every request takes the same time
}

// spread returns log-normal factors with median 1 and 99th percentile 10. It is safe for concurrent
// use.
type spread struct {
	mu     sync.Mutex
	random *rand.Rand // guarded by mu
}

func newSpread(seed uint64) *spread { return &spread{random: rand.New(rand.NewPCG(seed, 0))} }

func (s *spread) of(median time.Duration) time.Duration {
	const sigma = math.Ln10 / 2.3263 // 2.3263: the 99th percentile of a standard normal distribution
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(float64(median) * math.Exp(sigma*s.random.NormFloat64()))
}

// slowWrite is the duration of a slow write call: less than the store's timeout.
const slowWrite = 2500 * time.Millisecond

// takes returns the duration of a request.
func (l *line) takes(h http.Header) time.Duration {
	op := operation(h)
	if l.slowEvery > 0 && (op == "PutItem" || op == "BatchExecuteStatement") && l.writes.Add(1)%int64(l.slowEvery) == 0 {
		return slowWrite
	}
	if l.spread != nil {
		return l.spread.of(l.latency)
	}
	return l.latency
}

// Do implements the SDK's HTTPClient.
func (l *line) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	l.count(req.Header, body)
	takes := l.takes(req.Header)
	time.Sleep(takes / 2)
	resp, err := l.Post(req.Header, body)
	time.Sleep(takes - takes/2)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // the bubble's time
	return resp, nil
}
