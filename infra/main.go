// Command infra is the CDK app that puts sqsonce on AWS: queue, dead-letter
// queue and table, worker and producer on Fargate, scaling, alarms and a
// dashboard. The CDK runs it, see cdk.json; what can be chosen is in [Config].
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() { os.Exit(run()) }

// run is the app; it returns the exit code.
func run() int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "infra:", err)
		return 1
	}
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	context, _ := app.Node().GetAllContext(nil).(map[string]any)
	config, err := readConfig(context)
	if err == nil {
		err = place(app, config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "infra:", err)
		return exitCode(err)
	}
	app.Synth(nil)
	return 0
}

// exitCode is 2 for a configuration that cannot work, and 1 for all else.
func exitCode(err error) int {
	if _, ok := errors.AsType[*ConfigError](err); ok {
		return 2
	}
	return 1
}

// prepare goes to the directory of cdk.json, from where the command line of
// the CDK means its paths; go run -C and go test start the program in a part
// of it.
func prepare() error {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "cdk.json")); missing == nil {
			return os.Chdir(dir)
		}
		if filepath.Dir(dir) == dir {
			err = errNoRoot
		}
		dir = filepath.Dir(dir)
	}
	return err
}

var (
	// errNoRoot is returned when the program was started outside the repository.
	errNoRoot = errors.New("cdk.json: not here, and not in any directory above")

	// errNoAccount is returned when a VPC is to be looked up and nobody says where.
	errNoAccount = errors.New("vpcId: to look it up needs AWS credentials and a region; or give vpcZones and vpcPrivateSubnetIds, too")
)

// place puts the stack into the app. It belongs to no account or Region, so
// that one template serves all, unless something is to be looked up there.
func place(app awscdk.App, config Config) error {
	var env *awscdk.Environment
	if config.Network.looked() {
		account, region := os.Getenv("CDK_DEFAULT_ACCOUNT"), os.Getenv("CDK_DEFAULT_REGION")
		if account == "" || region == "" {
			return errNoAccount
		}
		env = &awscdk.Environment{Account: &account, Region: &region}
	}
	newStack(app, config.Name, &stackProps{
		StackProps: awscdk.StackProps{
			Env:         env,
			Description: jsii.String("sqsonce: handles every named SQS message once"),
		},
		Config: config,
	})
	return nil
}
