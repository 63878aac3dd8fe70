#!/usr/bin/env bash
# deploy/docker/sbom.sh FOLDER: what Python packages are in each image, with versions, licences and
# what needs what, as FOLDER/SERVICE.cdx.json (CycloneDX). Images as build.sh made them.
#
#   ENGINE      docker or podman                                     (default: docker)
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$1"
engine=${ENGINE:-docker}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' packages/lanthorn-core/pyproject.toml)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A virtual environment of its own: the tool is no dependency of ours.
python3 -m venv "$scratch/tool"
"$scratch/tool/bin/pip" install --disable-pip-version-check --quiet "cyclonedx-bom==7.*"

for service in dimse-gateway indexer rest-api renderer; do
  container=$("$engine" create "lanthorn/$service:$version")
  "$engine" cp "$container:/opt/lanthorn/lib" "$scratch/$service"
  "$engine" rm "$container" >/dev/null
  # The tool asks an interpreter for its packages: this machine's gets those of the image.
  python3 -m venv --without-pip "$scratch/venv"
  rm -r "$scratch"/venv/lib/python*/site-packages
  cp -r "$scratch/$service"/python*/site-packages "$(echo "$scratch"/venv/lib/python*)/site-packages"
  "$scratch/tool/bin/cyclonedx-py" environment --pyproject "services/$service/pyproject.toml" \
    --output-reproducible --output-file "$1/$service.cdx.json" "$scratch/venv/bin/python"
  rm -r "$scratch/venv" "${scratch:?}/$service"
  echo "$1/$service.cdx.json"
done
