package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

// openAPI returns the document that the producer serves at /openapi.json.
func openAPI() (*openapi3.T, error) {
	keys, err := names.New(names.Config{})
	if err != nil {
		return nil, err
	}
	api, err := producerapi.New(producerapi.Config{
		SQS: sqs.New(sqs.Options{}), QueueURL: "orders", Records: memstore.New(), Scope: "orders", Keys: keys,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer api.Close()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/openapi.json", http.NoBody))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("/openapi.json answered %d", w.Code)
	}
	return openapi3.NewLoader().LoadFromData(w.Body.Bytes())
}

const apiIntro = `# HTTP API of the producer

` + "`producer serve`" + ` and ` + "`worker --local`" + ` serve this API, and its OpenAPI document at
` + "`/openapi.json`" + `. [The producer](../producer.md) shows it in use, and
[Errors](errors.md#http-problems) lists the problems.
`

func apiPage() (string, error) {
	document, err := openAPI()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(apiIntro)
	for _, tag := range document.Tags {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", capital(tag.Name), wrapped(tag.Description))
		for _, path := range slices.Sorted(maps.Keys(document.Paths.Map())) {
			item := document.Paths.Value(path)
			for _, method := range slices.Sorted(maps.Keys(item.Operations())) {
				if op := item.Operations()[method]; slices.Contains(op.Tags, tag.Name) {
					b.WriteString(operationSection(method, path, item.Parameters, op))
				}
			}
		}
	}
	b.WriteString("\n## Documents\n")
	for _, name := range slices.Sorted(maps.Keys(document.Components.Schemas)) {
		fmt.Fprintf(&b, "\n### %s\n\n%s", name, members(document.Components.Schemas[name].Value))
	}
	return b.String(), nil
}

func operationSection(method, path string, shared openapi3.Parameters, op *openapi3.Operation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s %s\n\n%s\n", method, strings.ReplaceAll(path, "{", `\{`), wrapped(sentence(op.Summary)))
	if op.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", wrapped(prose(op.Description)))
	}
	var rows [][]string
	for _, ref := range append(slices.Clone(shared), op.Parameters...) {
		p := ref.Value
		rows = append(rows, []string{code(p.Name), p.In, schemaType(p.Schema), prose(cmp.Or(p.Description, describe(p.Schema)))})
	}
	if len(rows) > 0 {
		b.WriteString("\n" + table([]string{"Parameter", "In", "Type", "Meaning"}, rows))
	}
	if op.RequestBody != nil {
		body := op.RequestBody.Value
		fmt.Fprintf(&b, "\n%s\n", wrapped("Body: "+contents(body.Content)+". "+prose(body.Description)))
	}
	rows = nil
	var problems []string
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		if status >= "400" {
			problems = append(problems, status)
			continue
		}
		response := op.Responses.Value(status).Value
		rows = append(rows, []string{status, contents(response.Content), prose(deref(response.Description))})
	}
	b.WriteString("\n" + table([]string{"Status", "Body", "Meaning"}, rows))
	if len(problems) > 0 {
		fmt.Fprintf(&b, "\n[Problems](errors.md#http-problems): %s.\n", strings.Join(problems, ", "))
	}
	return b.String()
}

// contents names the documents of a body, once for each type of media.
func contents(all openapi3.Content) string {
	var parts []string
	for _, media := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, code(media)+" "+schemaType(all[media].Schema))
	}
	return strings.Join(parts, ", ")
}

// schemaType names a type, and links to its document.
func schemaType(ref *openapi3.SchemaRef) string {
	switch {
	case ref == nil:
		return ""
	case ref.Ref != "":
		name := ref.Ref[strings.LastIndex(ref.Ref, "/")+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case ref.Value.Type.Is("array"):
		return "list of " + schemaType(ref.Value.Items)
	case len(ref.Value.Enum) > 0:
		values := make([]string, len(ref.Value.Enum))
		for i, v := range ref.Value.Enum {
			values[i] = fmt.Sprint(v)
		}
		return codes(values)
	}
	return strings.Join(ref.Value.Type.Slice(), " or ")
}

func describe(ref *openapi3.SchemaRef) string {
	if ref == nil || ref.Value == nil {
		return ""
	}
	return ref.Value.Description
}

// members describes the members of an object.
func members(s *openapi3.Schema) string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		ref := s.Properties[name]
		required := ""
		if slices.Contains(s.Required, name) {
			required = "yes"
		}
		rows = append(rows, []string{code(name), schemaType(ref), required, prose(describe(ref))})
	}
	if len(rows) == 0 {
		return wrapped(prose(s.Description)) + "\n"
	}
	return table([]string{"Member", "Type", "Always", "Meaning"}, rows)
}

// problemRows lists the problems of the API by status.
func problemRows(document *openapi3.T) (rows [][]string) {
	statuses := make(map[int]string)
	for _, item := range document.Paths.Map() {
		for _, op := range item.Operations() {
			for status, ref := range op.Responses.Map() {
				if n, err := strconv.Atoi(status); err == nil && n >= http.StatusBadRequest {
					statuses[n] = deref(ref.Value.Description)
				}
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(statuses)) {
		rows = append(rows, []string{strconv.Itoa(n), http.StatusText(n), prose(statuses[n])})
	}
	return rows
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// sentence ends a summary with a full stop.
func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }
