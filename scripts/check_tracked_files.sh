#!/usr/bin/env bash
# Fails on what must not be committed: where packages were downloaded from, and paths of somebody's machine.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0

refuse() {
  local what=$1
  shift
  if git grep -nIE "$@"; then
    echo "^ must not be committed: $what" >&2
    status=1
  fi
}

refuse "where packages come from" -e 'https?://|(index-url|find-links|trusted-host)' -- requirements
refuse "where packages come from" -e '"resolved": "https?://' -- '*package-lock.json'
refuse "an index of packages" -e '(extra-)?index-url|--find-links|trusted-host' -- \
  '*.toml' '*.cfg' '*.ini' '*Dockerfile*' Makefile '*.yaml' '*.yml'
refuse "a path of somebody's machine" -e '/(home|Users)/[a-z]+/|/(root|work)/[a-z.]+' -- . ':!scripts/check_tracked_files.sh'
exit $status
