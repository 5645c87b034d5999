#!/usr/bin/env bash
# check_key_pair.sh CERTIFICATE KEY: fails, and says why, unless they are PEM files that belong together.
set -euo pipefail
certificate=$1 key=$2
of_certificate=$(openssl x509 -in "$certificate" -noout -pubkey 2> /dev/null) || {
  echo "$certificate: is no certificate (PEM)" >&2
  exit 2
}
of_key=$(openssl pkey -in "$key" -passin pass: -pubout 2> /dev/null) || {
  echo "$key: is no private key without a passphrase (PEM)" >&2
  exit 2
}
[ "$of_certificate" = "$of_key" ] || {
  echo "$key: is not the key of $certificate" >&2
  exit 2
}
