#!/usr/bin/env bash
# tests/images/make.sh FOLDER: every image that compose.yaml and the chart run, as FOLDER/NAME.tar,
# on a machine that reaches no registry: a Debian base, the engines' stand-ins, our four.
#
# A stand-in whose file is there is kept; ours are built anew (a minute with warm caches, about a
# quarter of an hour without). As root. Needs Debian's podman debootstrap, Go, and .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$1"
folder=$(readlink -f "$1")
export ENGINE=podman
base=localhost/lanthorn-test/base:trixie
version=$(sed -n 's/^version = "\(.*\)"/\1/p' packages/lanthorn-core/pyproject.toml)

save() { # NAME FILE: under its plain name, where podman puts localhost/ before it
  podman push --quiet "localhost/$1" "docker-archive:$folder/$2.part:$1"
  mv "$folder/$2.part" "$folder/$2.tar"
}

podman image exists "$base" || tests/images/debian.sh "$base" python3 python3-venv
tests/images/engines.sh "$base" | while read -r name; do
  file=${name%%:*}
  file=${file##*/}
  [ -e "$folder/$file.tar" ] || save "$name" "$file"
done
BASE=$base deploy/docker/build.sh
for service in dimse-gateway indexer rest-api renderer; do
  rm -f "$folder/$service.tar"
  save "lanthorn/$service:$version" "$service"
done
