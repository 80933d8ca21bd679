/**
 * Planted bugs around outages that nobody listed, and around two of everything: what an error says,
 * processes that lost NATS, streams that are gone, keys and pages that several customers share,
 * clocks that are set.
 */
import type { Hunt, Mutant } from "./mutants.ts";

/** Every kind of fault comes. */
const DENSE: Partial<Hunt> = { minutes: 6, couriers: 20, draw: "all" };
const CALM: Partial<Hunt> = { minutes: 1, couriers: 20, isCalm: true };

export const MORE_MUTANTS: readonly Mutant[] = [
  {
    name: "any SQLSTATE of a statement is a refusal",
    file: "engine/io/postgres/verdict.ts",
    find: `  if (row === undefined) return verdict("unknown", {});
`,
    replace: `  if (row?.about !== "command") return verdict("command", {});
`,
    hunt: { minutes: 10, couriers: 20, draw: "all" },
  },
  {
    name: "a refusal seen once buries a create",
    file: "engine/streams/intake.ts",
    find: `held.refusals >= INTAKE_REFUSALS_MIN && now - held.refusedSince >= INTAKE_REFUSED_MIN_MS;`,
    replace: `held.refusals >= 1;`,
    hunt: DENSE,
  },
  {
    name: "an error of the database is answered 500",
    file: "engine/io/postgres/verdict.ts",
    find: `    super("unavailable", undefined, { cause });`,
    replace: `    super("internal", undefined, { cause });`,
  },
  {
    name: "a store error parks an actor",
    file: "engine/host/host.ts",
    find: `      // Whatever the store says, the step was right: it waits until it can be recorded.
      if (resident.mode === "gone") return this.#dropCommit(request);
`,
    replace: `      if (resident.mode === "gone") return this.#dropCommit(request);
      if (attempt > 0) {
        this.#commits -= 1;
        return this.#park(resident, envelope, error);
      }
`,
  },
  {
    name: "sessions that began on a read-only server are kept",
    file: "engine/io/postgres/verdict.ts",
    find: `"25": { about: "server", again: true, renew: true }`,
    replace: `"25": { about: "server", again: true }`,
    hunt: DENSE,
  },
  {
    name: "closed means stop: a node goes on without NATS",
    file: "sim/sim-node.ts",
    find: "    bus.onLost = () => this.#lostNats(run);\n",
    replace: "",
    hunt: DENSE,
  },
  {
    name: "closed means stop: a gateway goes on without NATS",
    file: "sim/sim-gateway.ts",
    find: "    bus.onLost = () => this.#lostNats(run);\n",
    replace: "",
    hunt: DENSE,
  },
  {
    name: "streams are made at the start only",
    file: "engine/lifecycle.ts",
    find: "[runtime.relay, runtime.intake, ...(keeper ? [keeper] : [])]",
    replace: "[runtime.relay, runtime.intake]",
    hunt: DENSE,
  },
  {
    name: "a create is answered 202 before the stream has it",
    file: "gateway/operations/spool.ts",
    find: "const { seq, isDuplicate } = await this.#publish(accepted);",
    replace: `this.#publish(accepted).catch(() => undefined);
    const { seq, isDuplicate } = { seq: 0, isDuplicate: false };`,
  },
  {
    name: "a key under way holds up whoever brings the same",
    file: "gateway/operations/idempotency.ts",
    find: "const name = `${key.principal}\\n${key.key}`;",
    replace: "const name = key.key;",
    hunt: CALM,
  },
  {
    name: "a stored key is not scoped to its customer",
    file: "sim/fake-answers.ts",
    find: "JSON.stringify([principal, key])",
    replace: "JSON.stringify([principal.length > 99, key])",
    hunt: CALM,
  },
  {
    name: "a frame is cached by its courier",
    file: "gateway/follow/fan-out.ts",
    find: `    let encoded = frames.get(followed);
    if (encoded === undefined) {
      const item = this.#itemOf(followed, now);
      encoded =
        item === null
          ? null
          : { at: item.at, bytes: serverFrames.encode({ type: "positions", positions: [item] }) };
      frames.set(followed, encoded);
`,
    replace: `    const mine = (followed.row?.courierId ?? followed) as unknown as Followed;
    let encoded = frames.get(mine);
    if (encoded === undefined) {
      const item = this.#itemOf(followed, now);
      encoded =
        item === null
          ? null
          : { at: item.at, bytes: serverFrames.encode({ type: "positions", positions: [item] }) };
      frames.set(mine, encoded);
`,
    hunt: { minutes: 4, couriers: 10, isCalm: true },
  },
  {
    name: "a page of a list begins with the last row of the one before",
    file: "sim/fake-rows.ts",
    find: "row.id < before.id",
    replace: "row.id <= before.id",
    hunt: CALM,
  },
  {
    name: "times of a delivery follow the database's clock back",
    file: "sim/fake-rows.ts",
    find: "own.changedAt = Math.max(own.changedAt, now);",
    replace: "own.changedAt = now;",
    hunt: DENSE,
  },
];
