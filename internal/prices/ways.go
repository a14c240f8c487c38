package prices

import (
	"fmt"
	"strings"
)

// Even is a million messages of 1 KiB a day that arrive evenly, so that each call to SQS carries
// one: sent, received and deleted. One worker of the smallest size always runs, in two zones with
// an endpoint for SQS. Records of 500 bytes are kept for 30 days.
func Even() Use {
	return Use{
		Requests: 3, Writes: 2, Record: 500, Days: 30, Recovery: true, Daily: 1,
		Tasks: Tasks{Count: 1, CPU: 0.25, Memory: 0.5, EndpointZones: 2, Traffic: 6000},
	}
}

// Way is a way to pay less.
type Way struct {
	Name, How     string
	Before, After Use
}

// Saved is the saved share of the price.
func (w Way) Saved() float64 { return 1 - w.After.Million()/w.Before.Million() }

// Ways are the ways, each by itself.
func Ways() []Way {
	even := func(change func(u *Use)) Use {
		u := Even()
		change(&u)
		return u
	}
	way := func(name, how string, after func(u *Use)) Way { return Way{name, how, Even(), even(after)} }
	undo := func(name, how string, before func(u *Use)) Way { return Way{name, how, even(before), Even()} }
	return []Way{
		way("provisioned capacity", "70 % of it used, by auto scaling", provisioned),
		way("receive and delete ten at a time", "messages wait for the worker: a backlog, or a worker that runs by the hour", drained),
		way("send ten at a time", "`SendMessageBatch`; `producer serve` does it for posts that arrive together", sentTogether),
		way("one zone, or no endpoint", "an endpoint for SQS in one zone; `network=public` has none", func(u *Use) { u.Tasks.EndpointZones = 1 }),
		way("Spot", "`spotShare=100`, at half the price", func(u *Use) { u.Tasks.Spot = true }),
		way("remember for 7 days", "`--window 168h`", remembered),
		way("more messages for a task", "ten million a day for the one task and its endpoints", func(u *Use) { u.Daily = 10 }),
		undo("ARM", "`arch=arm64`, the default, and not amd64", func(u *Use) { u.Tasks.X86 = true }),
		undo("standard, not FIFO", "where no group needs an order", func(u *Use) { u.FIFO = true }),
		undo("records of at most 1 KB", "`--result hash` or `none`, and not results of 3 KB", func(u *Use) { u.Writes, u.Record = 1+4, 3500 }),
		{"bodies of 6 KB", "ten are one request of 64 KB, and not ten, as with bodies of 64 KB; sent and received ten at a time", large(), even(gathered)},
		undo("long polling", "as the worker does; an idle loop without it receives ten times a second", func(u *Use) { u.Requests += 864_000 / million }),
		undo("records that expire", "time to live is free; a delete is a write", func(u *Use) { u.Writes = 3 }),
		way("no fingerprint", "`--fingerprint off` saves 37 bytes of storage, and no unit", func(u *Use) { u.Record -= 37 }),
	}
}

func provisioned(u *Use)  { u.Provisioned = 0.7 }
func drained(u *Use)      { u.Requests -= 2 * 0.9 }
func sentTogether(u *Use) { u.Requests -= 0.9 }
func remembered(u *Use)   { u.Days = 7 }

// large is a million bodies of 64 KB, sent and received ten at a time.
func large() Use {
	u := Even()
	u.Requests, u.Tasks.Traffic = 1+1+0.1, 2*RequestBytes
	return u
}

func gathered(u *Use) { // ten at a time, everywhere
	sentTogether(u)
	drained(u)
}

// Halved is several ways together: those that need no change of the messages.
func Halved() Way {
	after := Even()
	for _, change := range []func(*Use){provisioned, gathered, remembered} {
		change(&after)
	}
	return Way{"provisioned, ten at a time, 7 days", "together", Even(), after}
}

// Table returns the ways as a Markdown table.
func Table() string {
	var text strings.Builder
	text.WriteString("| way | how | a million messages | saved |\n|---|---|---|---|\n")
	for _, w := range append(Ways(), Halved()) {
		fmt.Fprintf(&text, "| %s | %s | $%.2f → $%.2f | %.0f %% |\n", w.Name, w.How, w.Before.Million(), w.After.Million(), 100*w.Saved())
	}
	return text.String()
}
