package producerapi

import (
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
)

// operations registers everything the API does.
func (a *API) operations() {
	a.sending()
	a.asking()
	a.forgetting()
	a.cancelling()
	a.listing()
	a.deadLetters()
	a.serving()
}

// sending registers the operations that put messages on the queue.
func (a *API) sending() {
	for path, id := range map[string]string{"/": "postMessage", "/messages": "postMessages"} {
		register(a, huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{tagMessages},
			Summary:     "Put a message on the queue",
			Metadata:    map[string]any{bodyLimitKey: int64(maxBody)},
			Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout, SkipValidateBody: true,
			Responses: documented{}.
				success(a, 200, "The outcome: only with Prefer: wait. Or the record of a name that was to be scheduled.", Record{}, "ETag", "Preference-Applied").
				success(a, 202, "SQS has accepted this very message, or it is scheduled.", queued{}, "Location", "Preference-Applied").
				problems(a, 400, 408, 409, 413, 415, 422),
		}, a.postMessage)
		a.takes(path, "Sent to the queue byte for byte. Where the name is can be configured; by default it is the member name.",
			map[string]*huma.Schema{"application/json": a.schema(messageDocument{})})
	}
	register(a, huma.Operation{
		OperationID: "postBatch", Method: http.MethodPost, Path: "/messages:batch", Tags: []string{tagMessages},
		Summary: "Put up to 1,000 messages on the queue",
		Description: "A JSON array of messages, or one a line. Each has its own result. On a FIFO queue the messages of a group keep their " +
			"order: what follows one that was not accepted is not sent, and says so: 503 behind one that SQS did not take in time, 424 behind " +
			"one that was refused. Only within one call of ten SQS may refuse one and take the next, and a message whose name cannot be read " +
			"holds up nothing where each name has a group of its own. A batch is sent for a minute at most: what was not sent by then is 503.",
		Metadata:    map[string]any{bodyLimitKey: int64(maxBatchBody)},
		Middlewares: huma.Middlewares{wantsMedia(true)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout, SkipValidateBody: true,
		Responses: documented{}.
			success(a, 200, "Some were not accepted: see each.", batchAnswer{}, "Retry-After").
			success(a, 202, "SQS has accepted all of them.", batchAnswer{}).
			problems(a, 400, 408, 413, 415),
	}, a.postBatch)
	array := &huma.Schema{Type: huma.TypeArray, MinItems: new(1), MaxItems: new(maxItems), Items: a.schema(messageDocument{})}
	a.takes("/messages:batch", "", map[string]*huma.Schema{"application/json": array, "application/x-ndjson": text, "application/jsonl": text})
}

// takes documents the body of a POST that is read as it is. huma knows such
// bodies only as bytes.
func (a *API) takes(path, description string, media map[string]*huma.Schema) {
	body := &huma.RequestBody{Required: true, Description: description, Content: make(map[string]*huma.MediaType)}
	for name, schema := range media {
		body.Content[name] = &huma.MediaType{Schema: schema}
	}
	a.huma.OpenAPI().Paths[path].Post.RequestBody = body
}

// asking registers the operations that anybody may ask with.
func (a *API) asking() {
	record := func(id, path string) huma.Operation {
		responses := documented{}.
			success(a, 200, "The record of the name.", Record{}, "ETag").
			problems(a, 400, 404)
		responses["304"] = &huma.Response{Description: "Unchanged since If-None-Match.", Headers: named("ETag")}
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tagMessages},
			Summary: "What became of a name", Middlewares: huma.Middlewares{wantsQuery}, Responses: responses,
		}
	}
	register(a, record("getRecord", "/messages/{name}"), func(c *exchange, in *struct {
		PathName
		Unchanged
	}) (*response[*Record], error) {
		return a.getMessage(c, in.Name, in.IfNoneMatch)
	})
	register(a, record("getRecordByQuery", "/messages"), func(c *exchange, in *struct {
		QueryName
		Unchanged
	}) (*response[*Record], error) {
		return a.getMessage(c, in.Name, in.IfNoneMatch)
	})
	register(a, huma.Operation{
		OperationID: "getQueue", Method: http.MethodGet, Path: "/queue", Tags: []string{tagMessages},
		Summary:   "How many messages the queue holds",
		Responses: documented{}.success(a, 200, "Approximate counts.", Depth{}).problems(a),
	}, a.getQueue)
}

