import { describe, expect, it } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import { INTAKE_REFUSED_MIN_MS, INTAKE_UNREADABLE_MIN_MS } from "../../proto/limits.ts";
import { encodeIntake, decodeIntake } from "./intake-command.ts";
import { Intake } from "./intake.ts";
import type { IntakeItem } from "./intake.ts";
import { SERVER_CASES, failureOf } from "../io/postgres/verdict-cases.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { createOf } from "../store/contract/world.ts";
import type { CreateCommand, CreateOutcome } from "../store/port.ts";

const START = 1_800_000_100_000;
const keyed = (name: string, fingerprint = "f", more: Partial<CreateCommand> = {}): CreateCommand =>
  createOf({}, { idempotency: { principal: "p", key: name, fingerprint }, ...more });

const thrown = (code: string, phase = "statement"): Error =>
  failureOf(SERVER_CASES.find((row) => row.code === code && row.phase === phase)!);
const BURIED_AFTER_MS = INTAKE_REFUSED_MIN_MS * 2;

/** A stream in an array, a store in a function; several workers may share them. */
function drive() {
  const clock = new VirtualClock(START);
  const waiting: { data: Uint8Array; seq: number; out: boolean }[] = [];
  const told: string[] = [];
  const counts: string[] = [];
  const buried: string[] = [];
  const created: CreateCommand[] = [];
  const away = { isStoreAway: false, isProbeAway: false, isStreamAway: false, isGraveAway: false };
  const state = { ...away, holds: 0 };
  /** What the store throws at a create with these notes. */
  const failures = new Map<string, Error>([["poison", thrown("23514")]]);
  const judge = (command: CreateCommand): CreateOutcome => {
    if (state.isStoreAway) throw new DispatchError("unavailable");
    const failure = failures.get(command.notes ?? "");
    if (failure !== undefined) throw failure;
    const { id, createdAt } = command.job;
    const isOurs = ({ job }: CreateCommand): boolean =>
      job.id === id && job.createdAt === createdAt;
    if (created.some(isOurs)) return { outcome: "created" };
    const same = created.find(
      ({ idempotency }) => idempotency !== null && idempotency.key === command.idempotency?.key,
    );
    if (same?.idempotency) {
      const { fingerprint } = same.idempotency;
      return { outcome: "replayed", answer: { fingerprint, ...same.answer } };
    }
    created.push(command);
    return { outcome: "created" };
  };
  const itemOf = (entry: (typeof waiting)[number], behind: number): IntakeItem => ({
    seq: entry.seq,
    at: START - 5_000,
    data: entry.data,
    behind,
    done: () => void waiting.splice(waiting.indexOf(entry), 1),
    hold: () => void state.holds++,
    giveBack: () => void (entry.out = false),
  });
  const newWorker = (): Intake =>
    new Intake({
      clock,
      store: {
        create: (command) => new Promise((resolve) => resolve(judge(command))),
        ping: () =>
          state.isStoreAway || state.isProbeAway
            ? Promise.reject(new DispatchError("unavailable"))
            : Promise.resolve(),
      },
      queue: {
        async fetch(max, waitMs) {
          if (state.isStreamAway) throw new Error("no answer");
          const free = waiting.filter(({ out }) => !out).slice(0, max);
          if (free.length === 0) await new Promise<void>((r) => void clock.after(waitMs, r));
          for (const entry of free) entry.out = true;
          return free.map((entry, i) => itemOf(entry, free.length - i - 1));
        },
        bury: ({ seq }, why) => {
          if (state.isGraveAway) return Promise.reject(new Error("no ack"));
          buried.push(`${seq} ${why}`);
          return Promise.resolve();
        },
      },
      onCreated: (job) => void told.push(job.id),
      onCount: (what) => void counts.push(what),
      onFailed: () => undefined,
      onBuried: () => undefined,
    });
  let seq = 0;
  const put = (...data: (CreateCommand | Uint8Array)[]): void => {
    for (const one of data) {
      const bytes = one instanceof Uint8Array ? one : encodeIntake(one);
      waiting.push({ data: bytes, seq: ++seq, out: false });
    }
  };
  return { clock, waiting, told, counts, buried, created, state, failures, newWorker, put };
}

