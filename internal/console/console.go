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

// maxBody bounds the body of a request: a message of SQS's largest size, as a JSON string.
const maxBody = 2 << 20

const (
	refusalEvery = time.Second // between log lines, after the first few
	refusalBurst = 10
	maxLogged    = 1 << 10 // bytes of a text in the log
)

// console is the handler behind [New].
type console struct {
	cfg    Config
	access *access
	pages  pages

	refusals *rate.Limiter // limits log lines about refused requests
	unlogged atomic.Int64  // refused requests since the last log line
}

// panel is the part of the console about one queue.
type panel struct {
	*console
	queue  QueueConfig
	dead   *deadletter.Queue // nil: no dead letters are shown
	frames frames
	depths depths
}

// New returns the console's handler for "/" and "/api/", or an error that lists all problems of
// cfg. It starts no goroutine and needs no closing.
//
// The API of a queue is below /api/queues/NAME/, the rest below /api/.
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
	mux.HandleFunc("GET /api/session", takes(c.getSession))
	mux.HandleFunc("GET /api/queues", takes(c.getQueues))
	mux.HandleFunc("POST /api/login", takes(c.postLogin))
	mux.HandleFunc("POST /api/logout", takes(c.postLogout))
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
		problem(w, http.StatusNotFound, "no such path: "+clip(r.URL.Path, 100))
	})
	return c.secure(mux), nil
}

// serve adds the API of the panel's queue.
func (c *panel) serve(mux *http.ServeMux, under string) {
	mux.HandleFunc("GET "+under+"names", takes(c.getName, "name"))
	mux.HandleFunc("GET "+under+"config", takes(c.getConfig))
	c.action(mux, under, "forget", c.postForget)
	if c.queue.Pool != nil {
		mux.HandleFunc("GET "+under+"status", takes(c.getStatus))
		mux.HandleFunc("GET "+under+"stream", takes(c.getStream))
		c.action(mux, under, "pause", c.postPause)
		c.action(mux, under, "resume", c.postResume)
	} else if c.queue.Queue != nil {
		mux.HandleFunc("GET "+under+"status", takes(c.getDepths))
	}
	if c.queue.Lister != nil {
		mux.HandleFunc("GET "+under+"names/list", takes(c.getNames, "status", "prefix", "older", "after"))
	}
	if c.queue.Operator != nil {
		c.action(mux, under, "names/settle", c.postSettle)
	}
	if len(c.cfg.Workers) > 0 {
		mux.HandleFunc("GET "+under+"workers", takes(c.getWorkers))
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

// secure refuses requests under foreign host names, and sets headers that restrict the browser to
// the page's own files.
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
			problem(w, http.StatusMisdirectedRequest, "the host name is not allowed; use localhost or an address")
			return
		}
		if c.cfg.Closed && strings.HasPrefix(r.URL.Path, "/api/queues") && !c.access.visitorOf(r).mayAct() {
			problem(w, http.StatusUnauthorized, "log in with the token first")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// action returns the handler of an action. It accepts POST requests of visitors who may act,
// refuses requests that a foreign page could have caused, and logs the action.
func (c *console) action(mux *http.ServeMux, under, name string, f func(w http.ResponseWriter, r *http.Request, log actionLog)) {
	mux.HandleFunc("POST "+under+name, takes(func(w http.ResponseWriter, r *http.Request) {
		v := c.access.visitorOf(r)
		switch err := c.access.cross.Check(r); {
		case err != nil:
			c.refuse(w, r, http.StatusForbidden, name, "the request was caused by another site")
			return
		case !v.mayAct() && c.access.guesses.Refuses(r, c.access.token):
			w.Header().Set("Retry-After", "1")
			c.refuse(w, r, http.StatusTooManyRequests, name, admin.TooManyGuesses)
			return
		case !v.mayAct():
			c.refuse(w, r, http.StatusForbidden, name, "needs the admin token, except on the worker's own machine")
			return
		case !v.bearer && !c.access.isPage(r):
			c.refuse(w, r, http.StatusForbidden, name, "the header "+csrfHeader+" of /api/session is missing")
			return
		}
		f(w, r, func(ctx context.Context, message string, fields ...any) {
			c.cfg.Logger.InfoContext(ctx, message, append([]any{"action", name, "who", v.who()}, clipped(fields)...)...)
		})
	}))
}

// takes passes a request to h if its query has only the given parameters, each at most once.
func takes(h http.HandlerFunc, parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := admin.CheckQuery(r, parameters...); err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return
		}
		h(w, r)
	}
}

