package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/names"
)

// Config configures the console of a process: what it shows and what it may do. A
// part whose field is nil or empty is not shown.
type Config struct {
	// Queues are those that the process works on. Required; the page shows the
	// first one until its visitor picks another.
	Queues []QueueConfig
	// Starting are queues that the process cannot work on yet: the page names them.
	Starting []StartingQueue

	// Drain makes the worker finish what it has and end; nil: no such button.
	Drain func()

	// AdminToken gives those who are not on loopback the right to act. Empty:
	// only loopback may.
	AdminToken string
	// Hosts are names, without port, under which a proxy on this machine may
	// call this server: those of its own that it passes on in the Host header.
	// A visitor who comes by one of them needs AdminToken to act. Names beside
	// these, localhost and addresses are refused, because a foreign page could
	// have its own name lead here. Empty: no others.
	Hosts []string

	// Workers are the admin addresses of workers, such as http://10.0.0.7:9090, whose
	// live figures are shown. Empty: none are.
	Workers []string
	// Closed keeps those who may not act from looking, too.
	Closed bool
	// By begins what records say of whose verb it was. May be empty.
	By string

	// Version and TaskID are shown in the header. TaskID is empty outside ECS.
	Version, TaskID string
	// Started is when the worker started; zero means now.
	Started time.Time
	// Protection returns how the task is protected against scale-in, in a few
	// words, such as "until 15:04"; empty when it is not. Nil outside ECS. It
	// must not block.
	Protection func() string

	// Closing ends open streams when it is closed, so that a server that stops
	// does not wait for them. Nil: they end with their request.
	Closing <-chan struct{}

	// Logger gets one line for each action. Default [slog.Default].
	Logger *slog.Logger
}

// StartingQueue is a queue without a worker pool yet.
type StartingQueue struct {
	// Name is the queue's.
	Name string
	// Why says in a few words why it has none. It must not block.
	Why func() string
}

// QueueConfig is a queue that the console shows. A part whose field is nil or
// empty is not shown.
type QueueConfig struct {
	// Name is the queue's, by which its part of the API is found. Required.
	Name string
	// History is what the hooks of the pool and the guard feed, and Pool is the worker
	// pool. Both are nil in a program that has none: then the page has no overview.
	History *History
	Pool    Pool
	// Records reads and forgets what is known of names. Required.
	Records Records
	// Operator settles names. Nil: the page settles none.
	Operator *dedupe.Operator
	// Lister lists the names of Scope that wait for something. Nil: they are not listed.
	Lister dedupe.Lister
	// Scope is the prefix of every name in the store; required with Lister.
	Scope string

	// Queue is the client for depths, dead letters and sending. Nil: none of these.
	Queue Queue
	// QueueURL is the queue that is worked on; required with Queue.
	QueueURL string
	// DLQURL is its dead-letter queue; empty: dead letters are not shown.
	DLQURL string
	// Keys finds the names of dead letters; the workers' own. Required with DLQURL.
	Keys *names.Extractor
	// Payloads fetches what dead letters point to in S3, for their names. Nil: not fetched.
	Payloads deadletter.Payloads
	// Skew is the workers' own. Default: that of [dedupe.Config].
	Skew time.Duration

	// MayPurge lets the page delete all dead letters. Needs DLQURL.
	MayPurge bool

	// Local shows the form that sends messages and the button that sends
	// duplicates on purpose. For a queue that holds nothing of value. Needs Queue.
	Local bool

	// Suspicion returns the answer for which the target is suspect; empty: it is
	// not. Nil: there is no target. It must not block.
	Suspicion func() string

	// Table is shown in the header.
	Table string
	// Settings is the effective configuration, secrets masked by the caller.
	// A value whose name says token, secret or password is masked again.
	Settings []Setting
}

// Setting is one setting of the worker as it works with it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Pool is the worker pool as the console sees it. Its methods do not block.
type Pool interface {
	// Snapshot returns the numbers of this moment and the messages in the pool,
	// the oldest first, at most limit of them. It is asked once a second while
	// somebody looks.
	Snapshot(limit int) Snapshot
	// Pause stops receiving until Resume; both can be called at any time.
	Pause()
	Resume()
}

