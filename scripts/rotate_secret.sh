#!/usr/bin/env bash
# rotate_secret.sh ENVIRONMENT REGION STEP: a new secret that signs access tokens; nobody is logged out. STEP is
#   announce   a new secret is made; all gateways get to know it, none signs with it yet
#   switch     all gateways sign with it and still know the old one
#   retire     the old one is forgotten; not before the last token that it signed has expired (15 minutes)
#   all        the three, with the waits in between
# Each changes sovd/ENVIRONMENT/jwt in AWS Secrets Manager and rolls the gateways out anew. Needs aws and kubectl, logged
# in. From the environment: NAMESPACE (sovd), TOKEN_SECONDS (900, the gateways' ACCESS_TOKEN_SECONDS), EXTERNAL_SECRET,
# SECRET.
set -euo pipefail
namespace=${NAMESPACE:-sovd} token_seconds=${TOKEN_SECONDS:-900}
external=${EXTERNAL_SECRET:-sovd-webapp-external-secrets} secret=${SECRET:-sovd-webapp-secrets}

fail() {
  echo "rotate_secret.sh: $*" >&2
  exit 2
}

[ $# = 3 ] || fail "usage: rotate_secret.sh ENVIRONMENT REGION announce|switch|retire|all"
environment=$1 region=$2 step=$3
name=sovd/$environment/jwt
for tool in aws kubectl python3 openssl; do
  command -v "$tool" > /dev/null || fail "$tool is missing"
done

manager() { aws secretsmanager --region "$region" "$@"; }
cluster() { kubectl --namespace "$namespace" "$@"; }

# change EXPRESSION: Python that changes `it`, the secret's JSON object; values are on no command line but a pipe.
change() {
  local before after
  before=$(manager get-secret-value --secret-id "$name" --query SecretString --output text)
  after=$(NEW=$(openssl rand -hex 48) python3 -c "
import json, os, sys
it, new = json.load(sys.stdin), os.environ['NEW']
$1
print(json.dumps(it))" <<< "$before")
  manager put-secret-value --secret-id "$name" --secret-string file:///dev/stdin > /dev/null <<< "$after"
}

version_of_secret() { cluster get secret "$secret" --output 'jsonpath={.metadata.resourceVersion}'; }

roll_out() {
  local before tries=0
  before=$(version_of_secret)
  cluster annotate externalsecret "$external" "force-sync=$(date +%s%N)" --overwrite > /dev/null
  until [ "$(version_of_secret)" != "$before" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "$secret did not change within a minute: kubectl describe externalsecret $external"
    sleep 1
  done
  cluster rollout restart deployment --selector app.kubernetes.io/component=gateway > /dev/null
  cluster rollout status deployment --selector app.kubernetes.io/component=gateway --timeout 10m
}

announce() {
  change "
if it.get('previous_secrets'): sys.exit('a rotation is under way: go on with switch or retire')
it['previous_secrets'] = new"
  roll_out
  echo "announced: every gateway knows the new secret"
}

switch() {
  change "
if not it.get('previous_secrets'): sys.exit('there is no new secret: begin with announce')
it['secret'], it['previous_secrets'] = it['previous_secrets'], it['secret']"
  roll_out
  echo "switched: retire in $token_seconds seconds or later"
}

retire() {
  change "it['previous_secrets'] = ''"
  roll_out
  echo "retired: the old secret is worth nothing"
}

case $step in
  announce | switch | retire) "$step" ;;
  all)
    announce
    switch
    sleep "$token_seconds"
    retire
    ;;
  *) fail "'$step': must be announce, switch, retire or all" ;;
esac
