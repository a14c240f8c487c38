package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sqsonce/sqsonce/internal/admin"
	"github.com/sqsonce/sqsonce/internal/deadletter"
)

// maxBody bounds what a page may send: a message of the largest size SQS takes,
// as a JSON string.
const maxBody = 2 << 20

const (
	refusalEvery = time.Second // a line in the log, after the first few
	refusalBurst = 10
	maxLogged    = 1 << 10 // bytes of a text in the log
)

// console is the handler behind [New].
type console struct {
	cfg    Config
	access *access
	pages  pages

	refusals *rate.Limiter // lines about refused requests
	unlogged atomic.Int64  // requests since the last of these lines
}

// panel is the part of the console that is about one queue.
type panel struct {
	*console
	queue  QueueConfig
	dead   *deadletter.Queue // nil: none is shown
	frames frames
	depths depths
}

// New returns the console's handler, for "/" and "/api/", or an error that
// lists everything wrong with cfg. It starts nothing and needs no closing.
//
// What is about a queue is under /api/queues/NAME/, the rest under /api/.
func New(cfg Config) (http.Handler, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c := &console{
		cfg: cfg, access: newAccess(cfg.AdminToken),
		refusals: rate.NewLimiter(rate.Every(refusalEvery), refusalBurst),
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", asset("index.html"))
	mux.HandleFunc("GET /assets/{file...}", serveAsset)
	mux.HandleFunc("GET /api/session", c.getSession)
	mux.HandleFunc("GET /api/queues", c.getQueues)
	mux.HandleFunc("POST /api/login", c.postLogin)
	mux.HandleFunc("POST /api/logout", c.postLogout)
	if cfg.Drain != nil {
		c.action(mux, "/api/", "drain", c.postDrain)
	}
	for _, q := range cfg.Queues {
		p := &panel{console: c, queue: q}
		if q.DLQURL != "" {
			var err error
			p.dead, err = deadletter.New(deadletter.Config{
				SQS: q.Queue, QueueURL: q.QueueURL, URL: q.DLQURL, Keys: q.Keys, Records: q.Records, Payloads: q.Payloads, Skew: q.Skew, Logger: cfg.Logger,
			})
			if err != nil {
				return nil, fmt.Errorf("console: %w", err)
			}
		}
		p.serve(mux, "/api/queues/"+q.Name+"/")
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "nothing is at "+clip(r.URL.Path, 100))
	})
	return c.secure(mux), nil
}

// serve adds what is about the panel's queue.
func (c *panel) serve(mux *http.ServeMux, under string) {
	mux.HandleFunc("GET "+under+"names", c.getName)
	mux.HandleFunc("GET "+under+"config", c.getConfig)
	c.action(mux, under, "forget", c.postForget)
	if c.queue.Pool != nil {
		mux.HandleFunc("GET "+under+"status", c.getStatus)
		mux.HandleFunc("GET "+under+"stream", c.getStream)
		c.action(mux, under, "pause", c.postPause)
		c.action(mux, under, "resume", c.postResume)
	} else if c.queue.Queue != nil {
		mux.HandleFunc("GET "+under+"status", c.getDepths)
	}
	if c.queue.Lister != nil {
		mux.HandleFunc("GET "+under+"names/list", c.getNames)
	}
	if c.queue.Operator != nil {
		c.action(mux, under, "names/settle", c.postSettle)
	}
	if len(c.cfg.Workers) > 0 {
		mux.HandleFunc("GET "+under+"workers", c.getWorkers)
	}
	if c.dead != nil {
		c.action(mux, under, "dead/peek", c.postPeek)
		c.action(mux, under, "dead/redrive", c.postRedrive)
	}
	if c.dead != nil && c.queue.MayPurge {
		c.action(mux, under, "dead/purge", c.postPurge)
	}
	if c.queue.Local {
		c.action(mux, under, "send", c.postSend)
		c.action(mux, under, "replay", c.postReplay)
	}
}

