#!/bin/sh
# Writes the passwords of the logins where PgBouncer reads them, and starts it. The passwords contain no quotes.
set -eu
umask 077
for login in blotter_trader blotter_execution blotter_compliance blotter_desk; do
  printf '"%s" "%s"\n' "$login" "$(cat "/run/secrets/${login}_password")"
done > /tmp/users
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
