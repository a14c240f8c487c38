package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// maxFailures is the number of failed sends in a row after which the redrive stops, because the
// letters are not the cause.
const maxFailures = 10

// Order selects the letters of a redrive and says how to redrive them.
type Order struct {
	Names  []string // only letters of these names; empty means any
	Reason string   // only letters with this reason; empty means any
	IDs    []string // only letters with these IDs; empty means any

	ReopenUnknown bool          // also names that are UNKNOWN, or whose lease has lapsed
	Preview       bool          // only report the outcomes, change nothing
	Rate          float64       // letters sent per second; 0 means no limit
	Began         time.Time     // letters sent later are skipped, because they have come back; zero means now
	Records       Records       // reopens names; nil means [Config].Records
	Bound         time.Duration // time after which no further letters are received; 0 means no limit
}

// wants reports whether the order selects l.
func (o Order) wants(l Letter) bool {
	return (len(o.Names) == 0 || slices.Contains(o.Names, l.Name)) && (o.Reason == "" || o.Reason == l.Reason) && (len(o.IDs) == 0 || slices.Contains(o.IDs, l.ID))
}

// Outcomes of an [Item].
const (
	Moved    = "moved"    // sent to the queue and deleted here; in a preview: would be moved
	Kept     = "kept"     // not sent, because the worker would return it
	Failed   = "failed"   // could not be sent, and is still here
	Copied   = "copied"   // sent, but not deleted here, so it may be sent again
	Returned = "returned" // sent and dead-lettered again
)

// Item is the outcome of a selected letter.
type Item struct {
	Name    string
	ID      string // of the letter
	Outcome string
	Why     string // reason why it was not moved
	Unknown bool   // kept because the outcome of its work is not known

	letter Letter // set during the redrive of its batch
}

// Report is the progress of a redrive.
type Report struct {
	Began    time.Time
	Looked   int    // received letters
	Items    []Item // selected letters, in the order of receipt
	Complete bool   // no letter was left in the queue
	Reopened int    // reopened names
}

// Count returns the number of items with an outcome.
func (r Report) Count(outcome string) (n int) {
	for _, i := range r.Items {
		if i.Outcome == outcome {
			n++
		}
	}
	return n
}

// redriving is the state of a redrive.
type redriving struct {
	*Queue
	order    Order
	url      string
	report   Report
	held     []types.Message            // received letters that were not deleted
	records  map[string]protocol.Record // by name, as the sent letters will change them
	sentAs   map[string]int             // index of the item for each new message ID
	stuck    map[string]bool            // groups of a FIFO queue with a letter that could not be sent
	limiter  *rate.Limiter
	failures int // failed sends in a row
	failure  error
}

// Redrive sends the selected letters to the queue and deletes them here. A letter stays if the
// worker would return it, or if it has come back since Began. Names that the worker would refuse
// are reopened first. tell, if not nil, is called after each batch. The report is valid even if
// there is an error.
func (q *Queue) Redrive(ctx context.Context, o Order, tell func(Report)) (Report, error) {
	url, err := q.URL(ctx)
	if err != nil {
		return Report{}, err
	}
	if o.Began.IsZero() {
		o.Began = time.Now()
	}
	limit := rate.Inf
	if o.Rate > 0 {
		limit = rate.Limit(o.Rate)
	}
	r := &redriving{
		Queue: q, order: o, url: url, report: Report{Began: o.Began}, limiter: rate.NewLimiter(limit, 1),
		records: make(map[string]protocol.Record), sentAs: make(map[string]int), stuck: make(map[string]bool),
	}
	bound := time.Now().Add(o.Bound)
	r.report.Complete, err = q.scan(ctx, url, func(batch []types.Message) (bool, error) {
		for len(batch) > 0 {
			some := batch[:min(len(batch), batchSize)]
			batch = batch[len(some):]
			err := r.batch(ctx, some)
			if tell != nil {
				tell(r.report)
			}
			if err != nil || o.Bound > 0 && !time.Now().Before(bound) || r.hasAll() {
				q.release(ctx, url, batch)
				return false, err
			}
		}
		return true, nil
	})
	if depth, failed := q.Depth(ctx); r.report.Complete && failed == nil && fifo(url) && depth.Visible > len(r.held) {
		r.report.Complete = false
	}
	r.report.Complete = r.report.Complete || r.hasAll()
	if r.report.Complete || err != nil || o.Preview {
		q.release(ctx, url, r.held)
	} // otherwise they stay invisible, so that the next call receives others
	return r.report, err
}

// hasAll reports whether all letters selected by ID have been found.
func (r *redriving) hasAll() bool {
	return len(r.order.IDs) > 0 && len(r.report.Items) >= len(r.order.IDs)
}

// batch decides about received letters and moves them.
func (r *redriving) batch(ctx context.Context, batch []types.Message) error {
	letters, meant := make([]Letter, len(batch)), []Letter(nil)
	for i, m := range batch {
		letters[i] = letterOf(m, r.cfg.Keys)
	}
	named := r.order
	named.Names = nil // a payload may contain the name
	r.resolve(ctx, letters, named.wants)
	for _, l := range letters {
		r.report.Looked++
		if r.isBack(l) || !r.order.wants(l) {
			r.held = append(r.held, l.message)
			continue
		}
		meant = append(meant, l)
	}
	if err := r.read(ctx, meant); err != nil {
		for _, l := range meant {
			r.held = append(r.held, l.message)
		}
		return err
	}
	begin := len(r.report.Items)
	moves := make(map[int]decision)
	for _, l := range meant {
		item := Item{Name: l.Name, ID: l.ID, Outcome: Kept, letter: l}
		d := decide(l, r.records[l.Name], r.cfg.Keys, r.order.ReopenUnknown, time.Now(), r.cfg.Skew)
		if d.move && d.reopen && !r.order.Preview {
			d = r.reopen(ctx, l, d)
		}
		item.Unknown = d.unknown
		if item.Why = d.why; d.move {
			item.Outcome, r.records[l.Name] = Moved, d.next
			moves[len(r.report.Items)-begin] = d
		}
		r.report.Items = append(r.report.Items, item)
	}
	items := r.report.Items[begin:]
	if !r.order.Preview {
		r.send(ctx, items, moves)
	}
	for i := range items {
		if items[i].Outcome != Moved || r.order.Preview {
			r.held = append(r.held, items[i].letter.message)
		}
		items[i].letter = Letter{} // a report of many letters must not keep their bodies
	}
	if r.failures >= maxFailures {
		return r.failure
	}
	return nil
}

