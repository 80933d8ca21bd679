/**
 * Planted bugs: each a replacement in one file, small enough to be a slip of the hand, that the
 * simulator must find. A row whose text is no longer found in its file fails loudly: it has to
 * follow the code. Rules that live in SQL are planted in the store in memory, which stands for it;
 * that Postgres keeps the same rules is the contract suite's to show (`engine/store/contract.ts`
 * runs against both).
 */
import type { Draw } from "./faults.ts";
import { MORE_MUTANTS } from "./mutants-kinds.ts";

export type Mutant = {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The world in which it is looked for; what suffices to find it is enough. Default: `HUNT`. */
  readonly hunt?: Partial<Hunt>;
};

export type Hunt = {
  readonly minutes: number;
  readonly couriers: number;
  /** Without faults and noise. */
  readonly isCalm: boolean;
  readonly draw: Draw;
};

/** How often its text stands in the text of its file: once, or it cannot be planted. */
export const placesOf = ({ find }: Mutant, text: string): number => text.split(find).length - 1;

export const HUNT: Hunt = { minutes: 2, couriers: 20, isCalm: false, draw: "some" };
/** For rules that break as soon as people do what people do. */
const CALM: Partial<Hunt> = { minutes: 1, couriers: 20, isCalm: true };

export const MUTANTS: readonly Mutant[] = [
  {
    name: "an accept does not look at the status",
    file: "sim/fake-store.ts",
    find: `    if (row.status === "picked_up" || (row.status === "assigned" && !row.replacing)) {
      return refused("delivery_taken");
    }
`,
    replace: "",
    hunt: CALM,
  },
  {
    name: "an accept does not look at the courier's load",
    file: "sim/fake-store.ts",
    find: `    if (courier.load >= courier.capacity) return refused("courier_busy");\n`,
    replace: "",
    hunt: CALM,
  },
  {
    name: "a repeated accept gets another time",
    file: "sim/fake-store.ts",
    find: `      return { outcome: "accepted", changed: false, row: this.#full(row) };`,
    replace: `      row.assignedAt = this.#now();
      return { outcome: "accepted", changed: false, row: this.#full(row) };`,
    hunt: CALM,
  },
  {
    name: "writes do not look at the epoch",
    file: "sim/fake-store.ts",
    find: `    if (this.#owners.get(shard)?.epoch !== epoch) return { outcome: "fenced" };\n`,
    replace: "",
  },
  {
    name: "the outbox row is written after the commit, and sometimes never",
    file: "sim/fake-store.ts",
    find: "    this.#outbox.push({",
    replace: "    if (this.#now() % 50 !== 0) this.#outbox.push({",
    hunt: CALM,
  },
  {
    name: "a key that was used is not looked up",
    file: "sim/fake-store.ts",
    find: `if (before !== null) return { outcome: "replayed", answer: before };`,
    replace: "",
    hunt: CALM,
  },
  {
    name: "a key does not name its delivery",
    file: "gateway/operations/create.ts",
    find: "keyedDeliveryId(shard, digest, test)",
    replace: "newDeliveryId(shard, now, deps.random, test)",
    hunt: { minutes: 3, couriers: 10 },
  },
  {
    name: "a create that Postgres cannot take yet is dropped from the intake",
    file: "engine/streams/intake.ts",
    find: `      return { do: "fail", error };
    }
  }`,
    replace: `      return { do: "drop" };
    }
  }`,
  },
  {
    name: "who was answered 202 is told that there is no such delivery",
    file: "gateway/follow/tracking.ts",
    find: "      if (found === null) await this.#spool.refuseIfTaken(link.principal, id);\n",
    replace: "",
  },
  {
    name: "a create is answered before its commit",
    file: "gateway/operations/create.ts",
    find: "const outcome = await store.create(command);",
    replace: `const outcome = { outcome: "created" } as Awaited<ReturnType<typeof store.create>>;
    store.create(command).catch(() => undefined);`,
    hunt: CALM,
  },
  {
    name: "an accept is answered before its commit",
    file: "gateway/operations/commands.ts",
    find: "const outcome = await store.accept({ delivery, courier });",
    replace: `const known = await store.delivery(delivery);
      store.accept({ delivery, courier }).catch(() => undefined);
      if (known === null) throw new DispatchError("not_found");
      const row = { ...known, assignedAt: known.createdAt, courierId: courier };
      const outcome = { outcome: "accepted", row } as Awaited<ReturnType<typeof store.accept>>;`,
    hunt: CALM,
  },
  {
    name: "there is no sweep",
    file: "engine/lifecycle.ts",
    find: "    repeat(clock, settings.SWEEP_MS, () => runtime.sweep.once()),\n",
    replace: "",
  },
  {
    name: "a courier who declines stays held",
    file: "actors/search.ts",
    find: `      release(courier, ctx.job, "declined"),\n`,
    replace: "",
    hunt: CALM,
  },
  {
    name: "a decline is forgotten when another owner is promoted",
    file: "actors/search.ts",
    find: `      commitRound(fewer, lookAt, "searching", ctx),\n`,
    replace: "",
    hunt: { minutes: 2, couriers: 20, draw: "all" },
  },
  {
    name: "a resumed search has forgotten whom it asked",
    file: "actors/search-state.ts",
    find: "    asked: row.asked,",
    replace: "    asked: [],",
  },
  {
    name: "what an owner could not write is written when it owns the shard again",
    file: "engine/host/host.ts",
    find: `        if (resident.mode === "gone") this.#dropCommit(request);
        else void`,
    replace: "        void",
    hunt: { minutes: 10, couriers: 30, draw: "some" },
  },
  {
    name: "an owner does not step down",
    file: "engine/cluster/ownership.ts",
    find: `      if (event.type === "yield") return { at: "yielding", epoch: state.epoch };
      return isOver(state.epoch, event) ? STANDBY : state;`,
    replace: `      if (event.type === "yield") return { at: "yielding", epoch: state.epoch };
      return state;`,
  },
  {
    name: "silence of a node is never noticed",
    file: "engine/cluster/membership.ts",
    find: `    if (silentMs > times.suspectMs * FORGET_AFTER) continue;
    const isSilent = !isCutOff &&`,
    replace: `    const isSilent = silentMs > times.suspectMs * FORGET_AFTER && silentMs < 0 && !isCutOff &&`,
  },
  {
    name: "a frame that came twice is shown twice",
    file: "sdk/offer-book.ts",
    find: `    if (epoch === this.#epoch && number <= this.#number) return { isNews: false, missed: 0 };\n`,
    replace: "",
  },
  {
    name: "a courier who is loaded again numbers its frames from 0",
    file: "actors/courier.ts",
    find: "    frameNo: now,",
    replace: "    frameNo: 0,",
    // No faults: it takes minutes in one epoch.
    hunt: { minutes: 10, couriers: 20, isCalm: true },
  },
  {
    name: "a new owner numbers records below those of the one before",
    file: "actors/courier.ts",
    find: "    recordNo: Math.max(record?.no ?? 0, firstRecordNo(ctx.epoch)),",
    replace: "    recordNo: 0,",
  },
  {
    name: "a follower's gaps are not closed",
    file: "engine/lifecycle.ts",
    find: "  runtime.onGap = closingGaps(runtime);\n",
    replace: "",
  },
  {
    name: "the session of a gateway that died is kept",
    file: "actors/courier.ts",
    find: "  return showAll(isSame ? c : { ...c, session }, now, ctx);",
    replace: "  return showAll(isSame || c.session !== null ? c : { ...c, session }, now, ctx);",
  },
  {
    name: "events that could not be published are marked as published",
    file: "engine/streams/outbox.ts",
    find: "await this.#ports.store.outboxDone(published.map((row) => row.event.id));",
    replace: "await this.#ports.store.outboxDone(rows.map((row) => row.event.id));",
  },
  {
    name: "an event that could not be published does not hold back the next",
    file: "engine/streams/outbox.ts",
    find: `        const failure = error instanceof Error ? error : new Error(String(error));
        return { published, failure };`,
    replace: `        this.#ports.onFailed(error);
        continue;`,
    hunt: { minutes: 4, couriers: 20, draw: "all" },
  },
  {
    name: "positions are shown of whoever a customer asks for",
    file: "gateway/access/policy.ts",
    find: `    case "partner":
      return row.owner === principal.subject;`,
    replace: `    case "partner":
      return action !== "cancel" || row.owner === principal.subject;`,
    hunt: CALM,
  },
  {
    name: "there is no watchdog: who consumes the intake ends at the first silence",
    file: "engine/streams/intake.ts",
    find: `        this.#ports.onFailed(error);
        await this.#pause(`,
    replace: `        this.#ports.onFailed(error);
        return;
        await this.#pause(`,
  },
  {
    name: "there is no watchdog: the row of a followed delivery is not read again by itself",
    file: "gateway/follow/tracking.ts",
    find: "if (followed.rereadAt <= now) this.#refresh(followed);",
    replace: "if (followed.rereadAt <= -now) this.#refresh(followed);",
  },
  {
    name: "a watcher who comes back is told from the wrong number on",
    file: "gateway/follow/tracking.ts",
    find: "this.#passed.between(followed, after, view.version)",
    replace: "this.#passed.between(followed, after === null ? null : after + 1, view.version)",
    hunt: { minutes: 4, couriers: 20, draw: "all" },
  },
  {
    name: "a watcher who comes back asks from the wrong number on",
    file: "sdk/customer-client.ts",
    find: "after: tracking.toldVersion }",
    replace: "after: tracking.toldVersion === null ? null : tracking.toldVersion + 1 }",
  },
  {
    name: "a delivery that waits has no reason",
    file: "actors/search-state.ts",
    find: "reason: replacing?.reason ?? reason,",
    replace: "reason: replacing?.reason ?? null,",
    hunt: CALM,
  },
  ...MORE_MUTANTS,
];
