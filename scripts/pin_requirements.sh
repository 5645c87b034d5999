#!/usr/bin/env bash
# pin_requirements.sh EXTRA…: requirements/EXTRA.txt for each, and dev, build, checkov and gallia there, pinned with hashes
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
pin requirements/checkov.in --output-file requirements/checkov.txt
# An environment of its own (tests/unit/vehicle_links/doip/test_gallia.py): it pins what we have in other versions.
pin requirements/gallia.in --output-file requirements/gallia.txt
