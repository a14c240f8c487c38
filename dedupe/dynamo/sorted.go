package dynamo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// sorted makes equal requests equal byte by byte. The SDK encodes maps in Go's random order.
// DynamoDB may then take a repeated commit for a different one and refuse its token.
func sorted(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], func(stack *middleware.Stack) error {
		return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("SortKeys", sortKeys), middleware.After)
	})
}

// sortKeys encodes the request's JSON again with sorted keys. It runs after the operation's
// serializer and before the body is measured and signed.
func sortKeys(
	ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler,
) (middleware.SerializeOutput, middleware.Metadata, error) {
	var none middleware.SerializeOutput
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return none, middleware.Metadata{}, fmt.Errorf("sort keys: unknown transport %T", in.Request)
	}
	dec := json.NewDecoder(req.GetStream())
	dec.UseNumber()
	var body any
	if err := dec.Decode(&body); err != nil {
		return none, middleware.Metadata{}, fmt.Errorf("sort keys: %w", err)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return none, middleware.Metadata{}, fmt.Errorf("sort keys: %w", err)
	}
	if req, err = req.SetStream(bytes.NewReader(data)); err != nil {
		return none, middleware.Metadata{}, fmt.Errorf("sort keys: %w", err)
	}
	in.Request = req
	return next.HandleSerialize(ctx, in)
}