// actionLog logs an action with its object. Texts are cut, because they come from visitors and
// messages.
type actionLog func(ctx context.Context, message string, fields ...any)

// acted is the message of the line for each action. A long action logs a second line at its end.
const acted = "console action"

// clipped returns fields with their texts shortened.
func clipped(fields []any) []any {
	fields = slices.Clone(fields)
	for i, field := range fields {
		switch field := field.(type) {
		case string:
			fields[i] = clip(field, maxLogged)
		case error:
			fields[i] = clip(field.Error(), maxLogged)
		case []string:
			short := make([]string, len(field)) // decoding bounds their number
			for i, text := range field {
				short[i] = clip(text, maxIDShown)
			}
			fields[i] = short
		}
	}
	return fields
}

// refuse answers a request that is not allowed or too frequent, and logs it. Because every client
// can send such requests, only some are logged; the next line has the number of the others.
func (c *console) refuse(w http.ResponseWriter, r *http.Request, status int, action, reason string) {
	if c.refusals.Allow() {
		c.cfg.Logger.WarnContext(r.Context(), "console request refused",
			"action", action, "who", c.access.visitorOf(r).who(), "status", status, "reason", reason, "unlogged_before", c.unlogged.Swap(0))
	} else {
		c.unlogged.Add(1)
	}
	problem(w, status, reason)
}

// Session tells a page about its visitor and the available parts.
type Session struct {
	MayAct   bool           `json:"may_act"`        // the visitor may act
	LoggedIn bool           `json:"logged_in"`      // with the token
	Ends     int64          `json:"ends,omitempty"` // end of the session, epoch ms
	CanLogin bool           `json:"can_login"`      // a token is set
	Closed   bool           `json:"closed"`         // only visitors who may act may read
	CSRF     string         `json:"csrf,omitempty"`
	Version  string         `json:"version,omitempty"`
	TaskID   string         `json:"task_id,omitempty"`
	Started  int64          `json:"started"` // epoch ms
	Drain    bool           `json:"drain"`   // draining is available
	Queues   []SessionQueue `json:"queues"`
}

// SessionQueue is a queue of the process.
type SessionQueue struct {
	Name  string `json:"name"`
	DLQ   string `json:"dlq,omitempty"`
	Table string `json:"table,omitempty"`
	Local bool   `json:"local"`
	Purge bool   `json:"purge"` // dead letters can be purged

	Pool    bool `json:"pool"`    // this process runs a pool
	Listed  bool `json:"listed"`  // names can be listed
	Settle  bool `json:"settle"`  // names can be settled
	Workers bool `json:"workers"` // figures of other workers are shown
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

// QueueState is the state of a queue for GET /api/queues.
type QueueState struct {
	Name    string   `json:"name"`
	State   string   `json:"state"` // of the pool; "starting" before it exists; empty in a program without one
	Why     string   `json:"why,omitempty"`
	Down    []string `json:"down,omitempty"`
	Slots   int      `json:"slots"`
	Running int      `json:"running"` // slots taken
}

// getQueues answers with the state of each queue of the process.
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
		c.refuse(w, r, http.StatusForbidden, "login", "the request was caused by another site")
		return
	}
	if !read(w, r, &in) {
		return
	}
	id, limited := c.access.login(in.Token, r.RemoteAddr, time.Now())
	switch {
	case limited:
		w.Header().Set("Retry-After", "1")
		c.refuse(w, r, http.StatusTooManyRequests, "login", "too many failed logins; wait a moment")
	case id == "":
		c.cfg.Logger.WarnContext(r.Context(), "console login refused", "who", r.RemoteAddr)
		problem(w, http.StatusUnauthorized, "the token is not the admin token")
	default:
		http.SetCookie(w, sessionCookie(r, id, int(sessionTime/time.Second)))
		c.cfg.Logger.InfoContext(r.Context(), "console login", "who", r.RemoteAddr)
		answer(w, done)
	}
}

// postLogout needs only the cookie. A request from another site has none, but the answer would
// remove the visitor's cookie.
func (c *console) postLogout(w http.ResponseWriter, r *http.Request) {
	if c.access.cross.Check(r) != nil {
		c.refuse(w, r, http.StatusForbidden, "logout", "the request was caused by another site")
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

// done is the answer to an action without a result.
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

// lastPart returns the text after the last slash, such as the name in a queue URL.
func lastPart(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // fails if the client has gone
}

// problem answers with a status and an error text.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