// isBack reports whether a letter was dead-lettered again since the redrive began. It marks the
// item under which this redrive sent it.
func (r *redriving) isBack(l Letter) bool {
	for _, id := range []string{l.ID, l.OriginalID} { // a copy has another ID than its message
		if i, sent := r.sentAs[id]; sent {
			r.report.Items[i].Outcome, r.report.Items[i].Why = Returned, cmp.Or(l.Error, "the worker has given it up again: "+l.Reason)
			return true
		}
	}
	return l.Sent.After(r.order.Began)
}

// read reads the records of letters whose names are new.
func (r *redriving) read(ctx context.Context, letters []Letter) error {
	unread := slices.DeleteFunc(slices.Clone(letters), func(l Letter) bool {
		_, known := r.records[l.Name]
		return known
	})
	found, err := r.Queue.records(ctx, unread)
	for i, l := range unread {
		r.records[l.Name] = found[i]
	}
	return err
}

// reopen reopens the letter's name. A letter whose name cannot be reopened is kept.
func (r *redriving) reopen(ctx context.Context, l Letter, d decision) decision {
	records := r.order.Records
	if records == nil {
		records = r.cfg.Records
	}
	_, err := records.Reopen(ctx, l.Name)
	if changed, ok := errors.AsType[*dedupe.VerbError](err); ok && changed.Status == protocol.Completed {
		return d // done meanwhile, so the worker will delete the letter as a duplicate
	}
	if err != nil {
		return decision{why: fmt.Sprintf("its name could not be re-opened: %v", err)}
	}
	r.report.Reopened++
	return d
}

// send sends the letters in moves and deletes those that were sent. A FIFO queue gets them in
// order, and no letter of a group after one that has failed.
func (r *redriving) send(ctx context.Context, items []Item, moves map[int]decision) {
	ids, errs := make([]string, len(items)), make([]error, len(items))
	var group errgroup.Group
	group.SetLimit(atATime)
	ordered := fifo(r.cfg.QueueURL)
	if ordered {
		group.SetLimit(1)
	}
	for i := range items {
		d, moves := moves[i]
		if !moves {
			continue
		}
		group.Go(func() error {
			l := items[i].letter
			if ordered && r.stuck[l.Group] {
				errs[i] = fmt.Errorf("not sent: an earlier letter of its group %q could not be sent", l.Group)
				return nil
			}
			if ids[i], errs[i] = r.sendOne(ctx, l, d); errs[i] != nil && ordered {
				r.stuck[l.Group] = true
			}
			return nil
		})
	}
	_ = group.Wait() // always nil
	var sent []*Item
	for i := range items {
		switch _, meant := moves[i]; {
		case !meant:
		case errs[i] != nil:
			r.failures, r.failure = r.failures+1, errs[i]
			items[i].Outcome, items[i].Why = Failed, errs[i].Error()
			delete(r.records, items[i].Name) // not changed after all
		default:
			r.failures = 0
			r.sentAs[ids[i]] = len(r.report.Items) - len(items) + i
			sent = append(sent, &items[i])
		}
	}
	r.delete(ctx, sent)
}

// sendOne sends a letter and returns its message ID in the queue.
func (r *redriving) sendOne(ctx context.Context, l Letter, d decision) (id string, err error) {
	if err := r.limiter.Wait(ctx); err != nil {
		return "", err
	}
	in := &sqs.SendMessageInput{QueueUrl: &r.cfg.QueueURL, MessageBody: &l.Body, MessageAttributes: d.attributes}
	if l.Group != "" {
		in.MessageGroupId = &l.Group
	}
	if fifo(r.cfg.QueueURL) {
		in.MessageDeduplicationId = &l.ID // SQS ignores a letter that is sent twice
	}
	if trace := l.message.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace},
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := r.cfg.SQS.SendMessage(ctx, in)
	if err != nil {
		return "", fmt.Errorf("send %s back to %s: %w", l.ID, r.cfg.QueueURL, err)
	}
	return aws.ToString(out.MessageId), nil
}

// delete deletes at most one batch of sent letters, even if ctx has ended.
func (r *redriving) delete(ctx context.Context, sent []*Item) {
	if len(sent) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &r.url}
	for n, item := range sent {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(n)), ReceiptHandle: item.letter.message.ReceiptHandle,
		})
	}
	left := make(map[int]string)
	out, err := r.cfg.SQS.DeleteMessageBatch(ctx, in)
	if err != nil {
		for n := range sent {
			left[n] = err.Error()
		}
	} else {
		for _, failed := range out.Failed {
			if n, err := strconv.Atoi(aws.ToString(failed.Id)); err == nil {
				left[n] = aws.ToString(failed.Message)
			}
		}
	}
	for n, why := range left {
		item := sent[n]
		item.Outcome, item.Why = Copied, "sent, but not deleted here: "+why
		r.cfg.Logger.WarnContext(ctx, "dead letter sent back but not deleted", "name", item.Name, "message_id", item.ID, "error", why)
	}
}