// secure refuses requests that were not meant for us, and sets the headers
// under which a browser runs nothing but the page's own files.
func (c *console) secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "+
			"require-trusted-types-for 'script'; trusted-types 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		header.Set("Cache-Control", "no-store")
		if !admin.AllowsHost(r, c.cfg.Hosts) {
			problem(w, http.StatusMisdirectedRequest, "this machine was asked under a foreign name; use localhost or an address")
			return
		}
		if c.cfg.Closed && strings.HasPrefix(r.URL.Path, "/api/queues") && !c.access.visitorOf(r).mayAct() {
			problem(w, http.StatusUnauthorized, "log in with the token first")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// action lets f answer POSTs of the action for those who may act, when the request
// cannot have been made by a foreign page, and logs it.
func (c *console) action(mux *http.ServeMux, under, name string, f func(w http.ResponseWriter, r *http.Request, log actionLog)) {
	mux.HandleFunc("POST "+under+name, func(w http.ResponseWriter, r *http.Request) {
		v := c.access.visitorOf(r)
		switch err := c.access.cross.Check(r); {
		case err != nil:
			c.refuse(w, r, http.StatusForbidden, name, "caused by another site")
			return
		case !v.mayAct() && c.access.guesses.Refuses(r, c.access.token):
			w.Header().Set("Retry-After", "1")
			c.refuse(w, r, http.StatusTooManyRequests, name, admin.TooManyGuesses)
			return
		case !v.mayAct():
			c.refuse(w, r, http.StatusForbidden, name, "only visitors on the worker's own machine and those with the admin token may do that")
			return
		case !v.bearer && !c.access.isPage(r):
			c.refuse(w, r, http.StatusForbidden, name, "the header "+csrfHeader+" of /api/session is missing")
			return
		}
		f(w, r, func(ctx context.Context, message string, fields ...any) {
			c.cfg.Logger.InfoContext(ctx, message, append([]any{"action", name, "who", v.who()}, clipped(fields)...)...)
		})
	})
}

// actionLog writes a line about an action: what it was done to. Texts are cut,
// for they come from whoever asked, or out of a message.
type actionLog func(ctx context.Context, message string, fields ...any)

// acted is the line that every action writes; a long one writes another at its end.
const acted = "console action"

// clipped returns fields with their texts cut.
func clipped(fields []any) []any {
	fields = slices.Clone(fields)
	for i, field := range fields {
		switch field := field.(type) {
		case string:
			fields[i] = clip(field, maxLogged)
		case error:
			fields[i] = clip(field.Error(), maxLogged)
		case []string:
			short := make([]string, len(field)) // their number is bounded where they are read
			for i, text := range field {
				short[i] = clip(text, maxIDShown)
			}
			fields[i] = short
		}
	}
	return fields
}

// refuse answers a request that somebody had no right to, or made too often, and
// says so in the log. Everybody can make such requests: of many at once, some
// are only counted, in the next line.
func (c *console) refuse(w http.ResponseWriter, r *http.Request, status int, action, reason string) {
	if c.refusals.Allow() {
		c.cfg.Logger.WarnContext(r.Context(), "console request refused",
			"action", action, "who", c.access.visitorOf(r).who(), "status", status, "reason", reason, "unlogged_before", c.unlogged.Swap(0))
	} else {
		c.unlogged.Add(1)
	}
	problem(w, status, reason)
}

// Session is what a page has to know once: who its visitor is, and what there
// is to see.
type Session struct {
	MayAct   bool           `json:"may_act"`        // the visitor may do more than look
	LoggedIn bool           `json:"logged_in"`      // by the token
	Ends     int64          `json:"ends,omitempty"` // epoch ms: when that is over
	CanLogin bool           `json:"can_login"`      // there is a token
	Closed   bool           `json:"closed"`         // who may not act may not look either
	CSRF     string         `json:"csrf,omitempty"`
	Version  string         `json:"version,omitempty"`
	TaskID   string         `json:"task_id,omitempty"`
	Started  int64          `json:"started"` // epoch ms
	Drain    bool           `json:"drain"`   // there is a way to drain
	Queues   []SessionQueue `json:"queues"`
}

// SessionQueue is a queue of the process.
type SessionQueue struct {
	Name  string `json:"name"`
	DLQ   string `json:"dlq,omitempty"`
	Table string `json:"table,omitempty"`
	Local bool   `json:"local"`
	Purge bool   `json:"purge"` // dead letters can be purged

	Pool    bool `json:"pool"`    // there is a worker in this process
	Listed  bool `json:"listed"`  // names can be listed
	Settle  bool `json:"settle"`  // and settled
	Workers bool `json:"workers"` // other workers are asked
}

func (c *console) getSession(w http.ResponseWriter, r *http.Request) {
	v := c.access.visitorOf(r)
	s := Session{
		MayAct: v.mayAct(), LoggedIn: v.session != "", Ends: epoch(v.ends), CanLogin: c.cfg.AdminToken != "", Closed: c.cfg.Closed,
		Version: c.cfg.Version, TaskID: c.cfg.TaskID, Started: c.cfg.Started.UnixMilli(), Drain: c.cfg.Drain != nil,
	}
	for _, q := range c.cfg.Queues {
		s.Queues = append(s.Queues, SessionQueue{Name: q.Name, DLQ: lastPart(q.DLQURL), Table: q.Table, Local: q.Local, Purge: q.MayPurge && q.DLQURL != "",
			Pool: q.Pool != nil, Listed: q.Lister != nil, Settle: q.Operator != nil, Workers: len(c.cfg.Workers) > 0})
	}
	if s.MayAct {
		s.CSRF = c.access.csrf
	}
	answer(w, s)
}

// QueueState is what GET /api/queues says of a queue.
type QueueState struct {
	Name    string   `json:"name"`
	State   string   `json:"state"` // of the pool; starting where there is none yet; empty in a program that has none
	Why     string   `json:"why,omitempty"`
	Down    []string `json:"down,omitempty"`
	Slots   int      `json:"slots"`
	Running int      `json:"running"` // slots taken
}

// getQueues says how each queue of the process is.
func (c *console) getQueues(w http.ResponseWriter, _ *http.Request) {
	all := make([]QueueState, 0, len(c.cfg.Queues)+len(c.cfg.Starting))
	for _, q := range c.cfg.Queues {
		is := QueueState{Name: q.Name}
		if q.Pool != nil {
			s := q.Pool.Snapshot(0)
			is.State, is.Down, is.Slots, is.Running = s.State, s.Down, s.Slots, s.Running
		}
		all = append(all, is)
	}
	for _, q := range c.cfg.Starting {
		all = append(all, QueueState{Name: q.Name, State: "starting", Why: clip(q.Why(), maxErrorKept)})
	}
	answer(w, map[string]any{"queues": all})
}

func (c *panel) getConfig(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"settings": c.queue.Settings})
}

