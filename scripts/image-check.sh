#!/usr/bin/env bash
# Builds the Dockerfile for architectures with buildah, and starts the binaries in
# the image for the one of this machine.
#   scripts/image-check.sh amd64 arm64
set -euo pipefail
cd "$(dirname "$0")/.."

buildah() { command buildah --storage-driver vfs "$@"; }
arch=$(go env GOARCH)
container=
clean() {
	[ -z "$container" ] || buildah rm "$container" >/dev/null
	buildah rmi "${@/#/sqsonce-check:}" >/dev/null 2>&1 || true
}
trap 'clean "$@"' EXIT

for each; do
	buildah bud --quiet --isolation chroot --arch "$each" --build-arg "TARGETARCH=$each" --tag "sqsonce-check:$each" . >/dev/null
	echo "built for $each"
done

user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "sqsonce-check:$arch")
[ "$user" = 65532:65532 ] || { echo "the image runs as '$user'" >&2; exit 1; }
container=$(buildah from "sqsonce-check:$arch")
for binary in /worker /producer; do
	version=$(buildah run --isolation chroot "$container" -- "$binary" --version)
	echo "$binary says it is $version"
done

# The entry point starts, finds nothing to work on, and says so.
status=0
said=$(buildah run --isolation chroot "$container" -- /worker 2>&1) || status=$?
case "$status $said" in
"2 "*--local*) echo "/worker says what it needs" ;;
*) echo "/worker ended with $status: $said" >&2; exit 1 ;;
esac

# The container's health check starts, finds no worker, and says so.
status=0
said=$(buildah run --isolation chroot "$container" -- /worker check --admin-addr 127.0.0.1:9 2>&1) || status=$?
case "$status $said" in
"1 "*"not healthy"*) echo "/worker check says that none is healthy" ;;
*) echo "/worker check ended with $status: $said" >&2; exit 1 ;;
esac
