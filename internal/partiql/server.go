package partiql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// Server adds AWS's grammar to a local DynamoDB server. It forwards the well-formed members of a
// BatchExecuteStatement to Base, and answers each other member with a ValidationError, as AWS does.
// It forwards all other requests. It implements the SDK's HTTPClient and [http.RoundTripper].
type Server struct {
	Base interface {
		Do(req *http.Request) (*http.Response, error)
	}
	Refused atomic.Int64 // statements
}

// Do implements the SDK's HTTPClient.
func (s *Server) Do(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchExecuteStatement") {
		return s.Base.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("partiql: read a request: %w", err)
	}
	var in struct{ Statements []json.RawMessage }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("partiql: read a request: %w", err)
	}
	refused := make(map[int]error)
	var accepted []json.RawMessage
	for i, member := range in.Statements {
		if refused[i] = check(member); refused[i] == nil {
			accepted = append(accepted, member)
		}
	}
	if len(accepted) == len(in.Statements) {
		return s.Base.Do(with(r, body))
	}
	s.Refused.Add(int64(len(in.Statements) - len(accepted)))
	var answers []json.RawMessage
	if len(accepted) > 0 {
		if body, err = json.Marshal(map[string]any{"Statements": accepted}); err != nil {
			return nil, fmt.Errorf("partiql: write a request: %w", err)
		}
		resp, err := s.Base.Do(with(r, body))
		if err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		if answers, err = responses(resp); err != nil {
			return nil, err
		}
	}
	return merge(answers, refused, len(in.Statements))
}

// RoundTrip implements [http.RoundTripper].
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) { return s.Do(r) }

func check(member json.RawMessage) error {
	var m struct {
		Statement  string
		Parameters []json.RawMessage
	}
	if err := json.Unmarshal(member, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrNotWellFormed, err)
	}
	return Check(m.Statement, len(m.Parameters))
}

// with returns r with another body. Local servers do not check the signature.
func with(r *http.Request, body []byte) *http.Request {
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r
}

func responses(resp *http.Response) ([]json.RawMessage, error) {
	defer func() { _ = resp.Body.Close() }() // it has been read to its end, or reading has failed
	var out struct{ Responses []json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("partiql: read an answer: %w", err)
	}
	return out.Responses, nil
}

// merge returns the answers to the forwarded members and the errors of the refused ones, in the
// order of the members.
func merge(answers []json.RawMessage, refused map[int]error, members int) (*http.Response, error) {
	all := make([]any, members)
	for i := range all {
		switch why := refused[i]; {
		case why != nil:
			all[i] = map[string]any{"Error": map[string]string{"Code": "ValidationError", "Message": why.Error()}}
		case len(answers) > 0:
			all[i], answers = answers[0], answers[1:]
		default:
			return nil, fmt.Errorf("partiql: the server answered too few of %d statements", members)
		}
	}
	body, err := json.Marshal(map[string]any{"Responses": all})
	if err != nil {
		return nil, fmt.Errorf("partiql: write an answer: %w", err)
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "Content-Length": {strconv.Itoa(len(body))}},
		Body:   io.NopCloser(bytes.NewReader(body)),
	}, nil
}
