#!/bin/sh
# Starts the process that the first word names. `exec`, so that SIGTERM reaches it and it can drain.
set -eu
cd "$(dirname "$0")"
case "${1:-}" in
  node) exec node --enable-source-maps --max-semi-space-size=32 dist/engine/node.js ;;
  gateway) exec node --enable-source-maps --max-semi-space-size=32 dist/gateway/main.js ;;
  migrate) exec node --enable-source-maps --max-semi-space-size=32 dist/scripts/migrate.js ;;
  *)
    echo "say which process to run: node, gateway or migrate" >&2
    exit 2
    ;;
esac
