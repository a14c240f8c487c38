package sqstest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// queryProtocol is the older protocol of SQS, with forms as requests and XML as answers. SDKs and
// CLIs from before November 2023 use it. Inputs and outputs are those of the JSON protocol with
// flattened lists and maps. The names are those of the service model in botocore 1.29.27
// (botocore/data/sqs/2012-11-05/service-2.json, protocol "query").
type queryProtocol struct{}

const queryNamespace = "http://queue.amazonaws.com/doc/2012-11-05/"

// flat describes a flattened list or map: its elements follow each other under one name.
type flat struct {
	member     string // name of the list or map in the JSON protocol
	name       string // name of an element or entry
	key, value string // names of an entry's parts; empty for a list
}

// flats are the lists and maps that have the same names in all operations.
var flats = []flat{
	{"AttributeNames", "AttributeName", "", ""},
	{"Attributes", "Attribute", "Name", "Value"},
	{"MessageAttributeNames", "MessageAttributeName", "", ""},
	{"MessageAttributes", "MessageAttribute", "Name", "Value"},
	{"MessageSystemAttributeNames", "MessageSystemAttributeName", "", ""},
	{"MessageSystemAttributes", "MessageSystemAttribute", "Name", "Value"},
	{"Messages", "Message", "", ""},
	{"QueueUrls", "QueueUrl", "", ""},
	{"queueUrls", "QueueUrl", "", ""},
	{"Results", "ListMessageMoveTasksResultEntry", "", ""},
	{"TagKeys", "TagKey", "", ""},
	{"Tags", "Tag", "Key", "Value"},
	{"Failed", "BatchResultErrorEntry", "", ""},
}

// flatOf returns the list or map of an operation for which has reports true.
func flatOf(operation string, has func(flat) bool) (flat, bool) {
	for _, f := range [...]flat{
		{"Entries", operation + "RequestEntry", "", ""}, {"Successful", operation + "ResultEntry", "", ""},
	} {
		if has(f) {
			return f, true
		}
	}
	if i := slices.IndexFunc(flats, has); i >= 0 {
		return flats[i], true
	}
	return flat{}, false
}

// integers are the members that are numbers in the JSON protocol.
var integers = []string{
	"DelaySeconds", "MaxNumberOfMessages", "MaxNumberOfMessagesPerSecond", "MaxResults", "VisibilityTimeout", "WaitTimeSeconds",
}

// onlyAtRoot are the operations that fail under a queue's URL. Recorded:
// test_get_create_queue_fails, test_get_list_queues_fails.
var onlyAtRoot = []string{"CreateQueue", "ListQueues"}

func (queryProtocol) request(r *http.Request, body []byte) (operation string, input []byte, err error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", nil, sender("MalformedQueryString", "The query string is malformed: %v.", err)
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && (kind == "application/x-www-form-urlencoded" || kind == "") {
		posted, err := url.ParseQuery(string(body))
		if err != nil {
			return "", nil, sender("MalformedQueryString", "The form is malformed: %v.", err)
		}
		maps.Copy(form, posted)
	}
	action := form.Get("Action")
	atQueue := strings.Contains(strings.Trim(r.URL.Path, "/"), "/")
	if action == "" {
		// Recorded: test_get_without_query_returns_unknown_operation.
		return "", nil, &Error{Code: codeUnknownOperation, Status: http.StatusNotFound, SenderFault: true}
	}
	if _, ok := operations[action]; !ok || atQueue && slices.Contains(onlyAtRoot, action) {
		// Recorded: test_invalid_action_raises_exception.
		return "", nil, sender("InvalidAction", "The action %s is not valid for this endpoint.", action)
	}
	if atQueue && form.Get("QueueUrl") == "" {
		form.Set("QueueUrl", r.URL.Path)
	}
	root := node{}
	for key, values := range form {
		path := strings.SplitN(key, ".", deepestParameter+1)
		if len(path) > deepestParameter {
			return "", nil, sender(codeInvalidParameter, "The parameter %.40s is invalid. Reason: Must have at most %d parts.", key, deepestParameter)
		}
		root.put(path, values[0])
	}
	v, err := root.object(action)
	if err != nil {
		return "", nil, err
	}
	input, err = json.Marshal(v)
	return action, input, err
}

// deepestParameter bounds the parts of a parameter's name, because each takes stack. SQS's longest
// has seven: SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringListValue.1.
const deepestParameter = 10

const codeUnknownOperation = "UnknownOperationException"

// node is a parameter, or the parameters that share a prefix up to a dot.
type node struct {
	text  string
	below map[string]*node
}

func (n *node) put(path []string, text string) {
	if len(path) == 0 {
		n.text = text
		return
	}
	if n.below == nil {
		n.below = map[string]*node{}
	}
	child := n.below[path[0]]
	if child == nil {
		child = &node{}
		n.below[path[0]] = child
	}
	child.put(path[1:], text)
}

// object returns the members below n in the form of the JSON protocol.
func (n *node) object(operation string) (map[string]any, error) {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(n.below)) {
		member, child := name, n.below[name]
		if _, ok := flatOf(operation, func(f flat) bool { return f.member == name }); ok {
			continue // botocore writes "Entries=" for a list without elements
		}
		var v any
		var err error
		if f, ok := flatOf(operation, func(f flat) bool { return f.name == name && f.member != "queueUrls" && f.member != "QueueUrls" }); ok {
			member = f.member
			v, err = child.flattened(operation, f)
		} else {
			v, err = child.value(operation, name)
		}
		if err != nil {
			return nil, err
		}
		out[member] = v
	}
	return out, nil
}

