#!/usr/bin/env bash
# Makes deploy/compose/.env (or the file named) with new secrets; what is there already stays as it is.
set -euo pipefail
file=${1:-$(dirname "$0")/../deploy/compose/.env}
umask 077
touch "$file"
for name in POSTGRES_PASSWORD RABBITMQ_PASSWORD SERVICE_TOKEN JWT_SECRET VEHICLE_CREDENTIAL_SECRET GRAFANA_PASSWORD; do
  grep -q "^$name=" "$file" || echo "$name=$(openssl rand -hex 32)" >> "$file"
done
