// Planted bugs of outages: what the process takes a refusal, a silence or a closed door for.

import type { Planted } from "./planted-bug.ts";

const PROBE = "gateway/backend/postgres-probe.itest.ts";
const OF_NATS = "engine/io/nats/outages.itest.ts";

export const BUGS_OF_OUTAGES: readonly Planted[] = [
  {
    name: "any SQLSTATE is a refusal of the command",
    kind: "outages",
    file: "engine/io/postgres/verdict.ts",
    find: "const row = STATES[code] ?? STATES[code.slice(0, 2)];",
    replace: `const row: Row | undefined = { about: "command" };`,
    test: {
      file: "engine/streams/intake.test.ts",
      name: "ends nothing that was acknowledged, for hours",
    },
  },
  {
    name: "a refused login is about the command that waited for it",
    kind: "outages",
    file: "engine/io/postgres/verdict.ts",
    find: `  if (!wasSent) return verdict("connection", { again });\n`,
    replace: "",
    test: {
      file: "engine/io/postgres/verdict.test.ts",
      name: "every SQLSTATE before the statement was sent is about the connection",
    },
  },
  {
    name: "a session that is ended has refused its row",
    kind: "outages",
    file: "engine/io/postgres/verdict.ts",
    find: `return isEnded ? verdict("server", {}) : verdict`,
    replace: "return verdict",
    test: {
      file: "engine/io/postgres/verdict.test.ts",
      name: "a session that ends with a data code was not refused a row",
    },
  },
  {
    name: "the probe only reads",
    kind: "outages",
    file: "engine/store/probe.ts",
    find: "await db.query(LOOK, [], { repeat: false });",
    replace: `await db.query("select 1", [], { repeat: false });`,
    test: { file: PROBE, name: "while a grant is missing" },
  },
  {
    name: "the probe commits nothing",
    kind: "outages",
    file: "gateway/backend/postgres-probe.ts",
    find: "(underWay ??= probeWrite(writing, name)\n",
    replace: "(underWay ??= probeLook(writing)\n",
    test: { file: PROBE, name: "while nothing can be committed" },
  },
  {
    name: "the pools are kept after a server that only reads",
    kind: "outages",
    file: "gateway/backend/postgres-probe.ts",
    find: "if (isStale(error)) for (const pool of pools) pool.renew();\n",
    replace: "",
    test: { file: PROBE, name: "while it only reads, and the sessions that were begun there" },
  },
  {
    name: "a pool that met a server that only reads is kept",
    kind: "outages",
    file: "engine/io/postgres/postgres.ts",
    find: "if (verdict?.renew === true || isLost === true) pool.wearOut(current);",
    replace: "if (isLost === true) pool.wearOut(current);",
    test: {
      file: "engine/io/postgres/errors.itest.ts",
      name: "a pool that reached a server that only reads is thrown away",
    },
  },
  {
    name: "one refusal buries a create, whatever else the database takes",
    kind: "outages",
    file: "engine/streams/intake.ts",
    find: "if (isRefusal(error) && !isOutage) await this.#refused(held, error);",
    replace: "if (isRefusal(error)) await this.#refused(held, error);",
    test: {
      file: "engine/streams/intake.test.ts",
      name: "nor does one that comes again and again while no write of our own succeeds",
    },
  },
  {
    name: "the second refusal at NATS closes the client for good",
    kind: "outages",
    file: "engine/io/nats/connect.ts",
    find: "    ignoreAuthErrorAbort: true,\n",
    replace: "",
    test: { file: OF_NATS, name: "refused credentials are sat out" },
  },
  {
    name: "a connection that closed is taken for an orderly stop",
    kind: "outages",
    file: "engine/io/nats/link.ts",
    find: "if (!isAsked) onLost(",
    replace: "if (isAsked) onLost(",
    test: { file: OF_NATS, name: "a connection that closes unasked is reported" },
  },
  {
    name: "the gate for NATS servers holds at the start only",
    kind: "outages",
    file: "engine/io/nats/watch.ts",
    find: `      checkServer(info?.version ?? "0.0.0", info?.jetstream === true);\n`,
    replace: `      void info;\n`,
    test: { file: OF_NATS, name: "the gate holds at a reconnect" },
  },
  {
    name: "streams are made at the start only",
    kind: "outages",
    file: "engine/streams/keeper.ts",
    find: "  #arm(delayMs: number): void {\n",
    replace: "  #arm(delayMs: number): void {\n    if (this.#lookedAt > 0) return;\n",
    test: {
      file: "engine/streams/keeper.itest.ts",
      name: "a server that comes back with an empty disk gets its streams again",
    },
  },
];