// forOperators is what only a token gives the right to.
var forOperators = []map[string][]string{{"bearer": {}}}

// forgetting registers the operators' verbs on one name.
func (a *API) forgetting() {
	forget := func(id, path string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodDelete, Path: path, DefaultStatus: 202, Tags: []string{tagOperators}, Security: forOperators,
			Summary:     "Forget a name: it counts as never seen",
			Description: "For operators: needs a token, and a server that has one set. A live lease is left alone unless force is true.",
			Middlewares: huma.Middlewares{wantsQuery},
			Responses: documented{}.
				success(a, 202, "Forgotten; workers may answer from memory until effective_at.", forgotten{}).
				problems(a, 400, 409),
		}
	}
	register(a, forget("forget", "/messages/{name}"), func(c *exchange, in *struct {
		PathName
		Forcing
	}) (*response[forgotten], error) {
		return a.deleteMessage(c, in.Name, in.Forcing)
	})
	register(a, forget("forgetByQuery", "/messages"), func(c *exchange, in *struct {
		QueryName
		Forcing
	}) (*response[forgotten], error) {
		return a.deleteMessage(c, in.Name, in.Forcing)
	})
	register(a, huma.Operation{
		OperationID: "resolve", Method: http.MethodPost, Path: "/messages/{name}/resolve", Tags: []string{tagOperators}, Security: forOperators,
		Summary: "An operator's word on a name that is stuck",
		Description: "completed: the work of an UNKNOWN name was done. retry: an UNKNOWN or REJECTED name may be tried again; " +
			"its message has to come back too (POST /dlq/redrive).",
		Metadata:    map[string]any{bodyLimitKey: int64(maxOrder)},
		Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout,
		Responses: documented{}.success(a, 200, "The record as it is now.", Record{}, "ETag").problems(a, 400, 404, 408, 409, 413, 415),
	}, a.postResolve)
}

// cancelling registers what becomes of a message that is only scheduled.
func (a *API) cancelling() {
	register(a, huma.Operation{
		OperationID: "cancel", Method: http.MethodDelete, Path: "/schedules/{name}", Tags: []string{tagOperators}, Security: forOperators,
		Summary: "Cancel a message that is scheduled",
		Description: "409 once its message is sent, or being sent, and where there is no schedule (any more): after a lost answer a " +
			"second try gets it, too. A server without schedules: 501.",
		Middlewares: huma.Middlewares{wantsQuery},
		Responses:   documented{}.success(a, 200, "The message is not sent.", cancelled{}).problems(a, 400, 409, 501),
	}, func(c *exchange, in *struct {
		PathName
		Ordering
	}) (*response[cancelled], error) {
		return a.deleteSchedule(c, in.Name, in.Ordering)
	})
}

// listing registers what concerns many names.
func (a *API) listing() {
	register(a, huma.Operation{
		OperationID: "getNames", Method: http.MethodGet, Path: "/names", Tags: []string{tagOperators}, Security: forOperators,
		Summary:     "List the names that wait for something",
		Description: "Names that are UNKNOWN, REJECTED or RETRYING. The list may be a moment behind. A table without the index that it is kept in: 501.",
		Middlewares: huma.Middlewares{wantsQuery},
		Responses:   documented{}.success(a, 200, "A page of them.", NameList{}).problems(a, 400, 501),
	}, a.getNames)
	register(a, huma.Operation{
		OperationID: "postNames", Method: http.MethodPost, Path: "/names", Tags: []string{tagOperators}, Security: forOperators,
		Summary:     "An operator's word on one name or many",
		Description: "The answer says of each name whether it was done. preview changes nothing. The messages of names that are tried again have to come back too.",
		Metadata:    map[string]any{bodyLimitKey: int64(maxBody)},
		Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout,
		Responses: documented{}.success(a, 200, "What became of each name.", NameReport{}).problems(a, 400, 408, 413, 415),
	}, a.postNames)
}

