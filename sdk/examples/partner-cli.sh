#!/bin/sh
# A partner with the plain `nats` program (https://github.com/nats-io/natscli): asks for a test, then reads its events.
#
#   npm run -s partner -- add test_acme > test_acme.nk
#   KEY=test_acme.nk sh sdk/examples/partner-cli.sh
set -eu
NAME=${NAME:-test_acme}
PREFIX=${PREFIX:-hd}
STREAM=$(printf %s "$PREFIX" | tr a-z A-Z)_EVENTS

partner() {
  nats --server "${SERVER:-127.0.0.1:4222}" --nkey "$KEY" --inbox-prefix "$PREFIX.v1.inbox.$NAME" \
    --js-api-prefix "$PREFIX.v1.js.$NAME" "$@"
}

partner request "$PREFIX.v1.req.$NAME.delivery.create" --header "Nats-Msg-Id:order-1" '{
  "origin": {"lat": 37.7879, "lng": -122.4075}, "destination": {"lat": 37.7599, "lng": -122.4148},
  "package_size": "small", "phone": "+1-415-555-0100", "test_scenario": "returned" }'
partner consumer next "$STREAM" "p_$NAME" --count 4 --ack --wait 120s
