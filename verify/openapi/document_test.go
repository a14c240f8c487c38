// Package openapi checks the producer's OpenAPI document against the specification.
package openapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/names"
)

func TestDocument(t *testing.T) {
	keys, err := names.New(names.Config{})
	if err != nil {
		t.Fatal(err)
	}
	api, err := producerapi.New(producerapi.Config{
		SQS: sqs.New(sqs.Options{}), QueueURL: "orders", Records: memstore.New(), Scope: "orders", Keys: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	document, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		t.Error(err)
	}
	if n := document.Paths.Len(); n < 10 {
		t.Errorf("only %d paths", n)
	}
}
