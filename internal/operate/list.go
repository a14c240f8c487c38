// Package operate carries out the requests of operators about names: which are stuck, and how they
// are settled. The producer API, the command line and the console share it. Dead letters are in
// package deadletter.
package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// MaxPage bounds the entries of a page.
const MaxPage = 1000

// Statuses are the statuses of names that wait for an attempt or an operator, in the order of the
// list.
var Statuses = []protocol.Status{protocol.Unknown, protocol.Rejected, protocol.Retrying}

// Query selects names.
type Query struct {
	Scope    string
	Statuses []protocol.Status // of [Statuses]; empty means all of them
	Prefix   string            // only names with this prefix
	Older    time.Duration     // only records last written at least this long ago
	Limit    int               // 1 to MaxPage
	After    string            // Next of the previous page of the same query
}

// Page is a page of a list.
type Page struct {
	Entries []listing.Entry // by status, then the latest write first
	Next    string          // After of the next page; empty if this is the last
}

// QueryError is returned for an invalid query.
type QueryError struct{ Field, Problem string }

// Error implements error.
func (e *QueryError) Error() string { return e.Field + ": " + e.Problem }

// mostLooks bounds the pages of the store's list that are read for one page. A prefix may exclude
// most entries. Then a page may have few entries, or none, and still a Next.
const mostLooks = 20

// List returns a page of the names that q selects. Its error wraps [listing.ErrNoList] if the store
// keeps no list, or if lister is nil.
func List(ctx context.Context, lister listing.Lister, q Query, now time.Time) (Page, error) {
	if lister == nil {
		return Page{}, listing.ErrNoList
	}
	statuses, err := q.statuses()
	if err != nil {
		return Page{}, err
	}
	at, after, _ := strings.Cut(q.After, " ")
	if q.After != "" {
		begin := slices.Index(statuses, protocol.Status(at))
		if begin < 0 {
			return Page{}, &QueryError{"after", fmt.Sprintf("%q is not the next of a page of this list", q.After)}
		}
		statuses = statuses[begin:]
	}
	var page Page
	looks := 0
	for _, status := range statuses {
		for more := true; more; {
			if len(page.Entries) == q.Limit || looks == mostLooks {
				page.Next = string(status) + " " + after
				return page, nil
			}
			looks++
			found, err := lister.List(ctx, listing.Query{Scope: q.Scope, Status: status, Limit: q.lookSize(len(page.Entries)), After: after})
			if err != nil {
				return Page{}, listError(q, err)
			}
			for _, e := range found.Entries {
				if q.wants(e, now) {
					page.Entries = append(page.Entries, e)
				}
			}
			after, more = found.Next, found.Next != ""
		}
		after = ""
	}
	return page, nil
}

// lookSize returns the number of entries to ask for after found have been found. All of them must
// fit on the page.
func (q Query) lookSize(found int) int { return min(q.Limit-found, MaxPage) }

// wants reports whether the query selects an entry.
func (q Query) wants(e listing.Entry, now time.Time) bool {
	return strings.HasPrefix(e.Name, q.Prefix) && (q.Older <= 0 || now.Sub(Since(e)) >= q.Older)
}

// Since returns the time of the record's last write, which is the time in its version.
func Since(e listing.Entry) time.Time { return time.UnixMilli(int64(e.Version)).UTC() }

// statuses returns the requested statuses, in the order of [Statuses].
func (q Query) statuses() ([]protocol.Status, error) {
	if q.Limit < 1 || q.Limit > MaxPage {
		return nil, &QueryError{"limit", fmt.Sprintf("%d: must be 1 to %d", q.Limit, MaxPage)}
	}
	if q.Older < 0 {
		return nil, &QueryError{"older", fmt.Sprintf("%s: must not be negative", q.Older)}
	}
	for _, s := range q.Statuses {
		if !s.NeedsAttention() {
			return nil, &QueryError{"status", fmt.Sprintf("%q: must be unknown, rejected or retrying", strings.ToLower(string(s)))}
		}
	}
	if len(q.Statuses) == 0 {
		return Statuses, nil
	}
	return slices.DeleteFunc(slices.Clone(Statuses), func(s protocol.Status) bool { return !slices.Contains(q.Statuses, s) }), nil
}

// listError turns the store's error for an invalid cursor into a *[QueryError].
func listError(q Query, err error) error {
	if errors.Is(err, listing.ErrAfter) {
		return &QueryError{"after", fmt.Sprintf("%q is not the next of a page of this list", q.After)}
	}
	return err
}

// ParseStatuses parses a list of statuses separated by commas. Case does not matter.
func ParseStatuses(text string) (all []protocol.Status) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, protocol.Status(strings.ToUpper(part)))
		}
	}
	return all
}
