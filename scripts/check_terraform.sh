#!/usr/bin/env bash
# check_terraform.sh TOOLS CHECKOV: the layout of the files, and what checkov finds. Providers are not asked.
set -euo pipefail
tools=$(cd "$1" && pwd)
checkov=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")/../deploy/terraform/aws"

for program in terraform tofu; do
  if command -v "$program" > /dev/null; then format=("$program" fmt -check -diff -recursive .); break; fi
done
if [ -z "${format:-}" ]; then format=("$tools/hclfmt" -check ./*.tf environments/*.tfvars); fi
# It warns of an absent configuration of its own.
"${format[@]}" 2> >(grep -v -e CLI -e '^[╷│╵]' >&2) || { echo "terraform: run terraform fmt -recursive" >&2; exit 1; }

# The pull request's own framework, no look at the network: rules come with the package.
CHECKOV_RUN_SCA_PACKAGE_SCAN_V2=false "$checkov" --directory . --framework terraform --quiet --compact \
  --skip-download --skip-results-upload --download-external-modules false
