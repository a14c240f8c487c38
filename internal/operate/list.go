// Package operate is what an operator asks and orders about names: which are stuck,
// and what becomes of them. The producer API, the command line and the console share
// it. Dead letters are in package deadletter.
package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// MaxPage bounds a page of a list.
const MaxPage = 1000

// Statuses are those of names that wait for something, those that wait for an
// operator first. They are listed in this order.
var Statuses = []protocol.Status{protocol.Unknown, protocol.Rejected, protocol.Retrying}

// Query says which names are listed.
type Query struct {
	Scope    string
	Statuses []protocol.Status // of [Statuses]; empty: all of them
	Prefix   string            // names that begin so
	Older    time.Duration     // names whose record was written at least so long ago
	Limit    int               // 1 to MaxPage
	After    string            // the Next of the page before, of the same query
}

// Page is a part of a list.
type Page struct {
	Entries []dedupe.ListEntry // by status, those written last first
	Next    string             // where the next page begins; empty: this is the last
}

// QueryError says what is wrong with a query.
type QueryError struct{ Field, Problem string }

// Error implements error.
func (e *QueryError) Error() string { return e.Field + ": " + e.Problem }

// mostLooks bounds the pages of the store's list that one page is made from: a prefix
// may leave out nearly all. Then a page has few entries, or none, and a Next.
const mostLooks = 20

// List returns a page of the names that a query is about. Its error wraps
// [dedupe.ErrNoList] where no list is kept: lister is nil, say.
func List(ctx context.Context, lister dedupe.Lister, q Query, now time.Time) (Page, error) {
	if lister == nil {
		return Page{}, dedupe.ErrNoList
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
			found, err := lister.List(ctx, dedupe.ListQuery{Scope: q.Scope, Status: status, Limit: q.lookSize(len(page.Entries)), After: after})
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

// lookSize is how many entries are asked for, when so many have been found. All of
// them have to fit on the page.
func (q Query) lookSize(found int) int { return min(q.Limit-found, MaxPage) }

// wants reports whether an entry is meant.
func (q Query) wants(e dedupe.ListEntry, now time.Time) bool {
	return strings.HasPrefix(e.Name, q.Prefix) && (q.Older <= 0 || now.Sub(Since(e)) >= q.Older)
}

// Since returns when the record was written last: its version is seeded with the clock.
func Since(e dedupe.ListEntry) time.Time { return time.UnixMilli(int64(e.Version)).UTC() }

// statuses are those that are asked for, in their order.
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

// listError tells a bad cursor from trouble of the store.
func listError(q Query, err error) error {
	if errors.Is(err, dedupe.ErrNoList) || q.After == "" || !strings.Contains(err.Error(), "must be the Next of a page") {
		return err
	}
	return &QueryError{"after", fmt.Sprintf("%q is not the next of a page of this list", q.After)}
}

// ParseStatuses reads a list of statuses, separated by commas, in either case.
func ParseStatuses(text string) (all []protocol.Status) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, protocol.Status(strings.ToUpper(part)))
		}
	}
	return all
}
