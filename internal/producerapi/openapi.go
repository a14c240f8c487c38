package producerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// Tags of the operations.
const (
	tagMessages  = "messages"
	tagOperators = "operators"
	tagServer    = "server"
)

// noStore is the Cache-Control of an answer that must not be kept.
const noStore = "no-store"

// response is the answer of an operation that is not a problem.
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

// answer is a response that must not be kept.
func answer[T any](status int, body T) *response[T] {
	return &response[T]{Status: status, CacheControl: noStore, Body: body}
}

// register adds an operation: do answers its requests, and any error of do that
// is no *[problem] is a fault of the server.
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

// newHuma returns an API without operations.
func newHuma(adapter huma.Adapter) huma.API {
	return huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "sqsonce producer", Version: "1", License: &huma.License{Name: "MIT", Identifier: "MIT"},
				Description: "Puts named messages on an SQS queue and says what became of each name.\n\n" +
					"A 202 is answered only after SQS has accepted that very message. After a 503 it was not accepted as far as " +
					"anybody knows; sending it again is safe, because the name makes both copies one piece of work.\n\n" +
					"Every error is a problem document (RFC 9457) that names the field. " +
					"Other paths answer 404, other methods 405 with Allow; HEAD is answered wherever GET is.",
			},
			Servers:  []*huma.Server{{URL: "/"}},
			Security: []map[string][]string{{"bearer": {}}, {}},
			Tags: []*huma.Tag{
				{Name: tagMessages, Description: "Send and ask."},
				{Name: tagOperators, Description: "Settle what is stuck. Needs a token, and a server that has one set."},
				{Name: tagServer, Description: "The API itself."},
			},
			Components: &huma.Components{
				SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {
					Type: "http", Scheme: "bearer",
					Description: "SQSONCE_AUTH_TOKEN of the server. Where none is set, everybody may send and ask, and nobody is an operator.",
				}},
				Responses: make(map[string]*huma.Response),
				Schemas:   huma.NewMapRegistry("#/components/schemas/", schemaName),
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
	}, adapter)
}

// schemaName is the name of a type in the document.
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

// headers are what the headers of a response mean.
var headers = map[string]*huma.Param{
	"X-Request-Id":       {Description: "The request's own id, or a new one.", Schema: text},
	"Cache-Control":      {Description: "no-store; of a record private, no-cache: ask again each time.", Schema: text},
	"ETag":               {Description: "Changes with every write of the record.", Schema: text},
	"Location":           {Description: "Where to ask what became of it.", Schema: &huma.Schema{Type: huma.TypeString, Format: "uri-reference"}, Required: true},
	"Preference-Applied": {Description: "wait=N, where Prefer: wait was honoured.", Schema: text},
	"Retry-After":        {Description: "Seconds.", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0)}},
	"WWW-Authenticate":   {Description: "Bearer.", Schema: text, Required: true},
}

var text = &huma.Schema{Type: huma.TypeString}

// named picks headers. Every response has the first two.
func named(more ...string) map[string]*huma.Param {
	picked := map[string]*huma.Param{"X-Request-Id": headers["X-Request-Id"], "Cache-Control": headers["Cache-Control"]}
	for _, name := range more {
		picked[name] = headers[name]
	}
	return picked
}

// problems are the problems that the document knows.
var problems = map[int]struct {
	component, description string
	headers                []string
}{
	400: {"BadRequest", "Something in the request is wrong; field says what.", nil},
	401: {"Unauthorized", "No token, or a wrong one; or something for operators where no token is set.", []string{"WWW-Authenticate"}},
	404: {"NotFound", "Nothing is there: no record that counts (yet), no dead-letter queue, no redrive.", []string{"Retry-After"}},
	408: {"Timeout", "The body did not come within 30 seconds.", nil},
	409: {"Conflict", "It does not fit how things stand now.", []string{"Retry-After"}},
	413: {"TooLarge", "The body is larger than SQS takes (1 MiB with name and attributes), or than is read here.", nil},
	415: {"WrongMediaType", "Content-Type or Content-Encoding is not one that is understood.", nil},
	421: {"Misdirected", "From this machine, under a name that is not its own, where no token is set: a web page may have done that. Ask for localhost or an address.", nil},
	422: {"Mismatch", "The name was used before with a different body; nothing was sent.", nil},
	429: {"TooManyRequests", "More requests than one client may make.", []string{"Retry-After"}},
	431: {"HeadersTooLarge", "More than 16 KiB of headers.", nil},
	500: {"Broken", "A fault of the server.", nil},
	501: {"NotImplemented", "The table has no index to list names by.", nil},
	503: {"Unavailable", "Something behind this API does not answer; ask again.", []string{"Retry-After"}},
}

// documented are the responses of one operation.
type documented map[string]*huma.Response

// success adds a response with a body of the same type as v.
func (d documented) success(a *API, status int, description string, v any, more ...string) documented {
	d[strconv.Itoa(status)] = &huma.Response{
		Description: description, Headers: named(more...),
		Content: map[string]*huma.MediaType{"application/json": {Schema: a.schema(v)}},
	}
	return d
}

// problems adds problems, to those of every request that needs a token.
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

// schema is the schema of v's type.
func (a *API) schema(v any) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// getOpenAPI answers GET /openapi.json with the document, which is put together
// from the operations' types.
func (a *API) getOpenAPI(*exchange, *struct{}) (*response[[]byte], error) {
	return &response[[]byte]{
		Status: http.StatusOK, ContentType: "application/json", CacheControl: "public, max-age=300", Body: a.document,
	}, nil
}

// describe writes the document, once all operations are there.
func (a *API) describe() error {
	var err error
	if a.document, err = json.Marshal(a.huma.OpenAPI()); err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	return nil
}
