package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// sources are the source folders of the binaries in the image, beside the root folder.
var sources = []string{"cmd", "consumer", "dedupe", "failure", "internal", "names"}

// stale returns a warning if the binaries in dist are older than one of their sources, else "".
// "npm run deploy" builds them first; "cdk deploy" would deploy the old ones.
func stale(root, arch string) (warning string, err error) {
	binary, err := os.Stat(filepath.Join(root, "dist", arch, "worker"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // the build of the image reports it
	}
	if err != nil {
		return "", err
	}
	newest, when := "", time.Time{}
	look := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(when) {
			newest, when = path, info.ModTime()
		}
		return err
	}
	for _, dir := range sources {
		if err := filepath.WalkDir(filepath.Join(root, dir), look); err != nil {
			return "", err
		}
	}
	if !when.After(binary.ModTime()) {
		return "", nil
	}
	return fmt.Sprintf("dist/%s/worker is older than %s: make image, or deploy by npm run deploy, which does", arch, newest), nil
}
