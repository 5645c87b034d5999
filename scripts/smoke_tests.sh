#!/usr/bin/env bash
# Whether a deployment does what it is for. Needs bash and curl. From the environment:
#   API_BASE_URL        where the API is (http://localhost:8000)
#   FRONTEND_BASE_URL   where the web page is (API_BASE_URL)
#   METRICS_URL         the gateway's metrics (API_BASE_URL/metrics); empty where they are not public
#   CORS_ORIGIN         the origin of a page that is served elsewhere, if there is one: it has to be allowed
#   SMOKE_USERNAME SMOKE_PASSWORD   an engineer: then a command is sent and its answers are awaited
#   SMOKE_VIN           the vehicle that it is for, online (WDD1234567890ABCD)
#   SMOKE_TIMEOUT       seconds to wait for any answer (10)
# Prints PASS or FAIL for each check and a summary; exits with 1 when any failed.
set -uo pipefail
api=${API_BASE_URL:-http://localhost:8000}
api=${api%/}
web=${FRONTEND_BASE_URL:-$api}
web=${web%/}
metrics=${METRICS_URL-$api/metrics}
timeout=${SMOKE_TIMEOUT:-10}
passed=0 failed=0

fetch() { curl --silent --show-error --max-time "$timeout" "$@" 2>&1; }
# fetch_ok: the body of an answer below 400, else what went wrong.
fetch_ok() { fetch --fail-with-body "$@"; }
headers_of() { fetch --output /dev/null --dump-header - "$@" | tr -d '\r'; }
# field NAME: the text or number of a JSON object's field on stdin, the first that has the name.
field() { grep -oE "\"$1\" *: *(\"[^\"]*\"|[0-9]+)" | head -n 1 | sed -E 's/^"[^"]*" *: *"?([^"]*)"?$/\1/'; }

# check NAME FUNCTION…: the function says on stdout what is wrong when it fails.
check() {
  local name=$1 output
  shift
  if output=$("$@"); then
    passed=$((passed + 1))
    echo "PASS  $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $name: $(tr '\n' ' ' <<< "$output" | cut -c 1-300)"
  fi
}

answers_with() {
  local url=$1 pattern=$2 body
  body=$(fetch_ok "$url") || { echo "$url: $body"; return 1; }
  grep -qE "$pattern" <<< "$body" || { echo "$url: no $pattern in its answer: $body"; return 1; }
}

has_header() {
  local url=$1 pattern=$2 headers
  shift 2
  headers=$(headers_of "$url" "$@") || { echo "$url: $headers"; return 1; }
  grep -qiE "^$pattern" <<< "$headers" || { echo "$url: no header $pattern in $headers"; return 1; }
}

serves_its_assets() {
  local page asset found=0
  page=$(fetch_ok "$web/") || { echo "$page"; return 1; }
  while read -r asset; do
    found=$((found + 1))
    has_header "$web$asset" 'content-type: *(text/javascript|application/javascript|text/css|font/)' || return 1
    has_header "$web$asset" 'cache-control:.*immutable' || return 1
  done < <(grep -oE '(src|href)="/assets/[^"]+"' <<< "$page" | cut -d '"' -f 2)
  [ "$found" -gt 0 ] || { echo "$web/ names no assets"; return 1; }
}

preflight() {
  headers_of "$api/api/v1/vehicles" --request OPTIONS --header "Origin: $1" \
    --header 'Access-Control-Request-Method: GET' --header 'Access-Control-Request-Headers: authorization'
}

allows_origin() {
  local headers
  headers=$(preflight "$1") || { echo "$headers"; return 1; }
  grep -qixF "access-control-allow-origin: $1" <<< "$headers" || { echo "$1 is not allowed: $headers"; return 1; }
}

refuses_origin() {
  local headers
  headers=$(preflight "$1") || { echo "$headers"; return 1; }
  if grep -qiE '^access-control-allow-origin:' <<< "$headers"; then
    echo "$1 is allowed: $headers"
    return 1
  fi
}

in_json() {
  local text=${1//\\/\\\\}
  echo "${text//\"/\\\"}"
}

# The secret goes to curl through its standard input: arguments of a process can be seen by others.
log_in() {
  printf '{"username":"%s","password":"%s"}' "$(in_json "$SMOKE_USERNAME")" "$(in_json "${SMOKE_PASSWORD:-}")" |
    fetch_ok "$api/api/v1/auth/login" --header 'Content-Type: application/json' --data @-
}

as_user() { fetch_ok --config <(echo "header = \"Authorization: Bearer $token\"") "$@"; }

submit() {
  local found vehicle
  found=$(as_user "$api/api/v1/vehicles?search=${SMOKE_VIN:-WDD1234567890ABCD}") || { echo "$found"; return 1; }
  vehicle=$(field vehicle_id <<< "$found")
  [ -n "$vehicle" ] || { echo "there is no vehicle ${SMOKE_VIN:-WDD1234567890ABCD}"; return 1; }
  as_user "$api/api/v1/commands" --header 'Content-Type: application/json' \
    --data "{\"vehicle_id\":\"$vehicle\",\"command_name\":\"ReadDTC\",\"command_params\":{\"ecuAddress\":\"0x10\"}}"
}

# As much of RFC 6455 as it takes: what a server sends is text between a few bytes of framing.
watch() {
  local ticket events
  ticket=$(as_user --request POST "$api/api/v1/auth/ws-ticket" | field ticket)
  [ -n "$ticket" ] || { echo "no ticket"; return 1; }
  events=$(curl --silent --no-buffer --http1.1 --max-time "$timeout" "$api/ws/responses/$1?ticket=$ticket" \
    --header 'Connection: Upgrade' --header 'Upgrade: websocket' --header 'Sec-WebSocket-Version: 13' \
    --header "Sec-WebSocket-Key: $(head -c 16 /dev/urandom | base64)" | LC_ALL=C tr -cd '\11\12\40-\176')
  grep -qa '"event":"response"' <<< "$events" || { echo "no response came: $events"; return 1; }
  grep -qaE '"status":"completed"' <<< "$events" || { echo "it did not complete: $events"; return 1; }
}

real_flow() {
  local answer command token
  answer=$(log_in)
  token=$(field access_token <<< "$answer")
  check "log in as $SMOKE_USERNAME" test_text "$token" "$answer"
  [ -n "$token" ] || return
  answer=$(submit)
  command=$(field command_id <<< "$answer")
  check "send a command" test_text "$command" "$answer"
  [ -n "$command" ] || return
  check "its answers over the WebSocket" watch "$command"
}

test_text() { [ -n "$1" ] || { echo "$2"; return 1; }; }

check "alive" answers_with "$api/health/live" '"status": *"alive"'
check "ready" answers_with "$api/health/ready" '"status": *"healthy"'
check "documentation" answers_with "$api/docs" 'swagger-ui'
check "OpenAPI document" answers_with "$api/openapi.json" '"openapi": *"3\.'
[ -z "$metrics" ] || check "metrics" answers_with "$metrics" '^sovd_http_requests_total'
check "web page" answers_with "$web/" '<div id="root">'
check "web page's policy" has_header "$web/" "content-security-policy: default-src 'none'"
if fetch "$web/" | grep -q '/@vite/client'; then
  echo "SKIP  web assets: a development server has none"
else
  check "web assets" serves_its_assets
fi
check "CORS preflight of a stranger" refuses_origin https://stranger.example
[ -z "${CORS_ORIGIN:-}" ] || check "CORS preflight of $CORS_ORIGIN" allows_origin "$CORS_ORIGIN"
if [ -n "${SMOKE_USERNAME:-}" ]; then
  real_flow
else
  echo "SKIP  log in and send a command: SMOKE_USERNAME and SMOKE_PASSWORD are not given"
fi

echo "$passed passed, $failed failed: $api, $web"
[ "$failed" = 0 ]
