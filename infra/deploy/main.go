// Command deploy is "npm run deploy". It compares the new templates with the deployed ones, refuses
// to replace or drop data unless the command line names the change, and runs "cdk deploy".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/infra"
)

func main() { os.Exit(run()) }

// run returns the exit code: 2 for a refused deployment, 1 for other errors.
func run() int {
	// The CDK's command line gets the signal, too, and ends its deployment.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := deploy(ctx, os.Args[1:])
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "deploy:", err)
	if _, refused := errors.AsType[*refusal](err); refused {
		return 2
	}
	return 1
}

// deploy sets up a [deployment] and runs it.
func deploy(ctx context.Context, args []string) error {
	root, err := infra.Root()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	var options []func(*config.LoadOptions) error
	if name := profile(args); name != "" {
		options = append(options, config.WithSharedConfigProfile(name))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sqsonce-deploy-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	client := cloudformation.NewFromConfig(cfg)
	return deployment{
		args: args, cdk: cdk, dir: dir, out: os.Stdout,
		deployed: func(ctx context.Context, stack string) ([]byte, error) { return deployedTemplate(ctx, client, stack) },
	}.run(ctx)
}

// cdk runs the CDK's command line on the terminal.
func cdk(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join("node_modules", ".bin", "cdk"), args...) //nolint:gosec // the arguments on this command line
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cdk %s: %w", args[0], err)
	}
	return nil
}

// deployedTemplate returns the original template of a stack, nil if the stack does not exist.
// CloudFormation reports that as a ValidationError.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_GetTemplate.html
func deployedTemplate(ctx context.Context, client *cloudformation.Client, stack string) ([]byte, error) {
	out, err := client.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &stack})
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "ValidationError" &&
		strings.Contains(api.ErrorMessage(), "does not exist") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []byte(aws.ToString(out.TemplateBody)), nil
}

// profile returns the value of --profile.
func profile(args []string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--profile="); ok {
			return value
		}
		if arg == "--profile" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
