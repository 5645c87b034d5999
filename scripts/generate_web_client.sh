#!/usr/bin/env bash
# Generates the web interface's API types (OUT=… gives another place) from the gateway's OpenAPI document.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=${OUT:-services/web/src/api/generated}
mkdir -p "$out"
PYTHONPATH=services "$python" scripts/write_openapi.py "$out/openapi.json"
services/web/node_modules/.bin/openapi-typescript "$out/openapi.json" --default-non-nullable false --output "$out/schema.d.ts" >/dev/null
