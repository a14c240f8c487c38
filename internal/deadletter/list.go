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
	maxKept      = 100_000  // letters that a listing keeps
	maxKeptBytes = 64 << 20 // and their bytes

	maxSnapshots = 4
	snapshotAge  = 10 * time.Minute

	readsAtATime = 20
)

// Query says which letters are listed. The zero value means all of them.
type Query struct {
	Name   string // letters of this name
	Prefix string // letters of names that begin so
	Reason string // letters with this reason
	Which  string // letters of this name, with this id, one that begins so (8 characters), or copies of this message
	Bodies int    // bytes of each body that are kept
}

// wants reports whether l is meant.
func (q Query) wants(l Letter) bool {
	which := q.Which == "" || q.Which == l.Name || q.Which == l.ID || q.Which == l.OriginalID || len(q.Which) == 8 && strings.HasPrefix(l.ID, q.Which)
	return which && (q.Name == "" || q.Name == l.Name) && (q.Reason == "" || q.Reason == l.Reason) && strings.HasPrefix(l.Name, q.Prefix)
}

// Group is the letters of one reason.
type Group struct {
	Reason      string
	Count       int
	First, Last time.Time // of sending
}

// Page is a part of a listing: the letters sent last come first.
type Page struct {
	Letters   []Letter
	Records   []protocol.Record // of the letters' names, in the same order; zero: none that counts; not Readable: of a newer release
	Groups    []Group           // of all letters of the listing, the largest first
	Found     int               // letters of the listing
	Originals int               // different messages among them: copies are at least once
	Looked    int               // letters that were looked at
	Complete  bool              // no letter was visible when the look ended
	Hidden    int               // letters that could not be made visible at once
	Next      string            // where the next page begins; empty: this is the last
}

// snapshot is what a look has found.
type snapshot struct {
	query   Query
	at      time.Time
	letters []Letter // sorted
	page    Page     // without letters
}

// List returns the page of a listing that begins at after: a Next of the same query,
// or empty. The letters are looked at once for all pages, and again when the look is
// ten minutes old. Errors: those of SQS and of Records, [ErrNoQueue].
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

// look receives every letter, keeps those that are meant, and makes all visible again.
func (q *Queue) look(ctx context.Context, query Query) (*snapshot, error) {
	url, err := q.URL(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{query: query, at: time.Now()}
	var held []types.Message
	kept, fetches := 0, 0
	named := query
	named.Name, named.Prefix, named.Which = "", "", "" // a name may be in a payload
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
		s.page.Complete = false // the others stand behind those that were looked at
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
	for _, l := range letters { // the newest first
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

// records reads the records of letters. One that this release cannot read has a status
// that the protocol does not know.
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

// known returns the snapshot with that id, if it is of the query and not too old.
func (q *Queue) known(id string, query Query) *snapshot {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.snapshots[id]
	if s == nil || s.query != query || time.Since(s.at) > snapshotAge {
		return nil
	}
	return s
}

// keep remembers a snapshot for its further pages, and returns its id. The oldest
// makes room.
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

// cursor is the place of a letter in a listing. It says where a page begins also when
// the snapshot is not known: another process may have made it.
type cursor struct {
	snapshot string
	sent     int64 // milliseconds
	id       string
}

// CursorError says that a text is not the Next of a page.
type CursorError struct{ Text string }

// Error implements error.
func (e *CursorError) Error() string { return fmt.Sprintf("%q is not the next of a page", e.Text) }

func cursorAt(snapshot string, l Letter) cursor { return cursor{snapshot, l.Sent.UnixMilli(), l.ID} }

// compare is negative when the letter at c comes before l.
func (c cursor) compare(l Letter) int {
	return newestFirst(Letter{Sent: time.UnixMilli(c.sent), ID: c.id}, l)
}

func (c cursor) String() string {
	return c.snapshot + "." + strconv.FormatInt(c.sent, 10) + "." + c.id
}

// parseCursor reads a cursor; the empty one is before the first letter.
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

// cut returns at most n bytes of s, without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
