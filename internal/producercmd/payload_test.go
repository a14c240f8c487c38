package producercmd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// For a dead letter that points to S3, the name in its payload is shown and used by a redrive.
func TestPayloads(t *testing.T) {
	r := realRig(t, "producer-payloads")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path { // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
		case "/b/large":
			_, _ = w.Write([]byte(`{"name":"large","pad":"` + strings.Repeat("x", 4096) + `"}`))
		case "/b/order":
			_, _ = w.Write([]byte(`{"name":"order-17"}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>`))
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	for _, key := range []string{"order", "large", "none"} {
		pointer := `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"` + key + `"}]`
		if _, err := r.queue.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &r.dlqURL, MessageBody: aws.String(pointer)}); err != nil {
			t.Fatal(err)
		}
	}
	r.do("dlq", "redrive", "--name", "order-17").want(1).says(`no message of name "order-17" is in`)
	r.do("dlq", "ls", "--json").want(0).says("its payload s3://b/order is in S3 and was not fetched; to see its name: --s3-payloads")
	t.Setenv("SQSONCE_S3_PAYLOADS", "true")
	r.do("dlq", "ls", "--json", "--s3-max", "2048").want(0).says(`"order-17"`,
		"its payload s3://b/large could not be fetched: has more than --s3-max 2048 bytes", "its payload s3://b/none could not be fetched", "NoSuchKey")
	r.do("dlq", "ls", "--name", "large").want(0).says("1 copy of 1 message")
	r.do("dlq", "redrive", "--name", "order-17").want(0).says("1 message moved, of 3 examined")
	for _, bad := range []string{"1023", "1073741825"} {
		r.do("dlq", "ls", "--s3-max", bad).want(2).says("--s3-max " + bad + ": must be from 1024 to 1073741824 bytes")
	}
}
