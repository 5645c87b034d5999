#!/usr/bin/env bash
# Generates services/sovd_protos from protos/ (Python, gRPC and typing stubs).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
find services/sovd_protos -name '*_pb2*' -delete
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc -I protos \
  --python_out=services --grpc_python_out=services --mypy_out=services --mypy_grpc_out=services \
  $(find protos -name '*.proto' | sort)
find services/sovd_protos -type d -exec sh -c 'touch "$1/__init__.py"' _ {} \;
