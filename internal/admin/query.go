package admin

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sqsonce/sqsonce/internal/visible"
)

// QueryError is the reason why the query of a request is refused.
type QueryError struct {
	Field   string // the parameter, or "query"
	Problem string
}

// Error implements error.
func (e *QueryError) Error() string { return e.Field + ": " + e.Problem }

// CheckQuery returns a [*QueryError] unless the query of r has each parameter at most once, and
// none but the given ones. A server that ignored the second value or a misspelt parameter would
// apply an order to other queues or names than its sender meant.
func CheckQuery(r *http.Request, parameters ...string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &QueryError{"query", "is not a list of percent-encoded parameters"}
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch values := query[name]; {
		case !slices.Contains(parameters, name) && len(parameters) == 0:
			return &QueryError{short(name), fmt.Sprintf("%.60q: unknown parameter; this request takes none", values[0])}
		case !slices.Contains(parameters, name):
			return &QueryError{short(name), fmt.Sprintf("%.60q: unknown parameter; must be one of %s", values[0], strings.Join(parameters, ", "))}
		case len(values) > 1:
			return &QueryError{name, fmt.Sprintf("has %d values, such as %.60q and %.60q; must have one", len(values), values[0], values[1])}
		}
	}
	return nil
}

// short returns the name of an unknown parameter for an error.
func short(name string) string {
	const most = 60
	return visible.Text(fmt.Sprintf("%.*s", most, name), "")
}

// takes passes a request to h if its query has only the given parameters, each at most once.
func (cfg Config) takes(h http.Handler, parameters ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := CheckQuery(r, parameters...); err != nil {
			write(w, http.StatusBadRequest, answer{Status: "refused", Reason: err.Error(), Version: cfg.Version})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// longestBody bounds the body of a POST, which is a number or nothing.
const longestBody = 20

// shortBody returns the body of a POST without spaces around it. It can be called again.
func shortBody(r *http.Request) (string, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, longestBody+1))
	if err != nil {
		return "", fmt.Errorf("body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) > longestBody {
		return "", fmt.Errorf("body %.20q: has more than %d bytes", body, longestBody)
	}
	return strings.TrimSpace(string(body)), nil
}

// noBody returns an error if a POST has a body other than an empty JSON object. A server that
// ignored the body of a form, such as queue=NAME, would apply the order to all queues.
func noBody(r *http.Request) error {
	body, err := shortBody(r)
	if err == nil && body != "" && body != "{}" {
		return fmt.Errorf("body %q: must be empty; parameters are in the query, such as ?queue=NAME", body)
	}
	return err
}
