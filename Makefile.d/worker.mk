# The image of worker and producer, and the examples.

IMAGE_ARCHS := amd64 arm64
CA_BUNDLE ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))

.PHONY: image
image: $(IMAGE_ARCHS:%=image-%) ## what the Dockerfile copies: static binaries (amd64, arm64) and certificate roots, in dist
	@test -n "$(CA_BUNDLE)" || { echo "no certificate roots found: make image CA_BUNDLE=FILE" >&2; exit 1; }
	install -m 0644 "$(CA_BUNDLE)" dist/ca-certificates.crt

# The version comes from the repository, which the other targets do without.
.PHONY: $(IMAGE_ARCHS:%=image-%)
$(IMAGE_ARCHS:%=image-%): image-%:
	@mkdir -p dist/$*
	CGO_ENABLED=0 GOOS=linux GOARCH=$* GOFLAGS=-buildvcs=auto go build -trimpath -ldflags=-s -o dist/$*/ ./cmd/worker ./cmd/producer

.PHONY: image-check
image-check: image ## build the image without Docker, and start it (needs buildah; installs it where it can)
	@command -v buildah >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends buildah >/dev/null; }
	scripts/image-check.sh
