package testutil

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Credentials returns credentials that are always the same two texts, for servers that check no
// signature.
func Credentials(key, secret string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, Source: "test"}, nil
	})
}
