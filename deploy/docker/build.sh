#!/usr/bin/env bash
# deploy/docker/build.sh [TARGET ...]: build the images (all four), tagged with the version.
#
#   ENGINE      docker (with BuildKit) or podman                      (default: docker)
#   BASE        base image with Python 3.11 or newer                  (default: the Dockerfile's)
#   EXTRAS      `tracing`, to take OpenTelemetry in                   (default: nothing)
#
# The package index is reached in the way this machine's pip is set up to: its options and its
# certificates go into the build as secrets and are in no image and no file of the repository.
set -euo pipefail
cd "$(dirname "$0")/../.."
engine=${ENGINE:-docker}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' packages/lanthorn-core/pyproject.toml)
secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT

options=(--file deploy/docker/Dockerfile --network host --build-arg "VERSION=$version")
[ -z "${BASE:-}" ] || options+=(--build-arg "BASE=$BASE")
[ -z "${EXTRAS:-}" ] || options+=(--build-arg "EXTRAS=$EXTRAS")
# podman's own format knows no health checks.
[ "$engine" != podman ] || options+=(--format docker)

# "global.index-url='https://…'" becomes "index-url = https://…"; the certificates get a new place.
{
  echo "[global]"
  python3 -m pip config list |
    sed -nE "s/^[^=]*\.(index-url|extra-index-url|trusted-host|proxy|(default-)?timeout|retries)='(.*)'$/\1 = \3/p"
} >"$secrets/pip.conf"
certificates=$(python3 -m pip config get global.cert 2>/dev/null || true)
certificates=${PIP_CERT:-${certificates:-${SSL_CERT_FILE:-}}}
if [ -n "$certificates" ]; then
  echo "cert = /etc/pip-ca.pem" >>"$secrets/pip.conf"
  options+=(--secret "id=ca,src=$certificates")
fi
options+=(--secret "id=pip.conf,src=$secrets/pip.conf")

[ $# -gt 0 ] || set -- dimse-gateway indexer rest-api renderer
for service in "$@"; do
  echo "lanthorn/$service:$version"
  DOCKER_BUILDKIT=1 "$engine" build "${options[@]}" \
    --target "$service" --tag "lanthorn/$service:$version" .
done
