// Command cost prints the monthly cost of a template without messages: go run -C infra ./cost FILE,
// after npm run synth; FILE is cdk.out/NAME.template.json.
package main

import (
	"fmt"
	"os"

	"github.com/sqsonce/sqsonce/infra"
	"github.com/sqsonce/sqsonce/infra/internal/cost"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	root, err := infra.Root()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("the path of a template is missing, such as cdk.out/sqsonce.template.json after npm run synth")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		bill, err := cost.Of(data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := fmt.Fprintf(os.Stdout, "%s\n%s\n", file, bill.Table()); err != nil {
			return err
		}
	}
	return nil
}
