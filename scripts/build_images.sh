#!/usr/bin/env bash
# build_images.sh [NAME…]: builds the images sovd-webapp/NAME (all when none is named). From the environment:
#   TAG                                          latest
#   BUILD_IMAGE RUNTIME_IMAGE NODE_IMAGE NGINX_IMAGE   other base images
#   VITE_API_BASE_URL                            the API's address, for pages that are served elsewhere
#   PIP_CONFIG_FILE NPM_CONFIG_USERCONFIG CA_CERTIFICATES   files that the build may read and no image keeps
#   DOCKER DOCKER_BUILD_OPTIONS                  docker, and more options of its build command
set -euo pipefail
cd "$(dirname "$0")/.."
all=(gateway command-service vehicle-connector vehicle-simulator vehicle-agent web)
[ $# -gt 0 ] || set -- "${all[@]}"
docker=${DOCKER:-docker}
read -ra options <<< "${DOCKER_BUILD_OPTIONS:-}"

argument() { [ -z "${!1:-}" ] || options+=(--build-arg "$1=${!1}"); }
secret() { [ -z "${2:-}" ] || options+=(--secret "id=$1,src=$2"); }

for name in BUILD_IMAGE RUNTIME_IMAGE NODE_IMAGE NGINX_IMAGE VITE_API_BASE_URL; do argument "$name"; done
secret pip_conf "${PIP_CONFIG_FILE:-}"
secret npmrc "${NPM_CONFIG_USERCONFIG:-}"
secret ca_certificates "${CA_CERTIFICATES:-}"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
# When it was committed, not when it is built. Files all have one time, whatever the commit: layers whose content is the
# same are the same (SOURCE_DATE_EPOCH in the Dockerfiles).
epoch=$(git log -1 --format=%ct 2> /dev/null || echo 1700000000)
options+=(
  --build-arg "VERSION=$version"
  --build-arg "REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)"
  --build-arg "CREATED=$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)"
)

for name in "$@"; do
  case $name in
    web) file=(-f deploy/web.Dockerfile) ;;
    gateway | command-service | vehicle-connector | vehicle-simulator | vehicle-agent) file=(-f deploy/Dockerfile --build-arg "SERVICE=$name") ;;
    *) echo "$name: must be one of ${all[*]}" >&2; exit 2 ;;
  esac
  DOCKER_BUILDKIT=1 "$docker" build "${file[@]}" "${options[@]}" --tag "sovd-webapp/$name:${TAG:-latest}" .
done
