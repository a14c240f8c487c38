package dynamo

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// listParts is the number of index partitions for the names of one scope and status. A partition
// accepts 1,000 write units per second, and a throttled index throttles its table.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
const listParts = 16

// attentionKey returns the index key of a record that needs attention.
func attentionKey(id string, status protocol.Status) string {
	scope, _, _ := strings.Cut(id, "#")
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return partKey(scope, status, int(h.Sum32()%listParts))
}

func partKey(scope string, status protocol.Status, part int) string {
	return scope + "#" + string(status) + "#" + strconv.FormatInt(int64(part), listParts)
}

// leavesList reports whether a write removes a listed record from the index. The claim of a later
// attempt keeps the entry, and List skips it until the attempt has ended.
func leavesList(next protocol.Record) bool {
	switch next.Status {
	case protocol.Completed, protocol.Forgotten:
		return true
	case protocol.InProgress:
		return next.Attempts <= 1 && next.Fence == next.Version // the first attempt of a new record or after a reopen
	default:
		return false
	}
}

// querier is the method of a client that List needs beside [API]. A *[dynamodb.Client] has it.
type querier interface {
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

var _ querier = (*dynamodb.Client)(nil)

// List implements [listing.Lister] with queries of the index [IndexAttention], at least sixteen per
// page. Entries whose record has another status are skipped, because claims keep them. Without the
// index, or with a client that has no Query, the error wraps [listing.ErrNoList].
func (s *Store) List(ctx context.Context, q listing.Query) (listing.Page, error) {
	if err := q.Validate(); err != nil {
		return listing.Page{}, fmt.Errorf("dynamo: %w", err)
	}
	after, err := parseCursor(q.After)
	if err != nil {
		return listing.Page{}, err
	}
	client, ok := s.client.(querier)
	if !ok {
		return listing.Page{}, fmt.Errorf("dynamo: list %q: %w: %T has no method Query", q.Scope, listing.ErrNoList, s.client)
	}
	var found []listed
	for part := range listParts {
		of, err := s.listPart(ctx, client, q, after, part)
		if err != nil {
			return listing.Page{}, err
		}
		found = append(found, of...)
	}
	slices.SortFunc(found, listed.compare)
	page := listing.Page{}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next = found[q.Limit-1].cursor.String()
	}
	for _, l := range found {
		page.Entries = append(page.Entries, l.entry)
	}
	return page, nil
}

// listed is an entry with its position in the list.
type listed struct {
	cursor cursor
	entry  listing.Entry
}

// compare orders the entries with the latest write first.
func (l listed) compare(other listed) int { return other.cursor.compare(l.cursor) }

// cursor is a position in a list. It is unique for each record.
type cursor struct {
	at int64 // the attribute attention_at
	id string
}

func (c cursor) compare(other cursor) int {
	if c.at != other.at {
		return int(min(max(c.at-other.at, -1), 1))
	}
	return strings.Compare(c.id, other.id)
}

func (c cursor) String() string { return strconv.FormatInt(c.at, 10) + "/" + c.id }

// parseCursor parses [listing.Query].After. The empty text is the start of the list.
func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{at: math.MaxInt64}, nil
	}
	at, id, ok := strings.Cut(text, "/")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return cursor{}, fmt.Errorf("dynamo: list: After %q: %w", text, listing.ErrAfter)
	}
	return cursor{n, id}, nil
}

// listPart returns the first entries of one partition, at least one more than fits on a page if
// there are so many.
func (s *Store) listPart(ctx context.Context, client querier, q listing.Query, after cursor, part int) ([]listed, error) {
	condition, err := expression.NewBuilder().WithKeyCondition(
		expression.Key(AttrAttention).Equal(expression.Value(partKey(q.Scope, q.Status, part))).
			And(expression.Key(AttrAttentionAt).LessThanEqual(expression.Value(after.at))),
	).Build()
	if err != nil {
		return nil, fmt.Errorf("dynamo: list: %w", err)
	}
	in := &dynamodb.QueryInput{
		TableName: &s.cfg.Table, IndexName: aws.String(IndexAttention), ScanIndexForward: aws.Bool(false), Limit: aws.Int32(int32(q.Limit) + 1),
		KeyConditionExpression: condition.KeyCondition(), ExpressionAttributeNames: condition.Names(), ExpressionAttributeValues: condition.Values(),
	}
	var found []listed
	for {
		out, err := s.query(ctx, client, in)
		if err != nil {
			return nil, err
		}
		for _, it := range out.Items {
			l := s.listedOf(it)
			if l.entry.Status == q.Status && l.cursor.compare(after) < 0 {
				found = append(found, l)
			}
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 || len(found) > q.Limit {
			return found, nil
		}
	}
}

// query reads one page of the index. The form of the request is always valid, so a validation error
// means that the table lacks the index.
func (s *Store) query(ctx context.Context, client querier, in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	var out *dynamodb.QueryOutput
	err := patiently(ctx, func() (done bool, err error) {
		out, err = client.Query(ctx, in, once)
		return err == nil, err
	})
	switch {
	case err == nil:
		return out, nil
	case kindOf(err) == kindInvalid:
		return nil, fmt.Errorf("dynamo: table %q: %w: it needs the index %q: %w", s.cfg.Table, listing.ErrNoList, IndexAttention, err)
	default:
		return nil, classify("list", s.cfg.Table, err)
	}
}

// listedOf decodes an item of the index.
func (s *Store) listedOf(it item) listed {
	number := func(name string) int64 {
		n, _ := it[name].(*types.AttributeValueMemberN)
		if n == nil {
			return 0
		}
		v, _ := strconv.ParseInt(n.Value, 10, 64) // 0 for a value that no release writes
		return v
	}
	return listed{
		cursor: cursor{number(AttrAttentionAt), text(it[AttrID])},
		entry: listing.Entry{
			Name: text(it[AttrName]), Status: protocol.Status(text(it[AttrStatus])), Version: protocol.Version(number(AttrVersion)),
			Attempts: int(number(AttrAttempts)), Error: text(it[AttrError]),
		},
	}
}
