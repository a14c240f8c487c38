package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/names"
)

// Shared is the plan with batches, with bounds for groups, or with both.
func (p Plan) Shared() Plan {
	r := dice{p.Seed}.roll("shared", "", 0)
	p.Concurrency = max(2, p.Concurrency)
	kind := r.IntN(3)
	if kind != 0 {
		p.Batch = 2 + r.IntN(min(p.Concurrency-1, 4))
		p.BatchWait = between(r, time.Millisecond, p.Lease/4)
		p.BatchFail = rate(r)
		// A batch keeps its slots until its slowest message ends, and a worker needs a slot beside it.
		p.Trouble.Hanging = min(p.Trouble.Hanging, (p.Concurrency-1)/p.Batch)
	}
	if kind != 1 {
		p.GroupConcurrency = 1 + r.IntN(2)
		p.GroupRate = pick(r, 0, 0, 0.5, 5)
	}
	if p.Trouble != (Trouble{}) && p.GroupRate > 0 {
		p.GroupRate = 5 // the groups are larger, and must begin within the bound on progress
	}
	return p
}

// groupOf puts names into two groups, and messages in trouble into one for each kind.
func groupOf(m consumer.Message) string { return groupOfBody(m.Body) }

func groupOfBody(body string) string {
	named, err := namer{}.Extract(names.Message{Body: body})
	if err != nil || named.Name == "" {
		return ""
	}
	return kindOf(body) + fmt.Sprint(named.Name[len(named.Name)-1]%2)
}

// taken returns the number of messages that a process has handed to the guard, and that of each
// group. A message of a batch is among them until the end of the batch. The caller holds mu.
func (v *watch) taken(p *process) (all int, groups map[string]int) {
	groups = make(map[string]int)
	for receipt, by := range v.inHand {
		if by == p {
			all++
			groups[groupOfBody(v.receipts[receipt].body)]++
		}
	}
	return all, groups
}

// hasRoom reports whether a process can begin a message: it has a free slot, and so has the group
// of the message. The caller holds mu.
func (v *watch) hasRoom(p *process, m *message) bool {
	plan := v.w.plan
	if plan.Batch == 0 && plan.GroupConcurrency == 0 {
		return v.inside[p] < plan.Concurrency
	}
	all, groups := v.taken(p)
	group := groupOfBody(m.body)
	return all < plan.Concurrency && (plan.GroupConcurrency == 0 || group == "" || groups[group] < plan.GroupConcurrency)
}

// newWorker makes the worker of the plan.
func (p *process) newWorker(cfg sqsonce.Config) (*sqsonce.Worker[string], error) {
	plan := p.w.plan
	cfg.Pool.GroupConcurrency, cfg.Pool.GroupRate, cfg.Pool.GroupBy = plan.GroupConcurrency, plan.GroupRate, groupOf
	if plan.Batch == 0 {
		return sqsonce.New(aws.Config{}, cfg, p.bounded)
	}
	return sqsonce.NewBatch(aws.Config{}, cfg, consumer.BatchConfig{Size: plan.Batch, Wait: plan.BatchWait}, p.handleBatch)
}

// bounded handles a message, and looks at the bound of its group.
func (p *process) bounded(ctx context.Context, m consumer.Message) (string, error) {
	group, most := groupOf(m), p.w.plan.GroupConcurrency
	p.mu.Lock()
	if p.groups == nil {
		p.groups = make(map[string]int)
	}
	p.groups[group]++
	n := p.groups[group]
	p.mu.Unlock()
	if most > 0 && n > most {
		p.w.watch.complain("%s has %d messages of group %s at work, want %d at most", p.label, n, group, most)
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.groups[group]--
	}()
	return p.handle(ctx, m)
}

// handleBatch is the work on several messages, side by side.
func (p *process) handleBatch(ctx context.Context, batch []consumer.Message) (results []string, failed []error, err error) {
	labels := make([]string, len(batch))
	groups := make(map[string]bool)
	for i, m := range batch {
		labels[i] = p.w.watch.labelOf(m.ID)
		if p.w.plan.FIFO && groups[m.GroupID] {
			p.w.watch.complain("%s has two messages of the group %s in a batch", p.label, m.GroupID)
		}
		groups[m.GroupID] = true
	}
	about := strings.Join(labels, " ")
	r := p.w.dice.roll(p.label+" batch", about, p.count("batch "+about))
	if len(batch) > 1 && chance(r, p.w.now(p.w.plan.BatchFail)) {
		return nil, nil, errFailed
	}
	results, failed = make([]string, len(batch)), make([]error, len(batch))
	var all sync.WaitGroup
	for i, m := range batch {
		all.Go(func() {
			p.step("begins in a batch", m)
			results[i], failed[i] = p.member(ctx, m)
		})
	}
	all.Wait()
	return results, failed, nil
}

// member handles one message of a batch.
func (p *process) member(ctx context.Context, m consumer.Message) (result string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = gaveUp{fmt.Errorf("sim: panic: %v", v), false}
		}
	}()
	if ctx.Err() != nil {
		return "", gaveUp{context.Cause(ctx), true}
	}
	result, err = p.bounded(m.Context(), m)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return "", gaveUp{err, true}
	}
	return result, err
}

// gaveUp is the error of a message whose work is not known: it has panicked, or its batch was
// cancelled.
type gaveUp struct {
	error
	shared bool
}

func (e gaveUp) Unwrap() error        { return e.error }
func (e gaveUp) Shared() bool         { return e.shared }
func (e gaveUp) OutcomeUnknown() bool { return true }

// complain records a violation.
func (v *watch) complain(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.violate(format, args...)
}
