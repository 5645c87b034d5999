#!/bin/sh
# Starts nginx with what the environment says:
#   PORT          where it listens (8080)
#   WEB_ROOT      the built pages
#   GATEWAY_URL   http://host:port of a gateway, where nothing in front of this one routes /api and /ws to it
#   TMPDIR        the one directory that it writes to (/tmp)
#   API_BASE_URL  the API's address that was built into the pages (VITE_API_BASE_URL), if it is another than theirs
set -eu
here=$(dirname "$0")
run=${TMPDIR:-/tmp}

fail() {
  echo "web: $*" >&2
  exit 78
}

# An address is put into the configuration: nothing but an address may be in it.
check_url() {
  case $2 in
    *[!A-Za-z0-9.:/_-]* | "") fail "$1: must be an address such as https://sovd.example.com" ;;
    http://?* | https://?*) ;;
    *) fail "$1: must begin with http:// or https://" ;;
  esac
}

nameservers() {
  while read -r key address _; do
    case "$key $address" in
      nameserver*:*) echo "[$address]" ;;
      nameserver*) echo "$address" ;;
    esac
  done < /etc/resolv.conf
}

{
  echo "listen ${PORT:-8080};"
  echo "root ${WEB_ROOT:-/usr/share/sovd-web};"
  if [ -n "${API_BASE_URL:-}" ]; then
    check_url API_BASE_URL "$API_BASE_URL"
    origin=$(echo "$API_BASE_URL" | cut -d/ -f1-3)
    echo "set \$sovd_api \" $origin ws${origin#http}\";"
  else
    echo "set \$sovd_api '';"
  fi
  if [ -n "${GATEWAY_URL:-}" ]; then
    check_url GATEWAY_URL "$GATEWAY_URL"
    servers=$(nameservers | tr '\n' ' ')
    [ -z "$servers" ] || echo "resolver $servers valid=5s;"
    echo "set \$sovd_gateway ${GATEWAY_URL%/};"
    echo "include $here/gateway.conf;"
  fi
} > "$run/server.conf"
sed "s|@RUN@|$run|; s|@HERE@|$here|" "$here/nginx.conf" > "$run/nginx.conf"
exec nginx -c "$run/nginx.conf"
