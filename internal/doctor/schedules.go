package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/internal/schedule"
)

// far is the delay of the doctor's schedules, which are deleted at once. One that is left behind
// sends its message, which then has a name of the doctor's own.
const far = 365 * 24 * time.Hour

// scheduled creates a schedule, runs a check on it and deletes it.
func (p *patient) scheduled(ctx context.Context, name string, check func(id string, kept schedule.Schedule) (string, error)) (seen string, err error) {
	name = p.scope + "-" + name
	id := schedule.Name(p.scope, name)
	kept := schedule.Schedule{At: time.Now().Add(far), Message: schedule.Message{
		QueueURL: p.cfg.QueueURL, Body: fmt.Sprintf(`{"name":%q}`, name),
		Attributes: map[string]schedule.Attribute{"sqsonce.name": {DataType: "String", StringValue: name}},
		GroupID:    p.scope, DeduplicationID: p.scope,
	}}
	made := false
	// Also after an error: the schedule may exist although the answer was lost.
	defer func() {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		left := p.cfg.Schedules.Delete(removing, id)
		switch {
		case left == nil || errors.Is(left, schedule.ErrNone):
		case !made:
			err = fmt.Errorf("%w; schedule %s may exist, and could not be deleted: %w", err, id, left)
		default:
			seen, err = fmt.Sprintf("%s; schedule %s could not be deleted, and sends a message in a year: %v", seen, id, left), errDiffers
		}
	}()
	if kept.At, err = p.cfg.Schedules.Create(ctx, id, kept); err != nil {
		return "", err
	}
	made = true
	return check(id, kept)
}

// makes creates a schedule. That takes the group and the right to pass the role, which AWS tries
// to assume. Whether the role may send, only a schedule that runs would show.
func makes(ctx context.Context, p *patient) (string, error) {
	return p.scheduled(ctx, "makes", func(id string, _ schedule.Schedule) (string, error) { return id, nil })
}

// makesTwice creates two schedules of one name.
func makesTwice(ctx context.Context, p *patient) (string, error) {
	return p.scheduled(ctx, "twice", func(id string, kept schedule.Schedule) (string, error) {
		switch _, err := p.cfg.Schedules.Create(ctx, id, kept); {
		case errors.Is(err, schedule.ErrExists):
			return "refused", nil
		case err != nil:
			return "", err
		default:
			return "accepted", errDiffers
		}
	})
}

// readsBack reads a schedule.
func readsBack(ctx context.Context, p *patient) (string, error) {
	return p.scheduled(ctx, "reads", func(id string, kept schedule.Schedule) (string, error) {
		got, err := p.cfg.Schedules.Get(ctx, id)
		switch {
		case err != nil:
			return "", err
		case !got.At.Equal(kept.At):
			return fmt.Sprintf("time %s, set %s", got.At, kept.At), errDiffers
		case got.Message.Body != kept.Message.Body || got.Message.QueueURL != kept.Message.QueueURL ||
			got.Message.Attributes["sqsonce.name"] != kept.Message.Attributes["sqsonce.name"]:
			return fmt.Sprintf("message %+v", got.Message), errDiffers
		default:
			return "as written", nil
		}
	})
}

// isGone deletes a schedule and looks for it.
func isGone(ctx context.Context, p *patient) (string, error) {
	return p.scheduled(ctx, "gone", func(id string, _ schedule.Schedule) (string, error) {
		if err := p.cfg.Schedules.Delete(ctx, id); err != nil {
			return "", err
		}
		if _, err := p.cfg.Schedules.Get(ctx, id); !errors.Is(err, schedule.ErrNone) {
			return fmt.Sprintf("read: %v", err), errDiffers
		}
		if err := p.cfg.Schedules.Delete(ctx, id); !errors.Is(err, schedule.ErrNone) {
			return fmt.Sprintf("deleted again: %v", err), errDiffers
		}
		return "not found, by read and delete", nil
	})
}
