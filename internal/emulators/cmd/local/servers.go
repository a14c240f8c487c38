package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sqsonce/sqsonce/internal/emulators"
)

// stateDir is the folder for process ids and logs, relative to the repository.
const stateDir = ".local"

func up(ctx context.Context) error {
	dir, err := state()
	if err != nil {
		return err
	}
	sqsURL, err := start(ctx, emulators.Fauxqs, dir, "SQS_PORT")
	if err != nil {
		return err
	}
	dynamoURL, err := start(ctx, emulators.Dynoxide, dir, "DYNAMODB_PORT")
	if err != nil {
		return err
	}
	made, err := create(ctx, sqsURL, dynamoURL)
	if err != nil {
		return err
	}
	return printExports(os.Stdout, [][2]string{
		{emulators.Fauxqs.Env, sqsURL},
		{emulators.Dynoxide.Env, dynamoURL},
		{"AWS_REGION", emulators.Region},
		{"AWS_ACCESS_KEY_ID", emulators.AccessKey},
		{"AWS_SECRET_ACCESS_KEY", emulators.SecretKey},
		{"SQSONCE_QUEUE_URL", made.queueURL},
		{"SQSONCE_DLQ_URL", made.dlqURL},
		{"SQSONCE_TABLE", tableName},
	})
}

func start(ctx context.Context, p emulators.Program, dir, portVariable string) (string, error) {
	port, err := portFrom(portVariable)
	if err != nil {
		return "", err
	}
	endpoint, err := emulators.StartDetached(ctx, p, dir, port)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "%s answers at %s\n", p.Name, endpoint)
	return endpoint, nil
}

func portFrom(variable string) (int, error) {
	text := os.Getenv(variable)
	if text == "" {
		return 0, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s=%q: want a port number, or 0 for a free one", variable, text)
	}
	return int(port), nil
}

// printExports writes lines that a shell can eval.
func printExports(w io.Writer, settings [][2]string) error {
	for _, setting := range settings {
		if _, err := fmt.Fprintf(w, "export %s=%s\n", setting[0], setting[1]); err != nil {
			return fmt.Errorf("print the settings: %w", err)
		}
	}
	return nil
}

func down(ctx context.Context) error {
	dir, err := state()
	if err != nil {
		return err
	}
	return errors.Join(
		emulators.StopDetached(ctx, emulators.Fauxqs, dir),
		emulators.StopDetached(ctx, emulators.Dynoxide, dir),
	)
}

func state() (string, error) {
	root, err := emulators.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, stateDir), nil
}
