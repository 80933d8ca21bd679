/**
 * Planted bugs: each a replacement in one file, small enough to be a slip of the hand, that the simulator must find. A row
 * whose text is no longer found in its file fails loudly: it has to follow the code. Rules that live in SQL are planted in the
 * store in memory, which stands for it; that Postgres keeps the same rules is the contract suite's to show
 * (`engine/store/contract.ts` runs against both).
 */
export type Mutant = {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
};

export const MUTANTS: readonly Mutant[] = [
  {
    name: "an accept does not look at the status",
    file: "sim/fake-store.ts",
    find: `    if (row.status === "picked_up" || (row.status === "assigned" && !row.replacing)) {
      return refused("delivery_taken");
    }
`,
    replace: "",
  },
  {
    name: "an accept does not look at the courier's load",
    file: "sim/fake-store.ts",
    find: `    if (courier.load >= courier.capacity) return refused("courier_busy");\n`,
    replace: "",
  },
  {
    name: "a repeated accept gets another time",
    file: "sim/fake-store.ts",
    find: `      return { outcome: "accepted", changed: false, row: this.#full(row) };`,
    replace: `      row.assignedAt = this.#now();
      return { outcome: "accepted", changed: false, row: this.#full(row) };`,
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
  },
  {
    name: "a key that was used is not looked up",
    file: "sim/fake-store.ts",
    find: `if (before !== undefined) return { outcome: "replayed", answer: before };`,
    replace: "",
  },
  {
    name: "a create is answered before its commit",
    file: "gateway/create.ts",
    find: "const outcome = await store.create(command);",
    replace: `const outcome = { outcome: "created" } as Awaited<ReturnType<typeof store.create>>;
    store.create(command).catch(() => undefined);`,
  },
  {
    name: "an accept is answered before its commit",
    file: "gateway/commands.ts",
    find: "const outcome = await store.accept({ delivery, courier });",
    replace: `const known = await store.delivery(delivery);
      store.accept({ delivery, courier }).catch(() => undefined);
      if (known === null) throw new DispatchError("not_found");
      const row = { ...known, assignedAt: known.createdAt, courierId: courier };
      const outcome = { outcome: "accepted", row } as Awaited<ReturnType<typeof store.accept>>;`,
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
  },
  {
    name: "a resumed search has forgotten whom it asked",
    file: "actors/search-state.ts",
    find: "    asked: row.asked,",
    replace: "    asked: [],",
  },
  {
    name: "an owner does not step down",
    file: "engine/ownership.ts",
    find: `      if (event.type === "yield") return { at: "yielding", epoch: state.epoch };
      return isOver(state.epoch, event) ? STANDBY : state;`,
    replace: `      if (event.type === "yield") return { at: "yielding", epoch: state.epoch };
      return state;`,
  },
  {
    name: "silence of a node is never noticed",
    file: "engine/membership.ts",
    find: `const isSuspect = peer.isSuspect || isSilent;`,
    replace: `const isSuspect = peer.isSuspect && isSilent;`,
  },
  {
    name: "frames of an older epoch are shown",
    file: "sdk/courier-client.ts",
    find: "    if (frame.epoch < this.#streamEpoch) return false;\n",
    replace: "",
  },
  {
    name: "the session of a gateway that died is kept",
    file: "actors/courier.ts",
    find: "  if (c.session?.session === session.session) return [c];",
    replace: "  if (c.session !== null) return [c];",
  },
  {
    name: "events that could not be published are marked as published",
    file: "engine/outbox.ts",
    find: "await this.#ports.store.outboxDone(published.map((row) => row.event.id));",
    replace: "await this.#ports.store.outboxDone(rows.map((row) => row.event.id));",
  },
  {
    name: "a watcher may be shown an older version",
    file: "gateway/tracking.ts",
    find: "if (view.version !== follower.version) return view.version > follower.version;",
    replace: "if (view.version !== follower.version) return true;",
  },
  {
    name: "positions are shown of whoever a customer asks for",
    file: "gateway/policy.ts",
    find: `return row.owner === principal.subject && (isReading(action) || action === "cancel");`,
    replace: `return isReading(action) || (row.owner === principal.subject && action === "cancel");`,
  },
];
