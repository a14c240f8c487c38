package workercmd

import (
	"runtime"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/names"
)

// fewAtATime is a namer that reads few messages at a time: as many as there are processors. More at
// a time would not be faster, and each takes memory: up to 100 bytes for each value in its body.
type fewAtATime struct {
	sqsonce.Namer
	reading chan struct{}
}

func newFewAtATime(namer sqsonce.Namer) fewAtATime {
	return fewAtATime{namer, make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// Extract implements [sqsonce.Namer]. While it fetches a payload, others are read.
func (f fewAtATime) Extract(m names.Message) (names.Named, error) {
	f.reading <- struct{}{}
	defer func() { <-f.reading }()
	if fetch := m.Fetch; fetch != nil {
		m.Fetch = func(p names.Pointer) (string, error) {
			<-f.reading
			defer func() { f.reading <- struct{}{} }()
			return fetch(p)
		}
	}
	return f.Namer.Extract(m)
}
