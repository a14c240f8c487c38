# The image of worker and producer, and the examples.

IMAGE_ARCHS := amd64 arm64
# The commit is in the binaries at a release tag only: with it each commit, were it of a text, would
# be another image, and replace every task that runs.
IMAGE_VCS = $(if $(shell git describe --exact-match --tags HEAD 2>/dev/null),true,false)

.PHONY: image
image: $(IMAGE_ARCHS:%=image-%) ## what the Dockerfile copies: static binaries (amd64, arm64), in dist

.PHONY: $(IMAGE_ARCHS:%=image-%)
$(IMAGE_ARCHS:%=image-%): image-%:
	@mkdir -p dist/$*
	CGO_ENABLED=0 GOOS=linux GOARCH=$* GOFLAGS="$(filter-out -buildvcs=%,$(GOFLAGS)) -buildvcs=$(IMAGE_VCS)" go build -ldflags=-s -o dist/$*/ ./cmd/worker ./cmd/producer

.PHONY: image-check
image-check: image ## build the image without Docker, and start it (IMAGE_ARCHS="amd64 arm64"; needs buildah; installs it where it can)
	@command -v buildah >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends buildah >/dev/null; }
	scripts/image-check.sh $(IMAGE_ARCHS)
