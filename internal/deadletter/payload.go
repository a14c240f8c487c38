package deadletter

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/names"
)

// Payloads fetches the payload of a message that is a pointer to S3.
type Payloads func(ctx context.Context, at names.Pointer) (string, error)

const (
	fetchesAtATime = 4
	maxFetches     = 1000 // of one listing that searches for names
)

// resolve extracts the names of the letters that want selects from their payloads in S3. Without
// [Config].Payloads it fetches nothing. A payload is read for its name and fingerprint, and not
// kept.
func (q *Queue) resolve(ctx context.Context, letters []Letter, want func(Letter) bool) {
	if q.cfg.Payloads == nil {
		return
	}
	var group errgroup.Group
	group.SetLimit(fetchesAtATime)
	for i := range letters {
		if l := &letters[i]; l.pointer != "" && want(*l) {
			group.Go(func() error { q.fetch(ctx, l); return nil })
		}
	}
	_ = group.Wait() // always nil
}

// fetch extracts the name of a letter from its payload. If the fetch fails, a letter with a name
// keeps it, and another one gets the reason in Unnamed.
func (q *Queue) fetch(ctx context.Context, l *Letter) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var payload string
	var failure error
	read := l.read
	read.Fetch = func(at names.Pointer) (string, error) {
		payload, failure = q.cfg.Payloads(ctx, at)
		return payload, failure
	}
	named := *l
	named.Name, named.Unnamed = "", ""
	named.setName(q.cfg.Keys, read)
	if failure != nil {
		if l.Name == "" {
			l.Unnamed = fmt.Sprintf("its payload %s could not be fetched: %v", l.pointer, failure)
		}
		return
	}
	read.ID, read.DedupID, read.Fetch = "another", "another", func(names.Pointer) (string, error) { return payload, nil }
	again, err := q.cfg.Keys.Extract(read)
	named.keepsName = named.Name != "" && err == nil && again.Name == named.Name
	named.pointer = ""
	*l = named
}
