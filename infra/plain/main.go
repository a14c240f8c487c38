// Command plain writes deploy/cloudformation/worker.json: go run -C infra ./plain.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/jsii-runtime-go"

	"github.com/sqsonce/sqsonce/infra"
)

func main() {
	defer jsii.Close()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := infra.Root()
	if err != nil {
		return err
	}
	data, err := infra.PlainTemplate()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "deploy", "cloudformation", "worker.json"), data, 0o644) //nolint:gosec // a file of the repository
}
