#!/bin/sh
# Runs psql with its arguments as the superuser of the service `postgres` in compose.yaml.
set -eu
if [ -n "${LEDGER_OWNER:-}" ]; then
  chown "$LEDGER_OWNER" /var/lib/blotter
fi
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
exec psql -X -q -h postgres -U postgres -v ON_ERROR_STOP=1 "$@"
