package deadletter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

const (
	maxKept      = 100_000  // letters in a listing
	maxKeptBytes = 64 << 20 // their total size in bytes

	maxSnapshots = 4
	snapshotAge  = 10 * time.Minute

	readsAtATime = 20
)

// Query selects the letters of a listing. The zero value selects all.
type Query struct {
	Name   string // only letters of this name
	Prefix string // only letters of names with this prefix
	Reason string // only letters with this reason
	Which  string // only letters with this name, ID, first 8 characters of the ID, or original message ID
	Bodies int    // kept bytes of each body
}

// wants reports whether the query selects l.
func (q Query) wants(l Letter) bool {
	which := q.Which == "" || q.Which == l.Name || q.Which == l.ID || q.Which == l.OriginalID || len(q.Which) == 8 && strings.HasPrefix(l.ID, q.Which)
	return which && (q.Name == "" || q.Name == l.Name) && (q.Reason == "" || q.Reason == l.Reason) && strings.HasPrefix(l.Name, q.Prefix)
}

// Group summarizes the letters with one reason.
type Group struct {
	Reason      string
	Count       int
	First, Last time.Time // times of sending
}

// Page is a page of a listing. The letters sent last come first.
type Page struct {
	Letters   []Letter
	Records   []protocol.Record // of each letter's name; zero if none is live, not Readable if of a newer release
	Groups    []Group           // all letters of the listing by reason, the largest group first
	Found     int               // letters in the listing
	Originals int               // distinct messages among them, because copies are sent at least once
	Looked    int               // received letters
	Complete  bool              // no letter was left in the queue
	Hidden    int               // letters that could not be made visible again
	Next      string            // start of the next page; empty if this is the last
}

// snapshot is the result of receiving all letters.
type snapshot struct {
	query   Query
	at      time.Time
	letters []Letter // sorted
	page    Page     // without letters
}

// List returns the page of a listing that starts at after: the Next of a page of the same query, or
// empty. The letters are received once for all pages, and again after 10 minutes. Errors:
// *[CursorError], [ErrNoQueue], and the errors of SQS and Records.
func (q *Queue) List(ctx context.Context, query Query, limit int, after string) (Page, error) {
	at, ok := parseCursor(after)
	if !ok {
		return Page{}, &CursorError{after}
	}
	s := q.known(at.snapshot, query)
	if s == nil {
		var err error
		if s, err = q.look(ctx, query); err != nil {
			return Page{}, err
		}
		at.snapshot = q.keep(s)
	}
	from := 0
	if at.id != "" {
		from, _ = slices.BinarySearchFunc(s.letters, at, func(l Letter, c cursor) int { return -c.compare(l) })
	}
	page := s.page
	page.Letters = slices.Clone(s.letters[from:min(from+limit, len(s.letters))])
	q.resolve(ctx, page.Letters, func(l Letter) bool { return l.Name == "" })
	if end := from + len(page.Letters); end < len(s.letters) {
		page.Next = cursorAt(at.snapshot, s.letters[end]).String()
	}
	var err error
	page.Records, err = q.records(ctx, page.Letters)
	return page, err
}

