#!/usr/bin/env bash
# tests/images/debian.sh NAME [PACKAGE ...]
#
# Make an image of Debian's minimal system and packages: what a registry's base images hold, where
# none can be reached. As root. Needs debootstrap, tar, and docker or podman (ENGINE).
set -euo pipefail
name=$1
shift
suite=trixie
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

# Documentation and translations stay out, as in the official slim images.
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'CFG'
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/i18n/*
CFG
packages=$(IFS=,; echo "$*")
debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$root" >&2
rm -rf "$root"/var/{cache/apt,lib/apt/lists,log,cache/debconf}/* \
  "$root"/usr/share/{doc,man,info,locale,i18n}/* "$root"/debootstrap
tar --create --numeric-owner --directory "$root" . |
  "${ENGINE:-docker}" import \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$name" >&2