describe("the worker of the intake", () => {
  it("a create goes through the stream as it is", () => {
    const command = keyed("k", "f", {
      weightKg: 2.5,
      notes: "a\nb ☂",
      readyAt: 7,
      answer: { status: 202, body: { z: 1, a: [null] } },
    });
    expect(decodeIntake(encodeIntake(command))).toEqual({
      ...command,
      trackingHash: Uint8Array.from(command.trackingHash),
    });
    expect(decodeIntake(Buffer.from("nonsense"))).toBeNull();
  });

  it("commits in order, tells the shards in order, and gives the search the time it waited", async () => {
    const w = drive();
    const commands = [createOf(), createOf(), createOf()];
    w.put(...commands);
    const worker = w.newWorker();
    worker.start();
    await w.clock.settle();
    const ids = commands.map(({ job }) => job.id);
    expect(w.created.map(({ job }) => job.id)).toEqual(ids);
    expect(w.told).toEqual(ids);
    expect(w.waiting).toEqual([]);
    const [first] = commands;
    const waitedMs = START - first!.job.createdAt;
    expect(w.created[0]?.job.searchUntil).toBe(first!.job.searchUntil + waitedMs);
    expect(worker.waiting()).toBe(0);
    const scheduled = createOf({}, { searchAt: START + 60_000 });
    w.put(scheduled);
    await w.clock.advance(3_000);
    expect(w.created.at(-1)?.job.searchUntil).toBe(scheduled.job.searchUntil);
    await worker.stop();
  });

  it("commits all that waits, however much more than it takes at a time", async () => {
    const w = drive();
    w.put(...Array.from({ length: 401 }, () => createOf()));
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(5_000);
    expect([w.created.length, w.told.length, w.waiting.length]).toEqual([401, 401, 0]);
    await worker.stop();
  });

  it("holds what it has while Postgres is away, shows the lag, and goes on by itself", async () => {
    const w = drive();
    w.state.isStoreAway = true;
    w.put(createOf(), createOf());
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(10_000);
    expect([w.told, worker.waiting(), worker.lagS()]).toEqual([[], 2, 15]);
    expect(w.state.holds).toBeGreaterThan(5);
    expect(w.state.holds).toBeLessThan(50);
    w.state.isStoreAway = false;
    await w.clock.advance(1_000);
    expect([w.told.length, w.waiting.length, worker.lagS()]).toEqual([2, 0, 0]);
    await worker.stop();
  });

  it("buries what is refused again and again while writes succeed, and it holds up nobody", async () => {
    const w = drive();
    const good = [createOf(), createOf(), createOf()];
    w.put(good[0]!, createOf({}, { notes: "poison" }), good[1]!);
    const worker = w.newWorker();
    worker.start();
    await w.clock.settle();
    expect(w.told).toEqual(good.slice(0, 2).map(({ job }) => job.id));
    expect([w.buried, worker.waiting(), worker.setAside()]).toEqual([[], 1, 1]);
    w.put(good[2]!);
    await w.clock.advance(2_000);
    expect([w.told.length, w.buried]).toEqual([3, []]);
    await w.clock.advance(INTAKE_REFUSED_MIN_MS - 5_000);
    expect(w.buried).toEqual([]);
    await w.clock.advance(BURIED_AFTER_MS);
    expect([w.buried, w.waiting, worker.setAside()]).toEqual([["2 refused"], [], 0]);
    await worker.stop();
  });

  it("a refusal while the database takes no write proves nothing", async () => {
    const w = drive();
    w.put(createOf({}, { notes: "poison" }));
    const worker = w.newWorker();
    worker.start();
    await w.clock.settle();
    w.state.isStoreAway = true;
    await w.clock.advance(BURIED_AFTER_MS);
    expect([w.buried, w.waiting.length]).toEqual([[], 1]);
    await worker.stop();
  });

  it("nor does one that comes again and again while no write of our own succeeds", async () => {
    const w = drive();
    w.state.isProbeAway = true;
    w.put(createOf({}, { notes: "poison" }));
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(2 * BURIED_AFTER_MS);
    expect([w.buried, w.waiting.length]).toEqual([[], 1]);
    w.state.isProbeAway = false;
    await w.clock.advance(2 * BURIED_AFTER_MS);
    expect([w.buried.length, w.waiting.length]).toEqual([1, 0]);
    await worker.stop();
  });

  it.each(SERVER_CASES.filter(({ about }) => about !== "command"))(
    "$phase: $name ($code) ends nothing that was acknowledged, for hours",
    async (row) => {
      const w = drive();
      w.failures.set("waits", failureOf(row));
      const waits = createOf({}, { notes: "waits" });
      const other = createOf();
      w.put(waits, other);
      const worker = w.newWorker();
      worker.start();
      await w.clock.settle();
      expect(w.told, "it holds up nobody").toEqual([other.job.id]);
      await w.clock.advance(600_000);
      expect([w.buried, worker.setAside()]).toEqual([[], 1]);
      w.failures.clear();
      await w.clock.advance(16_000);
      expect([w.told, w.waiting]).toEqual([[other.job.id, waits.job.id], []]);
      await worker.stop();
    },
  );

  it("what fails with anything else waits as well: a bug of ours is no refusal", async () => {
    const w = drive();
    w.failures.set("bug", new TypeError("x is not a function"));
    w.failures.set("full", new DispatchError("overloaded"));
    w.put(createOf({}, { notes: "bug" }), createOf({}, { notes: "full" }));
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(600_000);
    expect([w.buried, worker.waiting()]).toEqual([[], 2]);
    await worker.stop();
  });

  it("what cannot be read waits for a node that can, and is buried when none came", async () => {
    const w = drive();
    const good = createOf();
    w.put(Buffer.from("of a newer version"), good);
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(INTAKE_UNREADABLE_MIN_MS - 20_000);
    expect([w.told, w.buried, worker.setAside()]).toEqual([[good.job.id], [], 1]);
    const stopped = worker.stop();
    await w.clock.advance(2_000);
    await stopped;
    expect(w.waiting[0]?.out, "given to whoever comes").toBe(false);
    const next = w.newWorker();
    next.start();
    await w.clock.advance(INTAKE_UNREADABLE_MIN_MS - 20_000);
    expect(w.buried).toEqual([]);
    await w.clock.advance(60_000);
    expect([w.buried, w.waiting]).toEqual([["1 unreadable"], []]);
    await next.stop();
  });

  it("hundreds that are set aside hold up nobody", async () => {
    const w = drive();
    w.failures.set("waits", thrown("P0001"));
    w.put(...Array.from({ length: 300 }, () => createOf({}, { notes: "waits" })), createOf());
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(5_000);
    expect([w.told.length, worker.setAside()]).toEqual([1, 300]);
    await worker.stop();
  });

  it("keeps what it cannot bury yet", async () => {
    const w = drive();
    w.state.isGraveAway = true;
    w.put(createOf({}, { notes: "poison" }));
    const worker = w.newWorker();
    worker.start();
    await w.clock.advance(BURIED_AFTER_MS);
    expect(w.waiting.length).toBe(1);
    w.state.isGraveAway = false;
    await w.clock.advance(16_000);
    expect([w.buried, w.waiting]).toEqual([["1 refused"], []]);
    await worker.stop();
  });

  it("D4: drops a create whose key was committed by the first attempt", async () => {
    const w = drive();
    const first = keyed("k");
    const body = { delivery_id: first.job.id };
    w.created.push({ ...first, answer: { status: 201, body } });
    const job = { ...first.job, createdAt: START };
    const second = keyed("k", "f", { job, answer: { status: 202, body } });
    const worker = w.newWorker();
    w.put(second);
    worker.start();
    await w.clock.settle();
    expect([w.created.length, w.waiting.length, w.buried, w.told]).toEqual([1, 0, [], []]);
    expect(w.counts).toEqual(["repeated"]);
    await worker.stop();
  });

  it("D3: a key with two bodies, both acknowledged, makes two deliveries", async () => {
    const w = drive();
    const first = keyed("k", "f1");
    const second = keyed("k", "f2");
    w.created.push(first);
    w.put(second);
    const worker = w.newWorker();
    worker.start();
    await w.clock.settle();
    expect(w.created.map(({ job }) => job.id)).toEqual([first.job.id, second.job.id]);
    expect(w.created[1]?.idempotency).toBeNull();
    expect(w.told).toEqual([second.job.id]);
    await worker.stop();
  });

  it("buries a create whose key stands for a delivery of another id", async () => {
    const w = drive();
    w.created.push(keyed("k"));
    w.put(keyed("k"));
    const worker = w.newWorker();
    worker.start();
    await w.clock.settle();
    expect([w.created.length, w.buried]).toEqual([1, ["1 other_id"]]);
    await worker.stop();
  });

  it("gives back what it has when it is stopped, and another goes on; two at once double nothing", async () => {
    const w = drive();
    w.state.isStoreAway = true;
    const commands = Array.from({ length: 300 }, () => createOf());
    w.put(...commands);
    const first = w.newWorker();
    first.start();
    await w.clock.advance(500);
    const second = w.newWorker();
    second.start();
    await w.clock.advance(500);
    const stopped = first.stop();
    await w.clock.advance(100);
    await stopped;
    w.state.isStoreAway = false;
    await w.clock.advance(20_000);
    expect(w.created.length).toBe(300);
    expect(new Set(w.told).size).toBe(300);
    expect(w.waiting).toEqual([]);
    await second.stop();
  });

  it("asks the stream again when it did not answer", async () => {
    const w = drive();
    w.state.isStreamAway = true;
    const worker = w.newWorker();
    worker.start();
    w.put(createOf());
    await w.clock.advance(5_000);
    w.state.isStreamAway = false;
    await w.clock.advance(1_000);
    expect(w.told.length).toBe(1);
    await worker.stop();
  });
});
