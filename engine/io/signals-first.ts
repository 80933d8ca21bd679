/**
 * Catches the signals that end a process before its modules are loaded, which takes the better part
 * of a second. Named to Node by `--import` (`deploy/entrypoint.sh`, `scripts/run/node-flags.ts`),
 * and imported first by the gateway.
 */
import { catchSignals } from "./signals.ts";

catchSignals();
