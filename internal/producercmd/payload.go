package producercmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sqsonce/sqsonce/internal/deadletter"
	"github.com/sqsonce/sqsonce/names"
)

// Bounds of --s3-max, in bytes; the same as the worker's.
const (
	minS3 = 1 << 10
	maxS3 = 1 << 30
)

// payloads returns a func that fetches the S3 payloads of dead letters; nil without --s3-payloads.
func (f queueFlags) payloads(cfg aws.Config) deadletter.Payloads {
	if !f.S3Payloads {
		return nil
	}
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil // a local server has no host names for buckets
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return func(ctx context.Context, at names.Pointer) (string, error) {
		out, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &at.Bucket, Key: &at.Key})
		if err != nil {
			return "", err
		}
		defer func() { _ = out.Body.Close() }()
		var b strings.Builder
		n, err := io.Copy(&b, io.LimitReader(out.Body, f.S3Max+1))
		switch {
		case err != nil:
			return "", fmt.Errorf("read: %w", err)
		case n > f.S3Max:
			return "", fmt.Errorf("has more than --s3-max %d bytes", f.S3Max)
		}
		return b.String(), nil
	}
}
