package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

const (
	manifest = `{"artifacts": {
		"app": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "app.template.json", "stackName": "prod"}},
		"app.assets": {"type": "cdk:asset-manifest", "properties": {"file": "x"}}}}`
	standard = `{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs"}}}}`
	fifo     = `{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs.fifo"}}}}`
)

// runs runs a deployment and returns the command lines of the CDK and its error.
func runs(t *testing.T, deployed []byte, next string, args ...string) (lines []string, err error) {
	t.Helper()
	dir := t.TempDir()
	d := deployment{
		args: args, dir: dir, out: &bytes.Buffer{},
		cdk: func(_ context.Context, args ...string) error {
			lines = append(lines, strings.ReplaceAll(strings.Join(args, " "), dir, "DIR"))
			if args[0] != "synth" {
				return nil
			}
			return errors.Join(os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(manifest), 0o600),
				os.WriteFile(filepath.Join(dir, "app.template.json"), []byte(next), 0o600))
		},
		deployed: func(_ context.Context, stack string) ([]byte, error) {
			if stack != "prod" {
				t.Errorf("asked for stack %s", stack)
			}
			return deployed, nil
		},
	}
	return lines, d.run(t.Context())
}

func TestDeployment(t *testing.T) {
	const synth = "synth -q --output DIR -c config=prod"
	given := []string{"-c", "config=prod", "--require-approval", "never"}
	for name, tc := range map[string]struct {
		deployed []byte
		next     string
		args     []string
		refused  bool
		want     []string
	}{
		"first": {nil, standard, given, false, []string{
			synth,
			"deploy --all -c firstDeployment=true -c config=prod --require-approval never",
			"deploy --all -c config=prod --require-approval never",
		}},
		"again":   {[]byte(standard), standard, given, false, []string{synth, "deploy --all -c config=prod --require-approval never"}},
		"loss":    {[]byte(standard), fifo, given, true, []string{synth}},
		"another": {[]byte(standard), fifo, append(given, "-c", "change=target"), true, []string{synth + " -c change=target"}},
		"named": {[]byte(standard), fifo, append(given, "-c", "change=target,fifo"), false, []string{
			synth + " -c change=target,fifo", "deploy --all -c config=prod --require-approval never -c change=target,fifo",
		}},
		"named at once": {[]byte(standard), fifo, []string{"--context=change=fifo"}, false, []string{
			"synth -q --output DIR --context=change=fifo", "deploy --all --context=change=fifo",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			lines, err := runs(t, tc.deployed, tc.next, tc.args...)
			refused, is := errors.AsType[*refusal](err)
			if is != tc.refused || err != nil && !is {
				t.Errorf("error is %v", err)
			}
			if is && !strings.Contains(refused.Error(), "replaces Queue, AWS::SQS::Queue: QueueName is jobs, and would be jobs.fifo (-c change=fifo)") {
				t.Errorf("it says %v", refused)
			}
			if !slices.Equal(lines, tc.want) {
				t.Errorf("the CDK was called\n%q, want\n%q", lines, tc.want)
			}
		})
	}
}

func TestDeployedTemplate(t *testing.T) {
	for name, tc := range map[string]struct {
		code   int
		answer string
		want   string // of the template, or in the error
		fails  bool
	}{
		"there": {200, `<GetTemplateResponse><GetTemplateResult><TemplateBody>{"Resources": {}}</TemplateBody></GetTemplateResult></GetTemplateResponse>`,
			`{"Resources": {}}`, false},
		"missing": {400, fault("ValidationError", "Stack with id prod does not exist"), "", false},
		"denied":  {403, fault("AccessDenied", "no"), "AccessDenied", true},
		"invalid": {400, fault("ValidationError", "1 validation error detected"), "ValidationError", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("Action") != "GetTemplate" || r.FormValue("StackName") != "prod" {
					t.Errorf("asked for %v", r.Form)
				}
				w.Header().Set("Content-Type", "text/xml")
				w.WriteHeader(tc.code)
				_, _ = fmt.Fprint(w, tc.answer)
			}))
			defer server.Close()
			client := cloudformation.NewFromConfig(aws.Config{
				Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			})
			got, err := deployedTemplate(t.Context(), client, "prod")
			if (err != nil) != tc.fails || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %v", err)
			}
			if err == nil && string(got) != tc.want {
				t.Errorf("template is %q", got)
			}
		})
	}
}

func fault(code, message string) string {
	return fmt.Sprintf(`<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
}
