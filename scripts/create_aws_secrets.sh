#!/usr/bin/env bash
# create_aws_secrets.sh ENVIRONMENT REGION [FOLDER]: makes sovd/ENVIRONMENT/{database,redis,rabbitmq,jwt} in AWS Secrets
# Manager with strong values that nobody gets to see. What is there already stays as it is. Needs the aws CLI, logged in.
# With a FOLDER, also {vehicle-ca,vehicle-tls}, of its vehicle-ca.pem and vehicle-ca.key (the vehicles' authority) and its
# connector.pem and connector.key (what connectors show to vehicles).
set -euo pipefail

fail() {
  echo "create_aws_secrets.sh: $*" >&2
  exit 2
}

[ $# = 2 ] || [ $# = 3 ] || fail "usage: create_aws_secrets.sh staging|production REGION [FOLDER]"
environment=$1 region=$2 folder=${3:-}
[[ $environment =~ ^[a-z][a-z0-9-]*$ ]] || fail "environment '$environment': must be a name such as staging or production"
[[ $region =~ ^[a-z]+(-[a-z]+)+-[0-9]+$ ]] || fail "region '$region': must be a region such as eu-central-1"
command -v aws > /dev/null || fail "the aws CLI is missing"
if [ -n "$folder" ]; then
  command -v python3 > /dev/null || fail "python3 is missing"
  for pair in vehicle-ca connector; do
    "${0%/*}/check_key_pair.sh" "$folder/$pair.pem" "$folder/$pair.key" || exit 2
  done
fi

manager() { aws secretsmanager --region "$region" "$@"; }

# Letters and digits only: RDS, ElastiCache and Amazon MQ each forbid other characters.
strong() { openssl rand -hex "${1:-32}"; }

exists() {
  local answer
  if answer=$(manager describe-secret --secret-id "$1" 2>&1); then
    grep -q '"DeletedDate"' <<< "$answer" && fail "$1 is scheduled for deletion: restore it, or wait until it is gone"
    return 0
  fi
  grep -q ResourceNotFoundException <<< "$answer" || fail "$1: $answer"
  return 1
}

# create NAME JSON: the value goes through standard input; arguments of a process can be seen by others.
create() {
  local name=sovd/$environment/$1
  if exists "$name"; then
    echo "$name: is there, left as it is"
    return
  fi
  manager create-secret --name "$name" --description "sovd-webapp, $environment" \
    --tags "Key=project,Value=sovd-webapp" "Key=environment,Value=$environment" \
    --secret-string file:///dev/stdin > /dev/null <<< "$2"
  echo "$name: made"
}

create database "{\"password\": \"$(strong)\"}"
create redis "{\"password\": \"$(strong)\"}"
create rabbitmq "{\"password\": \"$(strong)\"}"
create jwt "{\"secret\": \"$(strong 48)\", \"previous_secrets\": \"\", \"service_token\": \"$(strong)\", \"service_previous_tokens\": \"\", \"initial_admin_password\": \"$(strong 16)\"}"

# as_json NAME=FILE…: the files' texts, by name.
as_json() {
  python3 -c '
import json, pathlib, sys
print(json.dumps({name: pathlib.Path(file).read_text() for name, file in (each.split("=", 1) for each in sys.argv[1:])}))' "$@"
}

if [ -n "$folder" ]; then
  create vehicle-ca "$(as_json certificate="$folder/vehicle-ca.pem" key="$folder/vehicle-ca.key")"
  create vehicle-tls "$(as_json certificate="$folder/connector.pem" key="$folder/connector.key" \
    vehicle_authority="$folder/vehicle-ca.pem")"
fi