// value returns a text, a number or an object.
func (n *node) value(operation, name string) (any, error) {
	if n.below != nil {
		return n.object(operation)
	}
	if !slices.Contains(integers, name) {
		return n.text, nil
	}
	i, err := strconv.ParseInt(n.text, 10, 32)
	if err != nil {
		return nil, invalid(name, n.text, "Must be an integer")
	}
	return i, nil
}

// flattened returns a list or a map. "Name.1" precedes "Name.2". A single element or entry may lack
// its number, and an empty list is an empty text.
func (n *node) flattened(operation string, f flat) (any, error) {
	elements, err := n.elements(f)
	if err != nil {
		return nil, err
	}
	if f.key == "" {
		list := []any{}
		for _, e := range elements {
			v, err := e.value(operation, "")
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	entries := map[string]any{}
	for _, e := range elements {
		key, value := e.below[f.key], e.below[f.value]
		if key == nil {
			return nil, sender(codeMissingParameter, "The request must contain the parameter %s.n.%s.", f.name, f.key)
		}
		if value == nil {
			value = &node{}
		}
		v, err := value.value(operation, "")
		if err != nil {
			return nil, err
		}
		entries[key.text] = v
	}
	return entries, nil
}

func (n *node) elements(f flat) ([]*node, error) {
	switch {
	case n.below == nil && n.text == "":
		return nil, nil
	case n.below == nil, f.key != "" && n.below[f.key] != nil:
		return []*node{n}, nil
	}
	byNumber := map[int]*node{}
	for name, child := range n.below {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 {
			return nil, sender(codeInvalidParameter, "The parameter %s.%s is invalid. Reason: Must be followed by a number.", f.name, name)
		}
		byNumber[i] = child
	}
	var out []*node
	for _, i := range slices.Sorted(maps.Keys(byNumber)) {
		out = append(out, byNumber[i])
	}
	return out, nil
}

func (queryProtocol) result(a *answer, operation string, out any) error {
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var members map[string]any
	if err := dec.Decode(&members); err != nil {
		return err
	}
	w := &xmlWriter{operation: operation}
	w.open(operation+"Response", queryNamespace)
	if _, none := out.(empty); !none {
		w.object(operation+"Result", members)
	}
	w.object("ResponseMetadata", map[string]any{"RequestId": a.header.Get("x-amzn-RequestId")})
	w.close(operation + "Response")
	a.header.Set("Content-Type", "text/xml")
	a.body = w.buf.Bytes()
	return nil
}

func (queryProtocol) failure(a *answer, e *Error, requestID string) error {
	w := &xmlWriter{}
	a.header.Set("Content-Type", "text/xml")
	if e.Code == codeUnknownOperation {
		w.object(codeUnknownOperation, nil)
		a.body = w.buf.Bytes()
		return nil
	}
	_, code := e.names()
	message, blame := e.Message, "Receiver"
	if e.SenderFault {
		blame = "Sender"
	}
	if code == shapes["QueueDoesNotExist"].query && e.Message == noQueue().Message {
		message = "The specified queue does not exist for this wsdl version." // recorded: test_non_existent_queue
	}
	w.open("ErrorResponse", queryNamespace)
	w.open("Error", "")
	w.text("Type", blame)
	w.text("Code", code)
	w.text("Message", message)
	w.object("Detail", nil)
	w.close("Error")
	w.text("RequestId", requestID)
	w.close("ErrorResponse")
	a.body = w.buf.Bytes()
	return nil
}

// xmlWriter writes the output of an operation, given in the form of the JSON protocol, as XML.
type xmlWriter struct {
	operation string
	buf       bytes.Buffer
}

func (w *xmlWriter) open(name, namespace string) {
	if w.buf.Len() == 0 {
		w.buf.WriteString(`<?xml version="1.0"?>`)
	}
	fmt.Fprintf(&w.buf, "<%s", name)
	if namespace != "" {
		fmt.Fprintf(&w.buf, ` xmlns="%s"`, namespace)
	}
	w.buf.WriteByte('>')
}

func (w *xmlWriter) close(name string) { fmt.Fprintf(&w.buf, "</%s>", name) }

func (w *xmlWriter) text(name, text string) {
	w.open(name, "")
	_ = xml.EscapeText(io.Writer(&w.buf), []byte(text)) // a write to a buffer never fails
	w.close(name)
}

// object writes the members of an object in the order of their names.
func (w *xmlWriter) object(name string, members map[string]any) {
	if len(members) == 0 {
		fmt.Fprintf(&w.buf, "<%s/>", name)
		return
	}
	w.open(name, "")
	for _, member := range slices.Sorted(maps.Keys(members)) {
		w.member(member, members[member])
	}
	w.close(name)
}

// member writes one member, under its flattened name if it is a list or a map.
func (w *xmlWriter) member(name string, v any) {
	f, ok := flatOf(w.operation, func(f flat) bool { return f.member == name })
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			w.member(f.name, e)
		}
	case map[string]any:
		if !ok || f.key == "" {
			w.object(name, v)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			w.open(f.name, "")
			w.text(f.key, key)
			w.member(f.value, v[key])
			w.close(f.name)
		}
	default:
		w.text(name, fmt.Sprint(v))
	}
}
