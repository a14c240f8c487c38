package producerapi

import _ "embed" // for the description

// description is the API in OpenAPI 3.1. It is kept by hand, for exact control
// of statuses and problems; a test demands that every response in it can be
// produced, and that every response that any test sees is in it.
//
//go:embed openapi.json
var description []byte

// getOpenAPI answers GET /openapi.json.
func (a *API) getOpenAPI(c *exchange) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = c.w.Write(description) // a client that has gone needs no answer
	return nil
}
