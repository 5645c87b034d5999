# What rotations of secrets have in common; for scripts that have set `environment` and `region`.
namespace=${NAMESPACE:-sovd}

fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

for tool in aws kubectl python3 openssl; do
  command -v "$tool" > /dev/null || fail "$tool is missing"
done

manager() { aws secretsmanager --region "$region" "$@"; }
cluster() { kubectl --namespace "$namespace" "$@"; }

# change NAME PYTHON: Python that changes `it`, the JSON object of sovd/ENVIRONMENT/NAME in AWS Secrets Manager; values are
# on no command line but a pipe.
change() {
  local name=sovd/$environment/$1 before after
  before=$(manager get-secret-value --secret-id "$name" --query SecretString --output text)
  after=$(python3 -c "
import json, sys
it = json.load(sys.stdin)
$2
print(json.dumps(it))" <<< "$before")
  manager put-secret-value --secret-id "$name" --secret-string file:///dev/stdin > /dev/null <<< "$after"
}

# roll_out COMPONENTS EXTERNAL SECRET: those deployments (separated by commas), once the cluster's SECRET has what was
# changed, which the ExternalSecret EXTERNAL fetches.
roll_out() {
  local before tries=0 selector="app.kubernetes.io/component in ($1)"
  before=$(_version_of "$3")
  cluster annotate externalsecret "$2" "force-sync=$(date +%s%N)" --overwrite > /dev/null
  until [ "$(_version_of "$3")" != "$before" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "$3 did not change within a minute: kubectl describe externalsecret $2"
    sleep 1
  done
  cluster rollout restart deployment --selector "$selector" > /dev/null
  cluster rollout status deployment --selector "$selector" --timeout 10m
}

_version_of() { cluster get secret "$1" --output 'jsonpath={.metadata.resourceVersion}'; }
