#!/bin/sh
# Starts the process that the first word names. `exec`, so that SIGTERM reaches it and it can drain. Its first module
# catches signals: as process 1 of a container (no `--init`, no `init: true`) it would otherwise not hear one that comes
# while it loads the others. Node raises the limit of open files to the hard one by itself.
set -eu
cd "$(dirname "$0")"
case "${1:-}" in
  node) exec node --enable-source-maps --max-semi-space-size=32 --import ./dist/engine/io/signals-first.js dist/engine/node.js ;;
  gateway) exec node --enable-source-maps --max-semi-space-size=32 --import ./dist/engine/io/signals-first.js dist/gateway/main.js ;;
  migrate) exec node --enable-source-maps --max-semi-space-size=32 --import ./dist/engine/io/signals-first.js dist/scripts/migrate.js ;;
  *)
    echo "say which process to run: node, gateway or migrate" >&2
    exit 2
    ;;
esac
