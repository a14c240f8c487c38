package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/sqstest"
)

// wire calls sqstest without the SDK's client, which would take more CPU than the rest of a run.
// The fields of the SDK's input and output structs have the names of the JSON protocol's members.
type wire struct{ server *sqstest.Server }

func (w wire) call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", operation, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sqstest/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make %s: %w", operation, err)
	}
	req.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	resp, err := w.server.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var refused struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&refused); err != nil {
			return fmt.Errorf("decode refusal of %s: %w", operation, err)
		}
		if refused.Type == "com.amazonaws.sqs#QueueDoesNotExist" {
			return &types.QueueDoesNotExist{Message: &refused.Message}
		}
		return &smithy.GenericAPIError{Code: refused.Type, Message: refused.Message}
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", operation, err)
	}
	return nil
}