// Snapshot is a pool at one moment.
type Snapshot struct {
	State    string    `json:"state"` // starting, running, held, paused, draining, stopped
	Slots    int       `json:"slots"`
	Running  int       `json:"running"` // slots taken
	Queued   int       `json:"queued"`  // messages that wait for a slot
	Limited  int       `json:"limited"` // messages that wait for the bound of their group
	Parked   int       `json:"parked"`  // messages that wait without one
	Polls    int       `json:"polls"`   // receives out
	Acks     int       `json:"acks"`    // messages being ended, unanswered
	Down     []string  `json:"down"`    // what handlers depend on and is not up
	LastPoll time.Time `json:"-"`       // last sign of the receive loop
	Flights  []Flight  `json:"-"`
}

// Flight is a message in the pool.
type Flight struct {
	ID           string
	Name         string // empty: not known by the pool
	ReceiveCount int
	LastReceive  bool
	Phase        string    // queued, limited, running, held, parked, following, ending
	Received     time.Time // when this worker received it
	VisibleAt    time.Time // when others would see it unless extended; zero: not known
}

// Records is what is known of names. A *[dedupe.Operator] is one.
type Records interface {
	// Lookup returns the record of name, or an error that wraps
	// [dedupe.ErrNoRecord] when there is none that counts.
	Lookup(ctx context.Context, name string) (protocol.Record, error)
	// Forget makes the next message of name run as if it was never seen, and
	// returns from when on that is so in every worker. A live lease is forgotten
	// only with force; without, the error is an [*dedupe.InProgressError].
	Forget(ctx context.Context, name string, force bool) (effective time.Time, err error)
	// Reopen lets a rejected or unknown name run again.
	Reopen(ctx context.Context, name string) (protocol.Record, error)
}

var _ Records = (*dedupe.Operator)(nil)

// withDefaults returns a copy of c with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Started.IsZero() {
		c.Started = time.Now()
	}
	queues := slices.Clone(c.Queues)
	for i, q := range queues {
		queues[i].Settings = make([]Setting, len(q.Settings))
		for n, s := range q.Settings {
			queues[i].Settings[n] = masked(s)
		}
	}
	c.Queues = queues
	return c
}

// validate reports everything that is missing in c.
func (c Config) validate() error {
	var errs []error
	if len(c.Queues) == 0 {
		errs = append(errs, errors.New("Queues: must not be empty"))
	}
	known := make(map[string]bool)
	for i, q := range c.Queues {
		for _, text := range q.problems() {
			errs = append(errs, fmt.Errorf("Queues[%d].%s", i, text))
		}
		if known[q.Name] {
			errs = append(errs, fmt.Errorf("Queues[%d].Name %q: must not be repeated", i, q.Name))
		}
		known[q.Name] = true
	}
	for _, host := range c.Hosts {
		if err := CheckHost(host); err != nil {
			errs = append(errs, errors.New("Hosts "+err.Error()))
		}
	}
	return errors.Join(errs...)
}

// problems are what is missing in q.
func (q QueueConfig) problems() (texts []string) {
	for _, required := range []struct {
		missing bool
		text    string
	}{
		{q.Name == "" || strings.ContainsAny(q.Name, "/{} "), fmt.Sprintf("Name %q: must be the name of a queue", q.Name)},
		{q.History == nil && q.Pool != nil, "History: must be set with Pool"},
		{q.Pool == nil && q.History != nil, "Pool: must be set with History"},
		{q.Pool == nil && q.Local, "Pool: must be set with Local"},
		{q.Lister != nil && q.Scope == "", "Scope: must be set with Lister"},
		{q.Records == nil, "Records: must be set"},
		{q.Queue != nil && q.QueueURL == "", "QueueURL: must be set with Queue"},
		{q.Queue == nil && q.DLQURL != "", "Queue: must be set with DLQURL"},
		{q.Keys == nil && q.DLQURL != "", "Keys: must be set with DLQURL"},
		{q.Queue == nil && q.Local, "Queue: must be set with Local"},
	} {
		if required.missing {
			texts = append(texts, required.text)
		}
	}
	return texts
}

// CheckHost reports, beginning with the name itself, why it is none that can be
// among [Config.Hosts]. A name for this machine cannot: it would make a proxy's
// visitors look like somebody who sits here.
func CheckHost(name string) error {
	if admin.NamesThisMachine(name) {
		return fmt.Errorf("%q: must be a name that a proxy is reached by, not an address or localhost, which are always taken", clip(name, maxHost))
	}
	if name == "" || len(name) > maxHost || strings.Trim(name, hostCharacters) != "" {
		return fmt.Errorf("%q: must be a host name, without scheme, port or path", clip(name, maxHost))
	}
	return nil
}

const (
	maxHost        = 253 // bytes, by RFC 1035
	hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
)
