#!/usr/bin/env bash
# set_up.sh VENV NAME: a virtual environment with what requirements/NAME.txt pins and this project.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
name=$2

fail() {
  echo "set-up: $*" >&2
  exit 1
}

# As root on Debian what is missing is installed, else one line says what to install.
install() {
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "set-up: installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" > /dev/null
  else
    fail "$* is missing; on Debian or Ubuntu: sudo apt-get install $*"
  fi
}

# The distribution's before others on the PATH, where it can make environments: it is what the images run on, and was
# measured to take a sixth less processor time per command than one built from source with the plain options.
find_python() {
  local distribution=/usr/bin/python3
  "$distribution" -c 'import ensurepip, venv' 2> /dev/null || distribution=
  for python in ${PYTHON:-} $distribution python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      command -v "$python"
      return
    fi
  done
  return 1
}

create() {
  find_python > /dev/null || install python3 python3-venv
  local python
  python=$(find_python) || fail "Python 3.11 or newer is needed, PYTHON=… says where it is"
  if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    install "$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)')"
  fi
  "$python" -m venv "$venv"
}

[ -x "$venv/bin/pip" ] || create
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input)
echo "set-up: installing requirements/$name.txt into $venv"
# The files are complete; pip is not to resolve anything: it would take an extra of a pinned package for a new demand.
"${pip[@]}" --no-deps --require-hashes -r requirements/build.txt -r "requirements/$name.txt"
"${pip[@]}" --no-deps --no-build-isolation --editable .
