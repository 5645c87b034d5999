#!/usr/bin/env bash
# Fails when services/sovd_protos is not what protos/ generates.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
OUT=$fresh scripts/generate_protos.sh
if ! diff -r --brief --exclude=__pycache__ --exclude=py.typed "$fresh/sovd_protos" services/sovd_protos; then
  echo "services/sovd_protos is not up to date: run make protos" >&2
  exit 1
fi
