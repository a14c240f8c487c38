package producercmd

import (
	// The image holds only the binaries, so they carry Mozilla's certificate roots, of the version
	// that go.mod pins. Go uses them only where the system has none. The roots of the machine that
	// builds the image, a company's own among them, would be trusted in production.
	_ "golang.org/x/crypto/x509roots/fallback"
)
