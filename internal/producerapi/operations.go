package producerapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// operations registers all operations.
func (a *API) operations() {
	a.sending()
	a.asking()
	a.forgetting()
	a.cancelling()
	a.listing()
	a.deadLetters()
	a.serving()
}

// sending registers the operations that send messages.
func (a *API) sending() {
	for path, id := range map[string]string{"/": "postMessage", "/messages": "postMessages"} {
		register(a, huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{tagMessages},
			Summary:     "Send a message to the queue",
			Metadata:    map[string]any{bodyLimitKey: int64(maxBody)},
			Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout, SkipValidateBody: true,
			Responses: documented{}.
				success(a, 200, "The outcome, only with Prefer: wait; or the existing record of a name that was to be scheduled.", Record{}, "ETag", "Preference-Applied").
				success(a, 202, "SQS has accepted the message, or the message is scheduled.", queued{}, "Location", "Preference-Applied").
				problems(a, 400, 408, 409, 413, 415, 422),
		}, a.postMessage)
		a.takes(path, "Sent to the queue unchanged. The place of the name is configurable; by default it is the member name.",
			map[string]*huma.Schema{"application/json": a.schema(messageDocument{})})
	}
	register(a, huma.Operation{
		OperationID: "postBatch", Method: http.MethodPost, Path: "/messages:batch", Tags: []string{tagMessages},
		Summary: "Send up to 1,000 messages to the queue",
		Description: "A JSON array of messages, or one message per line. Each has its own result. On a FIFO queue the messages of a group " +
			"keep their order: after a message that was not accepted, later messages of its group are not sent. Their status is 503 if " +
			"SQS did not accept the earlier one in time, and 424 if it was refused. Within one call of ten messages SQS may refuse one and " +
			"accept the next. A message whose name cannot be read stops no other message if each name has its own group. " +
			"A batch is sent for at most a minute: messages that are not sent by then have status 503.",
		Metadata:    map[string]any{bodyLimitKey: int64(maxBatchBody)},
		Middlewares: huma.Middlewares{wantsMedia(true)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout, SkipValidateBody: true,
		Responses: documented{}.
			success(a, 200, "Some messages were not accepted: see each status.", batchAnswer{}, "Retry-After").
			success(a, 202, "SQS has accepted all messages.", batchAnswer{}).
			problems(a, 400, 408, 413, 415),
	}, a.postBatch)
	array := &huma.Schema{Type: huma.TypeArray, MinItems: new(1), MaxItems: new(maxItems), Items: a.schema(messageDocument{})}
	a.takes("/messages:batch", "", map[string]*huma.Schema{"application/json": array, "application/x-ndjson": text, "application/jsonl": text})
}

// takes documents the body of a POST that is read raw. huma documents such bodies as bytes only.
func (a *API) takes(path, description string, media map[string]*huma.Schema) {
	body := &huma.RequestBody{Required: true, Description: description, Content: make(map[string]*huma.MediaType)}
	for name, schema := range media {
		body.Content[name] = &huma.MediaType{Schema: schema}
	}
	a.huma.OpenAPI().Paths[path].Post.RequestBody = body
}

// asking registers the operations that read records and counts.
func (a *API) asking() {
	record := func(id, path string) huma.Operation {
		responses := documented{}.
			success(a, 200, "The record of the name.", Record{}, "ETag").
			problems(a, 400, 404)
		responses["304"] = &huma.Response{Description: "Unchanged since If-None-Match.", Headers: named("ETag")}
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tagMessages},
			Summary: "Get the outcome of a name", Responses: responses,
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
		Summary:   "Get the number of messages in the queue",
		Responses: documented{}.success(a, 200, "Approximate counts.", Depth{}).problems(a, 400),
	}, a.getQueue)
}

// forOperators is the security of operations that always need a token.
var forOperators = []map[string][]string{{"bearer": {}}}

// forgetting registers the operators' verbs on one name.
func (a *API) forgetting() {
	forget := func(id, path string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodDelete, Path: path, DefaultStatus: 202, Tags: []string{tagOperators}, Security: forOperators,
			Summary:     "Forget a name, as if it had never been seen",
			Description: "For operators: needs a token, and a server that has one set. A name with a live lease is not forgotten unless force is true.",
			Responses: documented{}.
				success(a, 202, "Forgotten. Workers may answer from their caches until effective_at.", forgotten{}).
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
		Summary: "Settle a stuck name",
		Description: "completed: record an UNKNOWN name as COMPLETED, because its work was done. retry: let an UNKNOWN or REJECTED name " +
			"run again; its message must come back too (POST /dlq/redrive).",
		Metadata:    map[string]any{bodyLimitKey: int64(maxOrder)},
		Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout,
		Responses: documented{}.success(a, 200, "The current record.", Record{}, "ETag").problems(a, 400, 404, 408, 409, 413, 415),
	}, a.postResolve)
}

