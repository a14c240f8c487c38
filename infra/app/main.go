// Command app is the CDK app that deploys sqsonce on AWS. The CDK runs it, see cdk.json. Its
// settings are the fields of [infra.Config].
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/sqsonce/sqsonce/infra"
)

func main() { os.Exit(run()) }

// run runs the app and returns the exit code: 2 for an invalid configuration, 1 for other errors.
func run() int {
	root, err := infra.Root()
	if err == nil {
		err = os.Chdir(root) // the CDK's command line uses paths relative to the root
	}
	if err == nil {
		defer jsii.Close()
		err = synth()
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "infra:", err)
	if _, ok := errors.AsType[*infra.ConfigError](err); ok {
		return 2
	}
	return 1
}

// synth writes the templates to the directory that the CDK has set.
func synth() error {
	app := awscdk.NewApp(nil)
	context, _ := app.Node().GetAllContext(nil).(map[string]any)
	config, err := infra.ReadConfig(context)
	if err == nil {
		_, err = infra.NewStack(app, config)
	}
	if err != nil {
		return err
	}
	if config.Worker.Image == "" {
		warning, err := stale(config.Source, config.Worker.Arch)
		if err != nil {
			return err
		}
		if warning != "" {
			fmt.Fprintln(os.Stderr, "infra:", warning)
		}
	}
	app.Synth(nil)
	return nil
}
