#!/bin/sh
# Creates the cluster on an empty data directory from POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB, as the official
# image does, then runs the command. The cluster is made beside its place and renamed into it, so that a container that
# was killed half-way never leaves a data directory that looks complete.
set -eu

initialise() {
  : "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD must be set to create the database}"
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  new=$PGDATA/.initialising
  find "$PGDATA" -mindepth 1 -delete
  umask 077
  mkdir "$new"
  printf '%s\n' "$POSTGRES_PASSWORD" |
    initdb --pgdata "$new" --username "$user" --pwfile /dev/stdin --encoding UTF8 --data-checksums \
           --auth-local scram-sha-256 --auth-host scram-sha-256 > /dev/null
  echo "host all all all scram-sha-256" >> "$new/pg_hba.conf"
  if [ "$database" != postgres ]; then
    # Single-user mode listens nowhere, so nobody can take the half-made server for a ready one.
    quoted=$(printf '%s' "$database" | sed 's/"/""/g')
    printf 'CREATE DATABASE "%s"\n' "$quoted" | postgres --single -D "$new" -j postgres > /dev/null
  fi
  # PG_VERSION is moved last: it is what says that the cluster is complete.
  find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  mv "$new/PG_VERSION" "$PGDATA"/
  rmdir "$new"
}

if [ "${1#-}" != "$1" ]; then
  set -- postgres "$@"
fi
if [ "$1" = postgres ]; then
  chmod 0700 "$PGDATA"
  [ -s "$PGDATA/PG_VERSION" ] || initialise
  set -- "$@" -c "listen_addresses=*"
fi
exec "$@"
