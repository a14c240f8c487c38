package infra

import (
	"errors"
	"os"
	"path/filepath"
)

// Root is the directory of cdk.json: the working directory or one above it.
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

// errNoRoot is returned when the program was started outside the repository.
var errNoRoot = errors.New("cdk.json: not here, and not in any directory above")
