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
	"github.com/sqsonce/sqsonce/dedupe/listing"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/names"
)

// Config configures the console of a process. A part of the page whose field is nil or empty is not
// shown.
type Config struct {
	// Queues are the queues of the process. Required. The page shows the first one by default.
	Queues []QueueConfig
	// Starting are queues without a running pool. The page shows their names.
	Starting []StartingQueue

	// Drain starts a shutdown of the worker. Nil: the page has no such button.
	Drain func()

	// AdminToken lets visitors beyond loopback act. Empty: only visitors on loopback may act.
	AdminToken string
	// Hosts are host names, without ports, under which a proxy on this machine forwards requests if it
	// keeps the Host header. Visitors under these names need AdminToken to act. Host names other than
	// these, localhost and addresses are refused, because a foreign site's name could resolve to this
	// server. Empty: none.
	Hosts []string

	// Workers are the admin addresses of workers, such as http://10.0.0.7:9090, whose live figures are
	// shown. Empty: none.
	Workers []string
	// Closed also stops visitors who may not act from reading.
	Closed bool
	// By is the first part of the operator's name in records. May be empty.
	By string

	// Version and TaskID are shown in the header. TaskID is empty outside ECS.
	Version, TaskID string
	// Started is the start time of the worker. Default: now.
	Started time.Time
	// Protection returns a short description of the scale-in protection, such as "until 15:04"; empty
	// if there is none. Nil outside ECS. It must not block.
	Protection func() string

	// Closing, once closed, ends open streams, so that a server in a shutdown does not wait for them.
	// Nil: streams end with their request.
	Closing <-chan struct{}

	// Logger logs each action. Default [slog.Default].
	Logger *slog.Logger
}

// StartingQueue is a queue without a worker pool yet.
type StartingQueue struct {
	// Name is the name of the queue.
	Name string
	// Why returns a short reason why no pool runs. It must not block.
	Why func() string
}

// QueueConfig configures a queue of the console. A part of the page whose field is nil or empty is
// not shown.
type QueueConfig struct {
	// Name is the name of the queue, which is also in its API paths. Required.
	Name string
	// History is fed by the hooks of the pool and the guard. Pool is the worker pool. In a program
	// without a pool both are nil, and the page has no overview.
	History *History
	Pool    Pool
	// Records reads and forgets names. Required.
	Records Records
	// Operator settles names. Nil: the page cannot settle names.
	Operator *dedupe.Operator
	// Lister lists the names of Scope that need attention. Nil: the page has no list.
	Lister listing.Lister
	// Scope is the prefix of every name in the store; required with Lister.
	Scope string

	// Queue is the client for depths, dead letters and sending. Nil: the page has none of them.
	Queue Queue
	// QueueURL is the URL of the queue. Required with Queue.
	QueueURL string
	// DLQURL is the URL of the dead-letter queue. Empty: dead letters are not shown.
	DLQURL string
	// Keys reads the names of dead letters; the same as the workers'. Required with DLQURL.
	Keys *names.Extractor
	// Payloads fetches the S3 payloads of dead letters, to read their names. Nil: not fetched.
	Payloads deadletter.Payloads
	// Skew must be the same as the workers'. Default: that of [dedupe.Config].
	Skew time.Duration

	// MayPurge lets the page delete all dead letters. Needs DLQURL.
	MayPurge bool

	// Local shows the forms that send messages and duplicates. It is for a queue without valuable
	// data. Needs Queue.
	Local bool

	// Suspicion returns the answer for which the target is suspect; empty if it is not. Nil: there is
	// no target. It must not block.
	Suspicion func() string

	// Table is the name of the table in the header.
	Table string
	// Settings is the effective configuration. The caller masks secrets. Values whose name contains
	// token, secret or password are masked again.
	Settings []Setting
}

// Setting is an effective setting of the worker.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Pool is a worker pool. Its methods do not block.
type Pool interface {
	// Snapshot returns the current numbers and at most limit messages of the pool, oldest first. It is
	// called once a second while a page is open.
	Snapshot(limit int) Snapshot
	// Pause stops receiving until Resume. Both may be called at any time.
	Pause()
	Resume()
}

// Snapshot is the state of a pool at one time.
type Snapshot struct {
	State    string    `json:"state"` // starting, running, held, paused, draining, stopped
	Slots    int       `json:"slots"`
	Running  int       `json:"running"` // slots taken
	Queued   int       `json:"queued"`  // messages that wait for a slot
	Limited  int       `json:"limited"` // messages that wait because of their group's limits
	Parked   int       `json:"parked"`  // messages that wait without a slot
	Polls    int       `json:"polls"`   // receives under way
	Acks     int       `json:"acks"`    // deletions and dead-letterings under way
	Down     []string  `json:"down"`    // dependencies of handlers that are down
	LastPoll time.Time `json:"-"`       // last activity of the receive loop
	Flights  []Flight  `json:"-"`
}

// Flight is a message in the pool.
type Flight struct {
	ID           string
	Name         string // empty: the pool does not know it
	ReceiveCount int
	LastReceive  bool
	Phase        string    // queued, limited, running, held, parked, following, ending
	Received     time.Time // when this worker received it
	VisibleAt    time.Time // end of the visibility timeout unless extended; zero: unknown
}

// Records reads and forgets records. A [*dedupe.Operator] implements it.
type Records interface {
	// Lookup returns the live record of a name, or an error that wraps [dedupe.ErrNoRecord].
	Lookup(ctx context.Context, name string) (protocol.Record, error)
	// Forget makes the next message of name run as if the name had never been seen, and returns the
	// time from which on that holds in every worker. It forgets a live lease only with force;
	// otherwise its error is a [*dedupe.InProgressError].
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

// validate returns all problems of c.
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

// problems returns the problems of q.
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

// CheckHost returns an error, which begins with the name, unless name can be in [Config.Hosts]. A
// name of this machine cannot, because visitors of a proxy would count as local.
func CheckHost(name string) error {
	if admin.NamesThisMachine(name) {
		return fmt.Errorf("%q: must be a host name of a proxy, not an address or localhost, which are always accepted", clip(name, maxHost))
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
