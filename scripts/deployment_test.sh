#!/usr/bin/env bash
# The end-to-end test of a deployment, on whatever cluster kubectl reaches: installs, uses, scales, upgrades, rolls back
# and rotates, under load, and writes docs/runbooks/deployment_test_report.md from what it saw. Not for a namespace that
# somebody needs: it installs and upgrades there. From the environment:
#   NAMESPACE RELEASE      sovd, sovd-webapp
#   VALUES                 values files of the chart, separated by spaces (values-local.yaml); whatever they say, the test
#                          begins with three gateways that are scaled by CPU, for which the cluster needs metrics-server
#   HELM_OPTIONS           more options of helm upgrade
#   SMOKE_USERNAME SMOKE_PASSWORD   an engineer (engineer, engineer123: the demo data's)
#   SMOKE_VIN              a vehicle that is online (WDD1234567890ABCD)
#   AWS_ENVIRONMENT AWS_REGION   with both, the secret that signs tokens is rotated in AWS Secrets Manager; without, in
#                          the Secret of the cluster (SECRET, sovd-webapp-secrets)
#   API_PORT WEB_PORT GRAFANA_PORT   to which they are forwarded here (18000, 13000, 13001)
# Needs kubectl, helm, curl, python3 and `sovd` (make venv) on the PATH or in .venv.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
namespace=${NAMESPACE:-sovd} release=${RELEASE:-sovd-webapp} chart=charts/sovd-webapp
username=${SMOKE_USERNAME:-engineer} password=${SMOKE_PASSWORD:-engineer123} vin=${SMOKE_VIN:-WDD1234567890ABCD}
report=${REPORT:-docs/runbooks/deployment_test_report.md}
api_port=${API_PORT:-18000} web_port=${WEB_PORT:-13000} grafana_port=${GRAFANA_PORT:-13001}
api=http://127.0.0.1:$api_port web=http://127.0.0.1:$web_port grafana=http://127.0.0.1:$grafana_port
secret=${SECRET:-sovd-webapp-secrets} pictures=${report%/*}/pictures
export PATH=$PWD/.venv/bin:$PATH SOVD_URL=$api

refuse() {
  echo "deployment_test.sh: $*; nothing was tested and nothing written" >&2
  exit 2
}

for tool in kubectl helm curl python3 openssl sovd; do
  command -v "$tool" > /dev/null || refuse "$tool is missing"
done
kubectl get --raw /version --request-timeout 10s > /dev/null 2>&1 || refuse "kubectl reaches no cluster"

work=$(mktemp -d)
export SOVD_CONFIG=$work/credentials.json
rows="" details="" issues="" picture="" failed=0 began=$(date +%s)
cluster() { kubectl --namespace "$namespace" "$@"; }
exists() { cluster get "$@" > /dev/null 2>&1; }
component() { cluster get deployment --selector "app.kubernetes.io/instance=$release,app.kubernetes.io/component=$1" --output name; }
now_ms() { date +%s%3N; }

finish() {
  jobs -p | xargs -r kill 2> /dev/null
  cluster delete deployment load --ignore-not-found --wait=false > /dev/null 2>&1
  rm -rf "$work"
}
trap finish EXIT

# step NAME TARGET_SECONDS FUNCTION…: runs it, and notes whether it did it and in time. TARGET 0: as long as it takes.
step() {
  local name=$1 target=$2 output=$work/output result=PASS started took
  shift 2
  picture=""
  echo "--- $name"
  started=$(now_ms)
  "$@" > "$output" 2>&1 || result=FAIL
  took=$(($(now_ms) - started))
  # What measures itself says so in its last line.
  if grep -q '^took_ms=' "$output"; then took=$(sed -n 's/^took_ms=//p' "$output" | tail -n 1); fi
  if [ "$target" != 0 ] && ((took > $(python3 -c "print(int($target * 1000))"))); then result="FAIL (too slow)"; fi
  [ "$result" = PASS ] || { failed=$((failed + 1)); issues+="- **$name**: $result. $(tail -n 3 "$output" | tr '\n' ' ')"$'\n'; }
  rows+="| $name | $([ "$target" = 0 ] && echo – || echo "$target s") | $((took / 1000)).$(printf %03d $((took % 1000))) s | $result |"$'\n'
  details+="### $name"$'\n\n'"\`$*\`, $(date --utc +%H:%M:%S) UTC, $took ms: $result"$'\n\n'
  details+=$'```bash\n'"$(declare -f "$1")"$'\n```\n\n```\n'"$(tail -n 40 "$output")"$'\n```\n\n'
  [ -z "$picture" ] || details+="![$name](pictures/$picture.png)"$'\n\n'
  tail -n 3 "$output"
  echo "    $result, $took ms"
}

# --- what is tested

helm_upgrade() {
  local options=(--set "gateway.autoscaling.enabled=true,gateway.autoscaling.minReplicas=3,gateway.autoscaling.maxReplicas=20") file
  for file in ${VALUES:-values-local.yaml}; do options+=(--values "$chart/$file"); done
  # Three that have nothing to do must not look busy.
  [ -n "${VALUES:-}" ] || options+=(--set gateway.resources.requests.cpu=200m)
  read -ra more <<< "${HELM_OPTIONS:-}"
  helm upgrade --install "$release" "$chart" --namespace "$namespace" --create-namespace --wait --wait-for-jobs \
    --timeout 10m "${options[@]}" "${more[@]}" "$@"
}

# From events: the Job's own times; it is gone after it succeeded as a hook. Pods that it is not for are older.
migration_before_pods() {
  local events migrated started ready
  events=$(cluster get events --sort-by .metadata.creationTimestamp --output \
    'jsonpath={range .items[*]}{.metadata.creationTimestamp} {.reason} {.involvedObject.kind}/{.involvedObject.name}{"\n"}{end}')
  grep -E 'migrations|gateway' <<< "$events"
  migrated=$(grep -E 'Completed Job/.*migrations' <<< "$events" | tail -n 1 | cut -d ' ' -f 1)
  started=$(grep -E 'SuccessfulCreate Job/.*migrations' <<< "$events" | tail -n 1 | cut -d ' ' -f 1)
  [ -n "$migrated" ] || { echo "no migration has completed"; return 1; }
  ready=$(cluster get pods --selector "app.kubernetes.io/instance=$release,app.kubernetes.io/component in (gateway,command-service)" \
    --output 'jsonpath={range .items[*]}{.metadata.creationTimestamp} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}{"\n"}{end}' |
    awk -v started="$started" '$1 >= started { print $2 }' | sort | head -n 1)
  echo "migrated at $migrated, the first new pod ready at $ready"
  [[ -z $ready || ! $ready < $migrated ]] || { echo "a pod was ready before the migration had ended"; return 1; }
  echo "took_ms=$((($(date --date "$migrated" +%s) - $(date --date "$started" +%s)) * 1000))"
}

slowest_pod_start() {
  cluster get pods --selector "app.kubernetes.io/instance=$release" --output json | python3 -c '
import json, sys
from datetime import datetime
at = datetime.fromisoformat
slowest = 0
for pod in json.load(sys.stdin)["items"]:
    ready = [c["lastTransitionTime"] for c in pod["status"].get("conditions", ()) if c["type"] == "Ready" and c["status"] == "True"]
    began = [c["lastTransitionTime"] for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled"]
    if ready and began:
        seconds = (at(ready[0].replace("Z", "+00:00")) - at(began[0].replace("Z", "+00:00"))).total_seconds()
        slowest = max(slowest, seconds)
        print(pod["metadata"]["name"], seconds)
print(f"took_ms={int(slowest * 1000)}")'
}

# keep_forwarding SERVICE PORTS: until it is killed, and what it started with it; pods come and go.
keep_forwarding() {
  trap 'kill $! 2> /dev/null; exit' TERM
  while true; do
    kubectl --namespace "$namespace" port-forward "service/$release-$1" "$2" > /dev/null 2>&1 &
    wait $!
    sleep 0.5 &
    wait $!
  done
}

forward() {
  keep_forwarding gateway "$api_port:8000" &
  keep_forwarding web "$web_port:80" &
  if exists service "$release-grafana"; then keep_forwarding grafana "$grafana_port:80" & fi
  local tries=0
  until curl --silent --fail --output /dev/null "$api/health/ready" && curl --silent --fail --output /dev/null "$web/healthz"; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { echo "the gateway or the web does not answer"; return 1; }
    sleep 0.5
  done
}

ready_answer() {
  curl --silent --fail "$api/health/ready" && echo
  curl --silent --fail --output /dev/null --write-out '%{time_total}' "$api/health/ready" |
    python3 -c 'import sys; print(f"took_ms={int(float(sys.stdin.read()) * 1000)}")'
}

smoke() { API_BASE_URL=$api FRONTEND_BASE_URL=$web SMOKE_USERNAME=$username SMOKE_PASSWORD=$password SMOKE_VIN=$vin scripts/smoke_tests.sh; }
log_in() { sovd login --username "$username" --password-stdin <<< "$password"; }
one_command() { sovd run ReadDTC --vin "$vin" --param ecuAddress=0x10 --json; }

websocket() {
  python3 - "$api" "$(sovd commands --json | head -n 1)" << 'END'
import json, sys, time
from sovd_cli.api import open_api
from websockets.sync.client import connect
url, command = sys.argv[1].replace("http", "ws"), json.loads(sys.argv[2])["command_id"]
with open_api() as api:
    ticket = api.post("/api/v1/auth/ws-ticket", {})["ticket"]
started = time.monotonic()
with connect(f"{url}/ws/responses/{command}?ticket={ticket}") as socket:
    print(socket.recv(timeout=10))
print(f"took_ms={int((time.monotonic() - started) * 1000)}")
END
}

# The release's own, or the one that an operator runs, or one that is labelled as Prometheus' own chart does it.
prometheus_targets() {
  local prometheus="" selector
  for selector in "app.kubernetes.io/instance=$release,app.kubernetes.io/name=prometheus" operated-prometheus=true app.kubernetes.io/name=prometheus; do
    [ -n "$prometheus" ] || prometheus=$(kubectl get service --all-namespaces --selector "$selector" --output \
      'jsonpath={range .items[*]}{.metadata.namespace}/services/{.metadata.name}:{.spec.ports[0].port}{"\n"}{end}' | head -n 1)
  done
  [ -n "$prometheus" ] || { echo "there is no Prometheus"; return 1; }
  kubectl get --raw "/api/v1/namespaces/$prometheus/proxy/api/v1/query?query=up" | python3 -c '
import json, sys
up = {}
for found in json.load(sys.stdin)["data"]["result"]:
    up.setdefault(found["metric"].get("job"), set()).add(found["value"][1])
print(up)
missing = [job for job in ("gateway", "command-service", "vehicle-connector") if up.get(job) != {"1"}]
sys.exit(f"not up: {missing}" if missing else 0)'
}

# In Grafana, where it is of this release; else what a Grafana elsewhere takes them from.
dashboards() {
  local found
  if exists service "$release-grafana"; then
    found=$(curl --silent --fail "$grafana/api/search?type=dash-db" |
      python3 -c 'import json, sys; print("\n".join(each["title"] for each in json.load(sys.stdin)))')
  else
    found=$(cluster get configmap --selector "app.kubernetes.io/instance=$release" --output name | grep dashboard-)
  fi
  echo "$found"
  [ "$(grep -c . <<< "$found")" = 3 ]
}

# take_picture NAME URL
take_picture() {
  local browser
  mkdir -p "$pictures"
  browser=$(scripts/find_browser.sh) || return 1
  "$browser" --headless --no-sandbox --hide-scrollbars --window-size=1280,800 --virtual-time-budget=5000 \
    --screenshot="$pictures/$1.png" "$2" && ls -l "$pictures/$1.png" && picture=$1
}

# Pods beside the gateways: one connection to a port-forward would not be load.
load() {
  local image token
  image=$(cluster get "$(component gateway)" --output 'jsonpath={.spec.template.spec.containers[0].image}')
  token=$(python3 -c "import json; print(next(iter(json.load(open('$SOVD_CONFIG')).values()))['access_token'])")
  cluster apply --filename - << END
apiVersion: apps/v1
kind: Deployment
metadata: { name: load }
spec:
  replicas: 4
  selector: { matchLabels: { app: load } }
  template:
    metadata: { labels: { app: load, app.kubernetes.io/name: sovd-webapp, app.kubernetes.io/instance: $release, app.kubernetes.io/component: smoke-test } }
    spec:
      automountServiceAccountToken: false
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
      containers:
        - name: load
          image: $image
          command: [python3, -c, "import httpx, threading\ndef ask():\n  with httpx.Client(headers={'Authorization': 'Bearer $token'}) as client:\n    while True:\n      try: client.get('http://$release-gateway:8000/api/v1/vehicles')\n      except httpx.HTTPError: pass\nfor _ in range(8): threading.Thread(target=ask).start()"]
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
END
}

gateways() { cluster get "$(component gateway)" --output 'jsonpath={.status.readyReplicas}'; }

# await_gateways FEWEST MOST SECONDS
await_gateways() {
  local deadline=$((SECONDS + $3)) ready
  until ready=$(gateways) && ((${ready:-0} >= $1 && ${ready:-0} <= $2)); do
    ((SECONDS < deadline)) || { echo "${ready:-0} gateways, not $1 to $2, after $3 s"; cluster get hpa; return 1; }
    sleep 1
  done
}

scales_out() {
  local started
  await_gateways 3 3 400 || return 1
  started=$(now_ms)
  load && await_gateways 5 20 400 || return 1
  cluster get hpa
  echo "took_ms=$(($(now_ms) - started))"
}

# under_commands FUNCTION…: commands run one after the other all the while; each of them has to complete.
under_commands() {
  local log=$work/commands runner done_ok result=0
  : > "$log"
  touch "$log.go_on"
  (while [ -e "$log.go_on" ]; do one_command > /dev/null 2>> "$log.errors"; echo $? >> "$log"; done) &
  runner=$!
  "$@" || result=1
  rm "$log.go_on"
  wait "$runner"
  done_ok=$(grep -cx 0 "$log")
  echo "$done_ok of $(wc -l < "$log") commands completed meanwhile"
  [ "$done_ok" -gt 0 ] && [ "$done_ok" = "$(wc -l < "$log")" ] || { tail -n 5 "$log.errors"; result=1; }
  return $result
}

upgrade() { under_commands helm_upgrade --set-string "gateway.env.DEPLOYMENT_TEST=$began"; }
roll_back() { under_commands helm rollback "$release" --namespace "$namespace" --wait --timeout 5m; }

# give_gateways SECRET PREVIOUS_SECRET: what signs tokens, and what verifies them too.
give_gateways() {
  cluster patch secret "$secret" --patch-file /dev/stdin <<< "{\"stringData\": {\"jwt-secret\": \"$1\", \"jwt-previous-secrets\": \"$2\"}}" &&
    cluster rollout restart "$(component gateway)" && cluster rollout status "$(component gateway)" --timeout 10m
}

# Announced, then switched to; without retiring the old one, for which all of its tokens have to end.
new_secret() {
  local old new step
  if [ -n "${AWS_ENVIRONMENT:-}" ] && [ -n "${AWS_REGION:-}" ]; then
    for step in announce switch; do
      NAMESPACE=$namespace SECRET=$secret scripts/rotate_secret.sh "$AWS_ENVIRONMENT" "$AWS_REGION" "$step" || return 1
    done
  else
    old=$(cluster get secret "$secret" --output 'jsonpath={.data.jwt-secret}' | base64 --decode) && [ -n "$old" ] || return 1
    new=$(openssl rand -hex 48)
    give_gateways "$old" "$new" && give_gateways "$new" "$old"
  fi
}
rotate() { under_commands new_secret && one_command; }

step "Helm installs the release" 300 helm_upgrade
step "The migration comes before the pods" 60 migration_before_pods
step "The slowest pod is ready" 60 slowest_pod_start
step "The services can be reached" 0 forward
step "Readiness answers" 0.2 ready_answer
step "Smoke tests" 30 smoke
step "Log in" 0 log_in
step "A command and its answers" 5 one_command
step "The first event over a WebSocket" 1 websocket
step "Prometheus scrapes all services" 0 prometheus_targets
step "Dashboards are there" 0 dashboards
step "Picture of the web page" 0 take_picture web "$web/"
step "Load scales the gateways from 3 to 5" 300 scales_out
if exists service "$release-grafana"; then step "Picture of the load" 0 take_picture operations "$grafana/d/sovd-operations"; fi
step "Upgrade under load" 0 upgrade
step "Rollback under load" 180 roll_back
step "Secret rotation under load" 0 rotate
step "Smoke tests, once more" 30 smoke

cat > "$report" << END
# Deployment test report

Written by \`scripts/deployment_test.sh\` on $(date --utc +%Y-%m-%d) from what it saw.

## Summary

$(grep -c . <<< "${rows%$'\n'}") steps, $failed failed, $((($(date +%s) - began) / 60)) minutes.

## Environment

- Kubernetes $(kubectl get --raw /version | python3 -c 'import json, sys; print(json.load(sys.stdin)["gitVersion"])'), $(kubectl get nodes --no-headers | wc -l) nodes
- $(helm version --short), chart $(helm list --namespace "$namespace" --filter "^$release\$" --output json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["chart"])')
- Commit $(git rev-parse --short HEAD)

## Results

| Step | Target | Took | Result |
|---|---|---|---|
$rows
## Issues and resolutions

${issues:-None.}

## Recommendations

$([ "$failed" = 0 ] && echo "None: every step met its target." || echo "Put right what is under Issues and resolutions (docs/runbooks/troubleshooting.md), then run this again.")

## Readiness

$([ "$failed" = 0 ] && echo "**Ready.**" || echo "**Not ready**: $failed steps failed.")

## Steps

$details
END
echo "written: $report"
[ "$failed" = 0 ]
