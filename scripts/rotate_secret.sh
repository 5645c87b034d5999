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

[ $# = 3 ] || [ $# = 4 ] || {
  echo "rotate_secret.sh: usage: rotate_secret.sh ENVIRONMENT REGION announce|switch|retire|all [jwt|service-token]" >&2
  exit 2
}
environment=$1 region=$2 step=$3 which=${4:-jwt}
# shellcheck source=scripts/secret_rotation.bash
. "${BASH_SOURCE[0]%/*}/secret_rotation.bash"
external=${EXTERNAL_SECRET:-sovd-webapp-external-secrets} secret=${SECRET:-sovd-webapp-secrets}
case $which in
  jwt) current=secret previous=previous_secrets verify=gateway use=gateway wait=${WAIT_SECONDS:-900} ;;
  service-token)
    current=service_token previous=service_previous_tokens
    verify=command-service use="gateway,vehicle-connector" wait=${WAIT_SECONDS:-120}
    ;;
  *) fail "'$which': must be jwt or service-token" ;;
esac

announce() {
  NEW=$(openssl rand -hex 48) change jwt "
import os
if it.get('$previous'): sys.exit('a rotation is under way: go on with switch or retire')
it['$previous'] = os.environ['NEW']"
  roll_out "$verify" "$external" "$secret"
  echo "announced: every $verify knows the new secret"
}

switch() {
  change jwt "
if not it.get('$previous'): sys.exit('there is no new secret: begin with announce')
it['$current'], it['$previous'] = it['$previous'], it['$current']"
  roll_out "$use" "$external" "$secret"
  echo "switched: retire in $wait seconds or later"
}

retire() {
  change jwt "it['$previous'] = ''"
  roll_out "$verify" "$external" "$secret"
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