// deadLetters registers the operators' verbs on the dead-letter queue.
func (a *API) deadLetters() {
	register(a, huma.Operation{
		OperationID: "getDeadLetters", Method: http.MethodGet, Path: "/dlq", Tags: []string{tagOperators}, Security: forOperators,
		Summary:     "Look into the dead-letter queue",
		Description: "All messages are received and let go again: their receive counts rise. The further pages are of the same look, for ten minutes.",
		Middlewares: huma.Middlewares{wantsQuery},
		Responses:   documented{}.success(a, 200, "Messages, each with the record of its name.", DeadLetters{}).problems(a, 400, 404),
	}, a.getDeadLetters)
	register(a, huma.Operation{
		OperationID: "purgeDeadLetters", Method: http.MethodDelete, Path: "/dlq", DefaultStatus: 202, Tags: []string{tagOperators}, Security: forOperators,
		Summary:   "Delete everything in the dead-letter queue",
		Responses: documented{}.success(a, 202, "SQS deletes them within a minute.", purged{}).problems(a, 404, 409),
	}, a.purgeDeadLetters)
	register(a, huma.Operation{
		OperationID: "postRedrive", Method: http.MethodPost, Path: "/dlq/redrive", Tags: []string{tagOperators}, Security: forOperators,
		Summary: "Let workers try again what is in the dead-letter queue",
		Description: "Messages are sent to the queue and then deleted here. Those that a worker would return at once are kept, with the reason: " +
			"those of names recorded as UNKNOWN unless reopen_unknown is true, and those whose name was used with another payload. " +
			"Names that the worker would refuse are re-opened. After 45 s no further messages are looked at: more says to ask again.",
		Metadata:    map[string]any{bodyLimitKey: int64(maxBody)},
		Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout,
		Responses: documented{}.
			success(a, 200, "What became of each message.", Redrive{}).
			problems(a, 400, 404, 408, 413, 415),
	}, a.postRedrive)
}

// serving registers what is known of the API itself, to everybody.
func (a *API) serving() {
	open := []map[string][]string{}
	register(a, huma.Operation{
		OperationID: "getHealth", Method: http.MethodGet, Path: "/healthz", Tags: []string{tagServer}, Security: open,
		Summary: "Is the process alive", Metadata: map[string]any{isOpen: true, isQuiet: true},
		Responses: documented{}.success(a, 200, "Yes.", health{}).only(a, 431),
	}, a.getHealth)
	register(a, huma.Operation{
		OperationID: "getReady", Method: http.MethodGet, Path: "/readyz", Tags: []string{tagServer}, Security: open,
		Summary: "Can SQS be reached", Metadata: map[string]any{isOpen: true, isQuiet: true},
		Responses: documented{}.success(a, 200, "Yes.", health{}).only(a, 431, 500, 503),
	}, a.getReady)
	register(a, huma.Operation{
		OperationID: "getOpenAPI", Method: http.MethodGet, Path: "/openapi.json", Tags: []string{tagServer}, Security: open,
		Summary: "This document", Metadata: map[string]any{isOpen: true},
		Responses: documented{}.success(a, 200, "This document.", map[string]any{}).only(a, 431),
	}, a.getOpenAPI)
}

// wantsMedia refuses bodies that are no JSON, or with lines no NDJSON either,
// before any of them is read.
func wantsMedia(lines bool) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := exchangeOf(ctx.Context())
		if _, err := mediaType(c.Header, lines); err != nil {
			c.fail(err)
			return
		}
		next(ctx)
	}
}

// wantsQuery refuses queries that cannot be read: huma takes what it can of them.
func wantsQuery(ctx huma.Context, next func(huma.Context)) {
	c := exchangeOf(ctx.Context())
	if _, err := url.ParseQuery(c.URL.RawQuery); err != nil {
		c.fail(badRequest("query", "is not percent-encoded"))
		return
	}
	next(ctx)
}
