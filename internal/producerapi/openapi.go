package producerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sqsonce/sqsonce/names"
)

// Tags of the operations.
const (
	tagMessages  = "messages"
	tagOperators = "operators"
	tagServer    = "server"
)

// noStore is the Cache-Control of an answer that must not be cached.
const noStore = "no-store"

// response is the successful answer of an operation.
type response[T any] struct {
	Status            int
	CacheControl      string `header:"Cache-Control" hidden:"true"`
	ETag              string `header:"ETag" hidden:"true"`
	Location          string `header:"Location" hidden:"true"`
	PreferenceApplied string `header:"Preference-Applied" hidden:"true"`
	RetryAfter        string `header:"Retry-After" hidden:"true"`
	ContentType       string `header:"Content-Type" hidden:"true"`
	Body              T
}

// answer returns a response that must not be cached.
func answer[T any](status int, body T) *response[T] {
	return &response[T]{Status: status, CacheControl: noStore, Body: body}
}

// register adds an operation. do answers its requests. An error of do that is not a [*problem]
// becomes a 500.
func register[I, O any](a *API, op huma.Operation, do func(c *exchange, in *I) (*response[O], error)) {
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*response[O], error) {
		c := exchangeOf(ctx)
		out, err := do(c, in)
		if err != nil {
			return nil, c.problem(err)
		}
		return out, nil
	})
}

// strictJSON is JSON in which no member is repeated. encoding/json would use the last one.
var strictJSON = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(data []byte, v any) error {
		if _, err := names.Canonical(nil, data); err != nil {
			return err
		}
		return huma.DefaultJSONFormat.Unmarshal(data, v)
	},
}

// newHuma returns an API without operations.
func newHuma(adapter huma.Adapter) huma.API {
	return huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "sqsonce producer", Version: "1", License: &huma.License{Name: "MIT", Identifier: "MIT"},
				Description: "Sends named messages to an SQS queue and reports the outcome of each name.\n\n" +
					"The answer is 202 only after SQS has accepted the message. After a 503 SQS may or may not have accepted it. " +
					"Sending it again is safe, because the second copy is a duplicate of the name.\n\n" +
					"Every error is a problem document (RFC 9457) that names the field. " +
					"Unknown paths answer 404, other methods 405 with Allow. HEAD works on every path that has GET.",
			},
			Servers:  []*huma.Server{{URL: "/"}},
			Security: []map[string][]string{{"bearer": {}}, {}},
			Tags: []*huma.Tag{
				{Name: tagMessages, Description: "Send messages and read their outcomes."},
				{Name: tagOperators, Description: "Settle stuck names and dead letters. Needs a token, and a server that has one set."},
				{Name: tagServer, Description: "The API itself."},
			},
			Components: &huma.Components{
				SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {
					Type: "http", Scheme: "bearer",
					Description: "SQSONCE_AUTH_TOKEN of the server. If none is set, every client may send and read, and none is an operator.",
				}},
				Responses: make(map[string]*huma.Response),
				Schemas:   huma.NewMapRegistry("#/components/schemas/", schemaName),
			},
		},
		Formats:       map[string]huma.Format{"application/json": strictJSON, "json": strictJSON},
		DefaultFormat: "application/json",
	}, adapter)
}

// schemaName returns the name of a type in the document.
func schemaName(t reflect.Type, hint string) string {
	switch t {
	case reflect.TypeFor[messageDocument]():
		return "Message"
	case reflect.TypeFor[batchAnswer]():
		return "Batch"
	default:
		return huma.DefaultSchemaNamer(t, hint)
	}
}