// cancelling registers the operation that cancels a scheduled message.
func (a *API) cancelling() {
	register(a, huma.Operation{
		OperationID: "cancel", Method: http.MethodDelete, Path: "/schedules/{name}", Tags: []string{tagOperators}, Security: forOperators,
		Summary: "Cancel a scheduled message",
		Description: "The answer is 409 if the message was sent or is being sent, or has no schedule (any more). A second try after a " +
			"lost answer gets 409, too. A server without schedules answers 501.",
		Responses: documented{}.success(a, 200, "The message is not sent.", cancelled{}).problems(a, 400, 409, 501),
	}, func(c *exchange, in *struct {
		PathName
		Ordering
	}) (*response[cancelled], error) {
		return a.deleteSchedule(c, in.Name, in.Ordering)
	})
}

// listing registers the operations on many names.
func (a *API) listing() {
	register(a, huma.Operation{
		OperationID: "getNames", Method: http.MethodGet, Path: "/names", Tags: []string{tagOperators}, Security: forOperators,
		Summary:     "List the names that need attention",
		Description: "Names that are UNKNOWN, REJECTED or RETRYING. The list is eventually consistent. The answer is 501 if the table has no index for it.",
		Responses:   documented{}.success(a, 200, "A page of names.", NameList{}).problems(a, 400, 501),
	}, a.getNames)
	register(a, huma.Operation{
		OperationID: "postNames", Method: http.MethodPost, Path: "/names", Tags: []string{tagOperators}, Security: forOperators,
		Summary:     "Settle, forget or import names",
		Description: "The answer has a result for each name. preview changes nothing. The messages of names that are to run again must come back too.",
		Metadata:    map[string]any{bodyLimitKey: int64(maxBody)},
		Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout,
		Responses: documented{}.success(a, 200, "A result for each name.", NameReport{}).problems(a, 400, 408, 413, 415),
	}, a.postNames)
}

// deadLetters registers the operators' verbs on the dead-letter queue.
func (a *API) deadLetters() {
	register(a, huma.Operation{
		OperationID: "getDeadLetters", Method: http.MethodGet, Path: "/dlq", Tags: []string{tagOperators}, Security: forOperators,
		Summary:     "List the messages of the dead-letter queue",
		Description: "All messages are received and made visible again, which raises their receive counts. Further pages show the same messages, for ten minutes.",
		Responses:   documented{}.success(a, 200, "Messages, each with the record of its name.", DeadLetters{}).problems(a, 400, 404),
	}, a.getDeadLetters)
	register(a, huma.Operation{
		OperationID: "purgeDeadLetters", Method: http.MethodDelete, Path: "/dlq", DefaultStatus: 202, Tags: []string{tagOperators}, Security: forOperators,
		Summary:   "Delete all messages of the dead-letter queue",
		Responses: documented{}.success(a, 202, "SQS deletes them within a minute.", purged{}).problems(a, 400, 404, 409),
	}, a.purgeDeadLetters)
	register(a, huma.Operation{
		OperationID: "postRedrive", Method: http.MethodPost, Path: "/dlq/redrive", Tags: []string{tagOperators}, Security: forOperators,
		Summary: "Redrive messages of the dead-letter queue",
		Description: "Messages are sent to the queue and then deleted here. Messages that a worker would return at once are kept, with the " +
			"reason: those of UNKNOWN names unless reopen_unknown is true, and those whose name was used with another payload. " +
			"Names that the worker would refuse are re-opened. After 45 s no further messages are examined, and more is true: " +
			"repeat the request with began.",
		Metadata:    map[string]any{bodyLimitKey: int64(maxBody)},
		Middlewares: huma.Middlewares{wantsMedia(false)}, MaxBodyBytes: -1, BodyReadTimeout: bodyTimeout,
		Responses: documented{}.
			success(a, 200, "A result for each message.", Redrive{}).
			problems(a, 400, 404, 408, 413, 415),
	}, a.postRedrive)
}

// serving registers the operations about the API itself, which need no token.
func (a *API) serving() {
	open := []map[string][]string{}
	register(a, huma.Operation{
		OperationID: "getHealth", Method: http.MethodGet, Path: "/healthz", Tags: []string{tagServer}, Security: open,
		Summary: "Check that the process is alive", Metadata: map[string]any{isOpen: true, isQuiet: true},
		Responses: documented{}.success(a, 200, "Yes.", health{}).only(a, 431),
	}, a.getHealth)
	register(a, huma.Operation{
		OperationID: "getReady", Method: http.MethodGet, Path: "/readyz", Tags: []string{tagServer}, Security: open,
		Summary: "Check that SQS can be reached", Metadata: map[string]any{isOpen: true, isQuiet: true},
		Responses: documented{}.success(a, 200, "Yes.", health{}).only(a, 431, 500, 503),
	}, a.getReady)
	register(a, huma.Operation{
		OperationID: "getOpenAPI", Method: http.MethodGet, Path: "/openapi.json", Tags: []string{tagServer}, Security: open,
		Summary: "This document", Metadata: map[string]any{isOpen: true},
		Responses: documented{}.success(a, 200, "This document.", map[string]any{}).only(a, 431),
	}, a.getOpenAPI)
}

// wantsMedia refuses bodies that are not JSON, or with lines NDJSON, before it reads them.
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
