#!/usr/bin/env bash
# rotate_secret.sh ENVIRONMENT REGION STEP [WHICH]: a new secret in place of the one that is used; meanwhile no call is
# refused and nobody is logged out. WHICH is
#   jwt             signs access tokens; gateways sign and verify (what is rotated when none is named)
#   service-token   gateways and vehicle connectors show it to command services
# STEP is
#   announce   a new secret is made; whoever verifies gets to know it, nobody uses it yet
#   switch     all use it; whoever verifies still knows the old one
#   retire     the old one is forgotten; not before nobody uses it: the last access token that it signed has expired (15
#              minutes), the last pod that showed it has drained and ended (2 minutes)
#   all        the three, with the wait in between
# Each changes sovd/ENVIRONMENT/jwt in AWS Secrets Manager and rolls those deployments out anew that have to know. Needs
# aws and kubectl, logged in. From the environment: NAMESPACE (sovd), WAIT_SECONDS (900 and 120, see retire; the former
# is the gateways' ACCESS_TOKEN_SECONDS), EXTERNAL_SECRET, SECRET.
set -euo pipefail
namespace=${NAMESPACE:-sovd}
external=${EXTERNAL_SECRET:-sovd-webapp-external-secrets} secret=${SECRET:-sovd-webapp-secrets}

fail() {
  echo "rotate_secret.sh: $*" >&2
  exit 2
}

[ $# = 3 ] || [ $# = 4 ] || fail "usage: rotate_secret.sh ENVIRONMENT REGION announce|switch|retire|all [jwt|service-token]"
environment=$1 region=$2 step=$3 which=${4:-jwt}
name=sovd/$environment/jwt
case $which in
  jwt) current=secret previous=previous_secrets verify=gateway use=gateway wait=${WAIT_SECONDS:-900} ;;
  service-token)
    current=service_token previous=service_previous_tokens
    verify=command-service use="gateway,vehicle-connector" wait=${WAIT_SECONDS:-120}
    ;;
  *) fail "'$which': must be jwt or service-token" ;;
esac
for tool in aws kubectl python3 openssl; do
  command -v "$tool" > /dev/null || fail "$tool is missing"
done

manager() { aws secretsmanager --region "$region" "$@"; }
cluster() { kubectl --namespace "$namespace" "$@"; }

# change EXPRESSION: Python that changes `it`, the secret's JSON object, of which `current` and `previous` are keys;
# values are on no command line but a pipe.
change() {
  local before after
  before=$(manager get-secret-value --secret-id "$name" --query SecretString --output text)
  after=$(NEW=$(openssl rand -hex 48) python3 -c "
import json, os, sys
it, new = json.load(sys.stdin), os.environ['NEW']
current, previous = '$current', '$previous'
$1
print(json.dumps(it))" <<< "$before")
  manager put-secret-value --secret-id "$name" --secret-string file:///dev/stdin > /dev/null <<< "$after"
}

version_of_secret() { cluster get secret "$secret" --output 'jsonpath={.metadata.resourceVersion}'; }

# roll_out COMPONENTS: separated by commas, once the cluster's Secret has what was changed.
roll_out() {
  local before tries=0 selector="app.kubernetes.io/component in ($1)"
  before=$(version_of_secret)
  cluster annotate externalsecret "$external" "force-sync=$(date +%s%N)" --overwrite > /dev/null
  until [ "$(version_of_secret)" != "$before" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "$secret did not change within a minute: kubectl describe externalsecret $external"
    sleep 1
  done
  cluster rollout restart deployment --selector "$selector" > /dev/null
  cluster rollout status deployment --selector "$selector" --timeout 10m
}

announce() {
  change "
if it.get(previous): sys.exit('a rotation is under way: go on with switch or retire')
it[previous] = new"
  roll_out "$verify"
  echo "announced: every $verify knows the new secret"
}

switch() {
  change "
if not it.get(previous): sys.exit('there is no new secret: begin with announce')
it[current], it[previous] = it[previous], it[current]"
  roll_out "$use"
  echo "switched: retire in $wait seconds or later"
}

retire() {
  change "it[previous] = ''"
  roll_out "$verify"
  echo "retired: the old secret is worth nothing"
}

case $step in
  announce | switch | retire) "$step" ;;
  all)
    announce
    switch
    sleep "$wait"
    retire
    ;;
  *) fail "'$step': must be announce, switch, retire or all" ;;
esac
