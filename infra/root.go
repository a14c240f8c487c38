package infra

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the directory of cdk.json: the working directory or its nearest parent that has one.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "cdk.json")); missing == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			err = errNoRoot
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// errNoRoot is returned if the working directory is outside the repository.
var errNoRoot = errors.New("cdk.json: not found in the working directory or above it")
