#!/usr/bin/env bash
# Generates services/sovd_protos (OUT=… gives another place) from protos/: Python, gRPC and typing stubs.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=${OUT:-services}
mkdir -p "$out/sovd_protos"
find "$out/sovd_protos" -name '*_pb2*' -delete
mapfile -t files < <(find protos -name "*.proto" | sort)
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc -I protos \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  "${files[@]}"
find "$out/sovd_protos" -type d -exec sh -c 'touch "$1/__init__.py"' _ {} \;
