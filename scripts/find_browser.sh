#!/usr/bin/env bash
# Prints where a Chromium or Chrome is: CHROMIUM, or one that is installed, or Debian's, which root installs.
set -euo pipefail

find_browser() {
  local browser
  for browser in ${CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$browser" && return
  done
  return 1
}

find_browser && exit
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "browser tests: Chromium is missing; on Debian: sudo apt-get install chromium; elsewhere CHROMIUM=… says where it is" >&2
  exit 1
fi
echo "browser tests: installing chromium" >&2
{
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium
} > /dev/null
find_browser