// look receives every letter, keeps the selected ones, and makes all visible again.
func (q *Queue) look(ctx context.Context, query Query) (*snapshot, error) {
	url, err := q.URL(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{query: query, at: time.Now()}
	var held []types.Message
	kept, fetches := 0, 0
	named := query
	named.Name, named.Prefix, named.Which = "", "", "" // a payload may contain the name
	bounded := false
	s.page.Complete, err = q.scan(ctx, url, func(batch []types.Message) (bool, error) {
		letters := make([]Letter, len(batch))
		for i, m := range batch {
			held = append(held, types.Message{MessageId: m.MessageId, ReceiptHandle: m.ReceiptHandle})
			letters[i] = letterOf(m, q.cfg.Keys)
		}
		if named != query {
			q.resolve(ctx, letters, func(l Letter) bool {
				if l.Name != "" || !named.wants(l) {
					return false
				}
				fetches++
				bounded = bounded || fetches > maxFetches
				return fetches <= maxFetches
			})
		}
		for _, l := range letters {
			if !query.wants(l) {
				continue
			}
			l.message = types.Message{}
			if l.pointer == "" {
				l.read = names.Message{}
			} else {
				kept += len(l.read.Body)
			}
			l.Body = strings.Clone(cut(l.Body, query.Bodies))
			s.letters = append(s.letters, l)
			kept += len(l.Body) + len(l.Name) + len(l.Error) + 256
		}
		return len(s.letters) < maxKept && kept < maxKeptBytes, nil
	})
	s.page.Complete = s.page.Complete && !bounded
	s.page.Hidden = q.release(ctx, url, held)
	if err != nil {
		return nil, err
	}
	if depth, err := q.Depth(ctx); err == nil && fifo(url) && depth.Visible > len(held) {
		s.page.Complete = false // the rest of their groups was not received
	}
	slices.SortFunc(s.letters, newestFirst)
	s.page.Looked, s.page.Found = len(held), len(s.letters)
	originals := make(map[string]bool, len(s.letters))
	for _, l := range s.letters {
		originals[l.OriginalID] = true
	}
	s.page.Originals, s.page.Groups = len(originals), groups(s.letters)
	return s, nil
}

func newestFirst(a, b Letter) int {
	return cmp.Or(b.Sent.Compare(a.Sent), cmp.Compare(a.ID, b.ID))
}

// groups groups letters by reason, the largest group first.
func groups(letters []Letter) []Group {
	byReason := make(map[string]*Group)
	for _, l := range letters { // sorted, the newest first
		g := byReason[l.Reason]
		if g == nil {
			g = &Group{Reason: l.Reason, Last: l.Sent}
			byReason[l.Reason] = g
		}
		g.Count++
		g.First = l.Sent
	}
	all := make([]Group, 0, len(byReason))
	for _, g := range byReason {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Reason, b.Reason)) })
	return all
}

// records reads the records of letters. A record that this release cannot read gets a status
// outside the protocol.
func (q *Queue) records(ctx context.Context, letters []Letter) ([]protocol.Record, error) {
	found := make([]protocol.Record, len(letters))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtATime)
	for i, l := range letters {
		if l.Name == "" {
			continue
		}
		group.Go(func() error {
			r, err := q.cfg.Records.Lookup(ctx, l.Name)
			switch {
			case errors.Is(err, dedupe.ErrNoRecord):
				return nil
			case errors.Is(err, dedupe.ErrUnreadable):
				found[i] = protocol.Record{Name: l.Name, Status: "UNREADABLE"}
				return nil
			}
			found[i] = r
			return err
		})
	}
	return found, group.Wait()
}

// known returns the snapshot with that ID if it is for the query and not too old.
func (q *Queue) known(id string, query Query) *snapshot {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.snapshots[id]
	if s == nil || s.query != query || time.Since(s.at) > snapshotAge {
		return nil
	}
	return s
}

// keep stores a snapshot for further pages and returns its ID. The oldest snapshots are removed.
func (q *Queue) keep(s *snapshot) (id string) {
	id = rand.Text()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.snapshots) >= maxSnapshots {
		oldest := ""
		for other, o := range q.snapshots {
			if oldest == "" || o.at.Before(q.snapshots[oldest].at) {
				oldest = other
			}
		}
		delete(q.snapshots, oldest)
	}
	q.snapshots[id] = s
	return id
}

// cursor is the position of a letter in a listing. It does not depend on the snapshot, which may
// belong to another process.
type cursor struct {
	snapshot string
	sent     int64 // Unix milliseconds
	id       string
}

// CursorError is returned for a text that is not the Next of a page.
type CursorError struct{ Text string }

// Error implements error.
func (e *CursorError) Error() string { return fmt.Sprintf("%q is not the next of a page", e.Text) }

func cursorAt(snapshot string, l Letter) cursor { return cursor{snapshot, l.Sent.UnixMilli(), l.ID} }

// compare is negative if the letter at c comes before l.
func (c cursor) compare(l Letter) int {
	return newestFirst(Letter{Sent: time.UnixMilli(c.sent), ID: c.id}, l)
}

func (c cursor) String() string {
	return c.snapshot + "." + strconv.FormatInt(c.sent, 10) + "." + c.id
}

// parseCursor parses a cursor. The empty text is before the first letter.
func parseCursor(text string) (c cursor, ok bool) {
	if text == "" {
		return c, true
	}
	parts := strings.SplitN(text, ".", 3)
	if len(parts) != 3 || parts[2] == "" {
		return c, false
	}
	sent, err := strconv.ParseInt(parts[1], 10, 64)
	return cursor{parts[0], sent, parts[2]}, err == nil
}

// cut returns at most n bytes of s without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
