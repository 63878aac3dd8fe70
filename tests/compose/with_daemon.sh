#!/usr/bin/env bash
# tests/compose/with_daemon.sh COMMAND ...: run it where a Docker daemon has our images.
#
# A daemon that runs already is used, and builds the images. Where none does, one is started in a
# network namespace of its own, in which nothing but this can be reached and COMMAND runs as well; it
# gets its images from tests/images/make.sh, or as they are from the folder LANTHORN_TEST_IMAGES. All of
# it is gone at the end. That needs root, Debian's docker.io docker-compose podman debootstrap iptables,
# Go, and .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."

if docker info >/dev/null 2>&1; then
  deploy/docker/build.sh
  exec "$@"
fi
[ "$(id -u)" = 0 ] || { echo "no Docker daemon runs, and only root can start one" >&2; exit 2; }
for tool in dockerd:docker.io docker-compose:docker-compose podman:podman debootstrap:debootstrap \
  iptables:iptables go:golang-go; do
  command -v "${tool%%:*}" >/dev/null ||
    { echo "${tool%%:*} is missing: apt-get install ${tool##*:}" >&2; exit 2; }
done

images=${LANTHORN_TEST_IMAGES:-}
if [ -z "$images" ]; then
  images=.venv/images
  tests/images/make.sh "$images"
fi

namespace=lanthorn-compose-$$
folder=$(mktemp -d /tmp/lanthorn-compose-XXXXXX)
finish() {
  if [ -e "$folder/pid" ]; then
    kill "$(cat "$folder/pid")" && wait
  fi
  # What a daemon that was killed leaves mounted would keep the folder.
  awk -v inside="$folder/" 'index($2, inside) == 1 {print $2}' /proc/mounts | sort -r |
    while read -r mount; do umount "$mount" || true; done
  rm -rf "$folder"
  ip netns del "$namespace"
}
ip netns add "$namespace"
trap finish EXIT
inside() { nsenter --net="/run/netns/$namespace" "$@"; }
inside ip link set lo up

export DOCKER_HOST=unix://$folder/docker.sock
inside dockerd --host "$DOCKER_HOST" --data-root "$folder/data" --exec-root "$folder/run" \
  --pidfile "$folder/pid" --bip 10.88.77.1/24 --default-address-pool base=10.87.0.0/16,size=24 \
  >"$folder/log" 2>&1 &
for _ in $(seq 60); do
  docker info >/dev/null 2>&1 && break
  [ -n "$(jobs -r)" ] || { tail "$folder/log" >&2; exit 1; }
  sleep 1
done
for image in "$images"/*.tar; do docker load --quiet --input "$image"; done
inside "$@"
