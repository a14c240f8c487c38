// Package listing is what a store of package dedupe implements if it can list the names that need
// attention. The guard needs no list. Consoles and commands for operators do.
package listing

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Lister is implemented by stores that can list the names that need attention: those with status
// [protocol.Retrying], [protocol.Rejected] or [protocol.Unknown].
type Lister interface {
	// List returns one page of the names in a scope with a status, the latest written first. The
	// list may be slightly out of date and may contain expired records. The error wraps [ErrNoList]
	// if the store keeps no list, and [ErrAfter] if q.After is not the Next of a page.
	List(ctx context.Context, q Query) (Page, error)
}

// ErrNoList is wrapped when a store keeps no list, for example because its table lacks the index.
var ErrNoList = errors.New("no list of names is kept")

// ErrAfter is wrapped when the After of a query is not the Next of a page.
var ErrAfter = errors.New("must be the Next of a page")

// Query selects the names of a list.
type Query struct {
	Scope  string
	Status protocol.Status // Retrying, Rejected or Unknown
	Limit  int             // entries per page, 1 to 1,000
	After  string          // [Page.Next] of the previous page; empty for the first page
}

// Page is a page of a list.
type Page struct {
	Entries []Entry
	Next    string // [Query.After] of the next page; empty if this is the last one
}

// Entry is a name in a list.
type Entry struct {
	Name     string
	Status   protocol.Status
	Version  protocol.Version // version of its last write: Unix milliseconds, or slightly more
	Attempts int
	Error    string // last failure
}

// Validate returns an error that names the first invalid field of q. It does not look at After,
// whose form is the store's.
func (q Query) Validate() error {
	switch {
	case protocol.CheckScope(q.Scope) != nil:
		return fmt.Errorf("list: Scope: %w", protocol.CheckScope(q.Scope))
	case !q.Status.NeedsAttention():
		return fmt.Errorf("list: Status %q: must be %s, %s or %s", q.Status, protocol.Retrying, protocol.Rejected, protocol.Unknown)
	case q.Limit < 1 || q.Limit > maxListed:
		return fmt.Errorf("list: Limit %d: must be 1 to %d", q.Limit, maxListed)
	default:
		return nil
	}
}

// maxListed bounds the entries of a page.
const maxListed = 1000
