#!/bin/sh
# start_server postgres|rabbitmq|prometheus|redis-server…: as the official images do it, set up from the same variables.
set -eu
case $1 in
  postgres)
    data=/var/lib/postgresql/data
    as="setpriv --reuid postgres --regid postgres --init-groups"
    PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
    install -d -o postgres -m 700 "$data"
    install -d -o postgres /run/postgresql
    if [ ! -s "$data/PG_VERSION" ]; then
      password=/run/postgresql/password
      install -o postgres -m 600 /dev/null "$password"
      echo "$POSTGRES_PASSWORD" > "$password"
      $as initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$password" --auth scram-sha-256 \
        --encoding UTF8 --locale C.UTF-8
      rm "$password"
      echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
      echo "CREATE DATABASE \"$POSTGRES_DB\"" | $as postgres --single -D "$data" postgres
    fi
    exec $as postgres -D "$data" -c listen_addresses='*'
    ;;
  # Not Debian's wrapper, which keeps signals to itself.
  rabbitmq)
    export HOME=/var/lib/rabbitmq
    exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups /usr/lib/rabbitmq/bin/rabbitmq-server
    ;;
  prometheus) exec prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus ;;
  # Open to its network, as that image is.
  redis-server) exec "$@" --protected-mode no ;;
esac