func (c *console) postLogin(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"token"`
	}
	if c.access.cross.Check(r) != nil {
		c.refuse(w, r, http.StatusForbidden, "login", "caused by another site")
		return
	}
	if !read(w, r, &in) {
		return
	}
	id, limited := c.access.login(in.Token, r.RemoteAddr, time.Now())
	switch {
	case limited:
		w.Header().Set("Retry-After", "1")
		c.refuse(w, r, http.StatusTooManyRequests, "login", "too many failed tries; wait a moment")
	case id == "":
		c.cfg.Logger.WarnContext(r.Context(), "console login refused", "who", r.RemoteAddr)
		problem(w, http.StatusUnauthorized, "that is not the admin token")
	default:
		http.SetCookie(w, sessionCookie(r, id, int(sessionTime/time.Second)))
		c.cfg.Logger.InfoContext(r.Context(), "console login", "who", r.RemoteAddr)
		answer(w, done)
	}
}

// postLogout needs no proof but its cookie. Another site's request has none,
// but its answer would take away the one that is there.
func (c *console) postLogout(w http.ResponseWriter, r *http.Request) {
	if c.access.cross.Check(r) != nil {
		c.refuse(w, r, http.StatusForbidden, "logout", "caused by another site")
		return
	}
	if v := c.access.visitorOf(r); v.session != "" {
		c.access.logout(v.session)
		c.cfg.Logger.InfoContext(r.Context(), "console logout", "who", v.who())
	}
	http.SetCookie(w, sessionCookie(r, "", -1))
	answer(w, done)
}

func (c *panel) postPause(w http.ResponseWriter, r *http.Request, log actionLog) {
	if !readNothing(w, r) {
		return
	}
	c.queue.Pool.Pause()
	log(r.Context(), acted)
	answer(w, done)
}

func (c *panel) postResume(w http.ResponseWriter, r *http.Request, log actionLog) {
	if !readNothing(w, r) {
		return
	}
	c.queue.Pool.Resume()
	log(r.Context(), acted)
	answer(w, done)
}

func (c *console) postDrain(w http.ResponseWriter, r *http.Request, log actionLog) {
	if !readNothing(w, r) {
		return
	}
	log(r.Context(), acted)
	c.cfg.Drain()
	answer(w, done)
}

// done is the answer to an action that has no more to say.
var done = map[string]string{"status": "done"}

// masked hides the value of a setting that looks like a secret.
func masked(s Setting) Setting {
	name := strings.ToLower(s.Name)
	for _, secret := range []string{"token", "secret", "password"} {
		if strings.Contains(name, secret) && !strings.HasSuffix(name, "-file") && s.Value != "" {
			s.Value = "••••••"
		}
	}
	s.Value = clip(s.Value, 1<<10)
	return s
}

// lastPart is what stands behind the last slash: of a queue URL, its name.
func lastPart(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

// problem answers with a status and what is wrong.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
