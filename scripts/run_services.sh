#!/usr/bin/env bash
# Migrates and runs the three services as processes of their own on the servers that the environment names
# (DATABASE_URL, REDIS_URL, RABBITMQ_URL and the secrets, see the README). One that ends ends all; Ctrl-C stops them.
set -euo pipefail
# Each service gets a process group of its own: Ctrl-C reaches this script alone, which then asks them to stop, once.
set -m
export COMMAND_SERVICE_ADDRESS=${COMMAND_SERVICE_ADDRESS:-localhost:${GRPC_PORT:-50051}}

sovd migrate
pids=()
stop() {
  trap - EXIT INT TERM
  kill -TERM "${pids[@]}" 2> /dev/null || true
  wait "${pids[@]}" || true
}
trap stop EXIT
trap 'exit 0' INT TERM
for service in command-service vehicle-connector gateway; do
  sovd serve "$service" &
  pids+=($!)
done
wait -n "${pids[@]}"
