#!/usr/bin/env bash
# rotate_vehicle_authority.sh ENVIRONMENT REGION STEP [FOLDER]: a new authority for vehicles in the place of the one that is
# used, where the chart makes its Secrets (externalSecrets.vehicleTls); no vehicle is sent away. STEP is
#   announce   the new one, vehicle-ca.pem and vehicle-ca.key of FOLDER: connectors trust its vehicles too
#   switch     what is issued from now on is of the new one
#   retire     the old one is trusted no more; not before every vehicle has renewed (60 days)
# Each changes sovd/ENVIRONMENT/{vehicle-ca,vehicle-tls} in AWS Secrets Manager and rolls out those that have to know. Needs
# aws and kubectl, logged in. From the environment: NAMESPACE (sovd), CA_SECRET, TLS_SECRET (values vehicleTls.caSecretName
# and vehicleTls.secretName).
set -euo pipefail

[ $# = 3 ] || { [ $# = 4 ] && [ "$3" = announce ]; } || {
  echo "rotate_vehicle_authority.sh: usage: rotate_vehicle_authority.sh ENVIRONMENT REGION announce FOLDER | switch | retire" >&2
  exit 2
}
environment=$1 region=$2 step=$3 folder=${4:-}
scripts=${BASH_SOURCE[0]%/*}
# shellcheck source=scripts/secret_rotation.bash
. "$scripts/secret_rotation.bash"
ca=${CA_SECRET:-sovd-webapp-vehicle-ca} tls=${TLS_SECRET:-sovd-webapp-vehicle-tls}

announce() {
  [ -n "$folder" ] || fail "announce: the FOLDER of the new authority is missing"
  "$scripts/check_key_pair.sh" "$folder/vehicle-ca.pem" "$folder/vehicle-ca.key" || exit 2
  FOLDER=$folder change vehicle-ca "
import os, pathlib
folder = pathlib.Path(os.environ['FOLDER'])
certificate = (folder / 'vehicle-ca.pem').read_text()
if it['certificate'] == certificate: sys.exit('it is the authority that is used')
if it.get('next_certificate', certificate) != certificate: sys.exit('a rotation is under way: go on with switch')
it['next_certificate'], it['next_key'] = certificate, (folder / 'vehicle-ca.key').read_text()"
  FOLDER=$folder change vehicle-tls "
import os, pathlib
certificate = (pathlib.Path(os.environ['FOLDER']) / 'vehicle-ca.pem').read_text()
if certificate not in it['vehicle_authority']: it['vehicle_authority'] = it['vehicle_authority'].rstrip() + '\\n' + certificate"
  roll_out vehicle-connector "$tls" "$tls"
  echo "announced: the connectors trust vehicles of both"
}

switch() {
  change vehicle-ca "
if 'next_key' not in it: sys.exit('there is no new authority: begin with announce')
it['certificate'], it['key'] = it.pop('next_certificate'), it.pop('next_key')"
  roll_out command-service "$ca" "$ca"
  echo "switched: retire when every vehicle has renewed, 60 days from now"
}

retire() {
  local used
  used=$(manager get-secret-value --secret-id "sovd/$environment/vehicle-ca" --query SecretString --output text)
  USED=$used change vehicle-tls "
import os
used = json.loads(os.environ['USED'])
if 'next_key' in used: sys.exit('the new authority is not used yet: switch first')
it['vehicle_authority'] = used['certificate']"
  roll_out vehicle-connector "$tls" "$tls"
  echo "retired: the old authority is worth nothing"
}

case $step in
  announce | switch | retire) "$step" ;;
  *) fail "'$step': must be announce, switch or retire" ;;
esac
