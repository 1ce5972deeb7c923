#!/bin/sh
# Makes what compose.yaml needs and no repository may hold, in deploy/local: passwords, a certificate authority and the
# server's certificate, the key of an issuer of tokens and its public part. What exists is kept, but the certificate,
# which is new each time: the running service reads it within seconds. For trials; docs/deployment.md names the rest.
set -eu
cd "$(dirname "$0")"
umask 077
python=../.venv/bin/python

mkdir -p local/secrets local/server
for name in postgres grafana blotter_owner blotter_trader blotter_execution blotter_compliance blotter_desk \
    blotter_sequencer; do
  file=local/secrets/${name}_password
  [ -s "$file" ] || "$python" -c 'import secrets; print(secrets.token_hex(24))' > "$file"
done

"$python" ../examples/identity/make_ca.py local/authority --host blotter > /dev/null
[ -s local/issuer/jwks.json ] || "$python" ../examples/identity/issue_token.py local/issuer nobody 0 > /dev/null
# Only these leave the folders of the private keys. Renamed, so that the service never reads half a file.
mv local/authority/server.pem local/authority/server-key.pem local/server/
cp local/issuer/jwks.json local/server/jwks.new
mv local/server/jwks.new local/server/jwks.json

# Containers run as the account that owns the files; a container must not run as root.
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
  uid=10001 gid=10001
  chown -R "$uid:$gid" local
fi
printf 'BLOTTER_UID=%s\nBLOTTER_GID=%s\n' "$uid" "$gid" > .env
