package infra

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// Other files in dist, such as screenshots, are neither sent to Docker nor change the image.
func TestImage(t *testing.T) {
	source, out := t.TempDir(), t.TempDir()
	for _, file := range []string{
		"Dockerfile", "go.mod", "dist/arm64/worker", "dist/arm64/producer", "dist/amd64/worker", "dist/browser/page.png",
	} {
		path := filepath.Join(source, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kernel.Lock()
	defer kernel.Unlock()
	app := awscdk.NewApp(&awscdk.AppProps{Outdir: &out, AnalyticsReporting: jsii.Bool(false)})
	newImage(awscdk.NewStack(app, jsii.String("stack"), nil), "Image", &imageProps{Config: Config{Source: source}})
	app.Synth(nil)

	var files []string
	for _, asset := range glob(t, filepath.Join(out, "asset.*")) {
		err := fs.WalkDir(os.DirFS(asset), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"Dockerfile", "dist/arm64/producer", "dist/arm64/worker"}; !slices.Equal(files, want) {
		t.Errorf("the image is built from %q, want %q", files, want)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
