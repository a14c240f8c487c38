package producerapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/mirror"
	"github.com/sqsonce/sqsonce/names"
)

// mirrored returns the operations of a mirrored path; nil for other paths. They send requests of
// the methods in mirror.Methods as messages.
func (a *API) mirrored(r *http.Request) methods {
	if !mirror.Below(r.URL.Path, a.cfg.PathPrefixes) {
		return nil
	}
	op := &operation{
		&huma.Operation{Path: "/{mirrored}", Metadata: map[string]any{bodyLimitKey: int64(maxBody), anyQuery: true}},
		func(ctx huma.Context) {
			c := exchangeOf(ctx.Context())
			if err := a.postMirrored(c); err != nil {
				c.fail(err)
			}
		},
	}
	all := make(methods, len(mirror.Methods))
	for _, method := range mirror.Methods {
		all[method] = op
	}
	return all
}

// postMirrored sends a request as a message, and answers like POST /.
func (a *API) postMirrored(c *exchange) error {
	if err := a.notForged(c.Request); err != nil {
		return err
	}
	key, hasKey, err := idempotencyKey(c.Header)
	if err != nil {
		return err
	}
	for _, name := range []string{"X-Sqsonce-Group", "X-Sqsonce-Dedup"} {
		if value := c.Header.Get(name); len(value) > maxID || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return badRequest(name, fmt.Sprintf("must have at most %d printable ASCII characters", maxID))
		}
	}
	body, err := c.readBody(maxBody)
	if err != nil {
		return err
	}
	in := MessageHeaders{
		Group: c.Header.Get("X-Sqsonce-Group"), Delay: c.Header.Get(headerDelay), Dedup: c.Header.Get("X-Sqsonce-Dedup"),
		Traceparent: c.Header.Get("Traceparent"),
	}
	if in.Retry, err = retries(c.Header); err != nil {
		return err
	}
	s, err := in.settings(key, hasKey, a.fifo(), a.cfg.Scheduler != nil)
	if err != nil {
		return err
	}
	carried, err := mirror.New(c.Method, sentPath(c.URL), c.URL.RawQuery, c.Header, a.cfg.PathHeaders, body == "")
	if err != nil {
		return badRequest("path", strings.TrimPrefix(err.Error(), "path: "))
	}
	if s.carried, err = carried.Attributes(); err != nil {
		return err
	}
	if body == "" {
		body = mirror.NoBody
	}
	m, err := parseMirrored(a.cfg.Keys, s, body)
	if err != nil {
		return err
	}
	c.name = m.name
	if m.later > 0 {
		out, err := a.postLater(c, m)
		if err != nil {
			return err
		}
		return c.respond(out)
	}
	if wait, waits := preferredWait(strings.Join(c.Header.Values("Prefer"), ",")); waits {
		out, err := a.postAndWait(c, m, wait)
		if err != nil {
			return err
		}
		return c.respond(out)
	}
	took, err := a.send(c.Context(), m, 0)
	if err != nil {
		return err
	}
	return c.respond(c.queued(m, took))
}

// parseMirrored returns the message of a mirrored request. The name is the Idempotency-Key, which
// takes precedence over the name in a JSON body.
func parseMirrored(keys *names.Extractor, s settings, body string) (message, error) {
	m := message{settings: s, body: body}
	from := names.Message{Body: body}
	if s.hasKey {
		from.Attributes = s.attributes()
	}
	named, err := keys.Extract(from)
	bad, isField := errors.AsType[*names.FieldError](err)
	switch {
	case isField && s.hasKey:
		return m, badRequest(headerKey, strings.TrimPrefix(bad.Problem, "name "))
	case isField:
		return m, badRequest(headerKey, fmt.Sprintf("is missing, and the body has no name: %s: %s", bad.Field, strings.TrimPrefix(bad.Problem, "name ")))
	case err != nil:
		return m, badRequest("body", err.Error())
	}
	m.name, m.fingerprint = named.Name, protocol.Fingerprint(named.Fingerprint)
	return m, m.checkCarried()
}

// readBody reads a body of at most limit bytes.
func (c *exchange) readBody(limit int64) (string, error) {
	deadlines := http.NewResponseController(c.w)
	_ = deadlines.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails for a writer in memory
	body, err := io.ReadAll(&bodyReader{api: c.api, c: c, limit: limit})
	_ = deadlines.SetReadDeadline(time.Time{})
	return string(body), err
}

// respond writes an answer whose body is JSON.
func (c *exchange) respond(out *response[any]) error {
	text, err := json.Marshal(out.Body)
	if err != nil {
		return err
	}
	h := c.w.Header()
	for name, value := range map[string]string{
		"Cache-Control": out.CacheControl, "ETag": out.ETag, "Location": out.Location, "Preference-Applied": out.PreferenceApplied,
		"Content-Type": "application/json",
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	c.w.WriteHeader(out.Status)
	_, _ = c.w.Write(append(text, '\n')) // fails if the client has gone
	return nil
}

// checkMirror returns the problems of the settings of mirrored paths.
func (c Config) checkMirror() (errs []error) {
	for _, prefix := range c.PathPrefixes {
		if err := mirror.CheckPrefix(prefix); err != nil {
			errs = append(errs, fmt.Errorf("PathPrefixes %w", err))
		}
	}
	for _, name := range c.PathHeaders {
		if err := mirror.CheckHeader(name); err != nil {
			errs = append(errs, fmt.Errorf("PathHeaders %w", err))
		}
	}
	if len(c.PathHeaders) > 0 && len(c.PathPrefixes) == 0 {
		errs = append(errs, fmt.Errorf("PathHeaders %q: needs PathPrefixes", c.PathHeaders))
	}
	return errs
}

// carriedAttributes returns the names of the attributes that hold the mirrored request, in order.
func (s settings) carriedAttributes() []string {
	return slices.DeleteFunc([]string{mirror.AttrMethod, mirror.AttrPath, mirror.AttrHeaders}, func(name string) bool {
		return s.carried[name] == ""
	})
}
