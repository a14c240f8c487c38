package workercmd

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// asRoots makes the test binary verify a root with the roots of the process.
const asRoots = "SQSONCE_TEST_ROOTS"

func TestRoots(t *testing.T) {
	if os.Getenv(asRoots) != "" {
		verified := 0
		for root := range bundle.Roots() {
			certificate, err := x509.ParseCertificate(root.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := certificate.Verify(x509.VerifyOptions{}); err == nil {
				verified++
			}
		}
		if verified < 50 {
			t.Errorf("%d roots are trusted", verified)
		}
		return
	}
	t.Run("without those of the system", func(t *testing.T) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		none := filepath.Join(t.TempDir(), "none")
		cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestRoots$", "-test.count", "1")
		cmd.Env = append(os.Environ(), asRoots+"=yes", "SSL_CERT_FILE="+none, "SSL_CERT_DIR="+none)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("image", func(t *testing.T) {
		for _, file := range []string{"Dockerfile", filepath.Join("Makefile.d", "worker.mk")} {
			data, err := os.ReadFile(filepath.Join("..", "..", file))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "/etc/ssl") || strings.Contains(string(data), "/etc/pki") {
				t.Errorf("%s takes certificate roots from the machine that builds", file)
			}
		}
	})
}
