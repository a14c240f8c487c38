package memstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// List implements [listing.Lister].
func (s *Store) List(ctx context.Context, q listing.Query) (listing.Page, error) {
	if err := cmp.Or(ctx.Err(), q.Validate()); err != nil {
		return listing.Page{}, err
	}
	after := protocol.Record{Version: math.MaxInt64, ID: "\xff"}
	if q.After != "" {
		version, id, ok := strings.Cut(q.After, "/")
		v, err := strconv.ParseInt(version, 10, 64)
		if !ok || err != nil {
			return listing.Page{}, fmt.Errorf("memstore: list: After %q: %w", q.After, listing.ErrAfter)
		}
		after = protocol.Record{Version: protocol.Version(v), ID: id}
	}
	found := s.listed(q, after)
	page := listing.Page{}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		last := found[q.Limit-1]
		page.Next = fmt.Sprintf("%d/%s", last.Version, last.ID)
	}
	for _, r := range found {
		page.Entries = append(page.Entries, listing.Entry{
			Name: r.Name, Status: r.Status, Version: r.Version, Attempts: r.Attempts, Error: r.Error,
		})
	}
	return page, nil
}

// listed returns the records of q's scope and status that follow after, newest first.
func (s *Store) listed(q listing.Query, after protocol.Record) []protocol.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []protocol.Record
	for _, r := range s.records {
		if r.Status == q.Status && strings.HasPrefix(r.ID, q.Scope+"#") && lastFirst(after, r) < 0 {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, lastFirst)
	return found
}

// lastFirst orders records by version, newest first, then by id.
func lastFirst(a, b protocol.Record) int {
	return cmp.Or(cmp.Compare(b.Version, a.Version), strings.Compare(b.ID, a.ID))
}
