#!/usr/bin/env bash
# pin_requirements.sh EXTRA…: requirements/EXTRA.txt for each, and dev, build, checkov, gallia and go there, pinned with hashes
# for every platform and Python version. Where the packages come from is nobody's business but the installer's: no index
# is written into the files.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
mkdir -p requirements

pin() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}

pin pyproject.toml --extra dev --output-file requirements/dev.txt
# One version of a package everywhere: what is deployed is what was tested.
for extra in "$@"; do
  pin pyproject.toml --extra "$extra" --constraint requirements/dev.txt --output-file "requirements/$extra.txt"
done
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml | pin - --output-file requirements/build.txt
# Each in an environment of its own: checkov (make check) and gallia (tests/unit/vehicle_links/doip/test_gallia.py) pin what we
# have in other versions; Go builds what is missing of .tools.
for tool in checkov gallia go; do pin "requirements/$tool.in" --output-file "requirements/$tool.txt"; done