// headers documents the headers of responses.
var headers = map[string]*huma.Param{
	"X-Request-Id":       {Description: "The X-Request-Id of the request, or a new id.", Schema: text},
	"Cache-Control":      {Description: "no-store; for a record private, no-cache: revalidate it before each use.", Schema: text},
	"ETag":               {Description: "Changes with each write of the record.", Schema: text},
	"Location":           {Description: "Address of the name's record.", Schema: &huma.Schema{Type: huma.TypeString, Format: "uri-reference"}, Required: true},
	"Preference-Applied": {Description: "wait=N, if Prefer: wait was applied.", Schema: text},
	"Retry-After":        {Description: "Time to wait before the next try, in seconds.", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0)}},
	"WWW-Authenticate":   {Description: "Bearer.", Schema: text, Required: true},
}

var text = &huma.Schema{Type: huma.TypeString}

// named returns these headers, and the two that every response has.
func named(more ...string) map[string]*huma.Param {
	picked := map[string]*huma.Param{"X-Request-Id": headers["X-Request-Id"], "Cache-Control": headers["Cache-Control"]}
	for _, name := range more {
		picked[name] = headers[name]
	}
	return picked
}

// problems documents the problems by status.
var problems = map[int]struct {
	component, description string
	headers                []string
}{
	400: {"BadRequest", "The request is invalid; field names the bad field.", nil},
	401: {"Unauthorized", "The token is missing or wrong, or the operation is for operators and the server has no token set.", []string{"WWW-Authenticate"}},
	404: {"NotFound", "Not found: the name has no record (yet), or the queue has no dead-letter queue.", []string{"Retry-After"}},
	408: {"Timeout", "The body did not arrive within 30 seconds.", nil},
	409: {"Conflict", "The current state does not allow the request.", []string{"Retry-After"}},
	413: {"TooLarge", "The body is larger than the limit of SQS (1 MiB with name and attributes), or of this operation.", nil},
	415: {"WrongMediaType", "The Content-Type or Content-Encoding is not supported.", nil},
	421: {"Misdirected", "The request is from this machine under a foreign host name, and the server has no token set. A web page may have caused it. Use localhost or an address.", nil},
	422: {"Mismatch", "The name was used before with a different body; nothing was sent.", nil},
	429: {"TooManyRequests", "The client has sent too many requests.", []string{"Retry-After"}},
	431: {"HeadersTooLarge", "The headers have more than 16 KiB.", nil},
	500: {"Broken", "The server has a fault.", nil},
	501: {"NotImplemented", "The table has no index for listing names, or the server has no schedules.", nil},
	503: {"Unavailable", "A service behind this API does not answer; try again.", []string{"Retry-After"}},
}

// documented holds the responses of an operation.
type documented map[string]*huma.Response

// success adds a response with a body of v's type.
func (d documented) success(a *API, status int, description string, v any, more ...string) documented {
	d[strconv.Itoa(status)] = &huma.Response{
		Description: description, Headers: named(more...),
		Content: map[string]*huma.MediaType{"application/json": {Schema: a.schema(v)}},
	}
	return d
}

// problems adds problems, and those of every operation that needs a token.
func (d documented) problems(a *API, statuses ...int) documented {
	return d.only(a, append(statuses, 401, 421, 429, 431, 500, 503)...)
}

// only adds problems.
func (d documented) only(a *API, statuses ...int) documented {
	components := a.huma.OpenAPI().Components.Responses
	for _, status := range statuses {
		p := problems[status]
		if components[p.component] == nil {
			components[p.component] = &huma.Response{
				Description: p.description, Headers: named(p.headers...),
				Content: map[string]*huma.MediaType{problemType: {Schema: a.schema(problem{})}},
			}
		}
		d[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + p.component}
	}
	return d
}

// schema returns the schema of v's type.
func (a *API) schema(v any) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// getOpenAPI answers GET /openapi.json with the document, which is generated from the operations'
// types.
func (a *API) getOpenAPI(*exchange, *struct{}) (*response[[]byte], error) {
	return &response[[]byte]{
		Status: http.StatusOK, ContentType: "application/json", CacheControl: "public, max-age=300", Body: a.document,
	}, nil
}

// describe generates the document. It must follow the registration of all operations.
func (a *API) describe() error {
	var err error
	if a.document, err = json.Marshal(a.huma.OpenAPI()); err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	return nil
}
