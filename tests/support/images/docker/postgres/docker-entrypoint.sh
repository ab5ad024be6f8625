#!/bin/sh
# Makes user and database by POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB where the data folder is empty.
set -e
if [ "$(id -u)" = 0 ]; then
  chown postgres:postgres "$PGDATA"
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is not set, and an open database is not made}"
  user=${POSTGRES_USER:-postgres}
  words=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" > "$words"
  initdb --username="$user" --pwfile="$words" --auth-local=trust --auth-host=scram-sha-256 --no-sync > /dev/null
  rm "$words"
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl --silent --wait --options="-c listen_addresses= -k /tmp" start
  [ "${POSTGRES_DB:-$user}" = postgres ] || createdb --host=/tmp --username="$user" "${POSTGRES_DB:-$user}"
  pg_ctl --silent --wait stop
fi
if [ "$1" = postgres ]; then
  shift
  set -- postgres -c "listen_addresses=*" -c unix_socket_directories=/var/run/postgresql "$@"
fi
exec "$@"
