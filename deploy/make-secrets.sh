#!/bin/sh
# deploy/make-secrets.sh [FOLDER]: make the secrets that compose.yaml mounts, once. What is there is
# kept; to change one, remove its file, run this again, and see "Change a password" in README.md.
set -eu
folder=${1:-$(dirname "$0")/secrets}

# The folder keeps others on this machine out; the files must be readable by the users inside the
# containers, to which compose mounts them one by one.
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

password() { # 192 bits, in letters and digits that no file format and no URL minds
  head -c 24 /dev/urandom | od -A n -t x1 | tr -d ' \n'
}
secret() { # NAME TEXT
  [ -s "$folder/$1" ] || printf '%s\n' "$2" >"$folder/$1"
}

secret first_password "$(password)"
secret database_password "$(password)"
secret s3_access_key lanthorn
secret s3_secret_key "$(password)"
secret nats_password "$(password)"
# The same password as nats-server wants to read it.
printf 'authorization {\n  user: lanthorn\n  password: "%s"\n}\n' "$(cat "$folder/nats_password")" >"$folder/nats_account"

echo "The password of the user lanthorn over HTTP lies in $folder/first_password"
