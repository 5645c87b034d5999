#!/usr/bin/env bash
# Fails when the web interface's API types are not what the gateway's OpenAPI document generates.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
OUT=$fresh scripts/generate_web_client.sh
if ! diff -r --brief "$fresh" services/web/src/api/generated; then
  echo "services/web/src/api/generated is not up to date: run npm run generate in services/web" >&2
  exit 1
fi
