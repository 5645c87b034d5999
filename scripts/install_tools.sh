#!/usr/bin/env bash
# install_tools.sh DIRECTORY: the programs that check what is deployed, at the versions below, as Go modules where they are
# missing. One that is installed on this machine in a fitting major version is taken as it is.
set -euo pipefail
directory=$1
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# Name, module, version, and what a version that does says of itself.
tools=(
  "helm helm.sh/helm/v3/cmd/helm v3.19.5 v3\."
  "kubeconform github.com/yannh/kubeconform/cmd/kubeconform v0.7.0 ."
  "actionlint github.com/rhysd/actionlint/cmd/actionlint v1.7.7 1\.7"
)

# Terraform itself is not built from source: without it only the layout of its files is checked.
command -v terraform > /dev/null || command -v tofu > /dev/null ||
  tools+=("hclfmt github.com/hashicorp/hcl/v2/cmd/hclfmt v2.24.0 .")

version_of() {
  case $(basename "$1") in
    helm) "$1" version --short ;;
    kubeconform) "$1" -v ;;
    actionlint) "$1" -version ;;
    hclfmt) "$1" -version ;;
  esac 2> /dev/null
}

install() {
  local name=$1 module=$2 version=$3 fits=$4 found
  if [ -x "$directory/$name" ]; then return; fi
  if found=$(command -v "$name") && version_of "$found" | grep -q "$fits"; then
    ln -sf "$found" "$directory/$name"
    return
  fi
  command -v go > /dev/null || {
    echo "tools: $name is missing; install $name ${version%.*} or Go (which builds it), then again" >&2
    exit 1
  }
  echo "tools: building $name $version into $directory"
  GOBIN=$directory GOFLAGS=-trimpath go install "$module@$version"
}

for tool in "${tools[@]}"; do
  # shellcheck disable=SC2086
  install $tool
done
