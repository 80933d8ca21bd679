import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { DispatchError } from "../../proto/errors.ts";
import { PROBE_EVERY_MS, PROBE_TIMEOUT_MS } from "../../proto/limits.ts";
import { Circuit } from "./postgres-circuit.ts";

type Postgres = "there" | "refuses" | "silent";

function drive() {
  const clock = new VirtualClock(1_000_000);
  const state = { postgres: "there" as Postgres, probes: 0, refuseNext: 0, isFull: false };
  const asked: string[] = [];
  const changes: boolean[] = [];
  const circuit = new Circuit({
    clock,
    probe: (what) => {
      state.probes++;
      asked.push(what);
      if (state.isFull && what === "write") return Promise.reject(new Error("disk full"));
      if (state.refuseNext > 0) {
        state.refuseNext--;
        return Promise.reject(new Error("this connection broke"));
      }
      if (state.postgres === "there") return Promise.resolve();
      if (state.postgres === "refuses") return Promise.reject(new Error("refused"));
      return new Promise<void>(() => undefined);
    },
    onChange: (isOpen) => void changes.push(isOpen),
  });
  const codes: string[] = [];
  const run = (work: () => Promise<string>): void =>
    void circuit.run(work).then(
      (value) => codes.push(value),
      (error: unknown) => codes.push(error instanceof DispatchError ? error.code : "?"),
    );
  return { clock, state, asked, changes, circuit, codes, run };
}
const never = (): Promise<string> => new Promise(() => undefined);
const fails = (): Promise<string> => Promise.reject(new DispatchError("unavailable"));

describe("the circuit", () => {
  it.each(["refuses", "silent"] as const)(
    "opens within a second of Postgres being away (%s), gives up what is under way and refuses at once",
    async (postgres) => {
      const { clock, state, changes, circuit, codes, run } = drive();
      run(never);
      await clock.advance(2_000);
      expect([circuit.isOpen(), circuit.underWay(), codes]).toEqual([false, 1, []]);
      state.postgres = postgres;
      await clock.advance(PROBE_EVERY_MS + PROBE_TIMEOUT_MS);
      expect([circuit.isOpen(), codes]).toEqual([true, ["unavailable"]]);
      expect(PROBE_EVERY_MS + PROBE_TIMEOUT_MS).toBeLessThan(1_000);
      let ran = false;
      run(() => Promise.resolve(String((ran = true))));
      await clock.settle();
      expect([codes.length, ran, circuit.underWay()]).toEqual([2, false, 0]);
      expect(changes).toEqual([true]);
      circuit.stop();
    },
  );

  it("closes as soon as Postgres answers, and remembers for a while that it was open", async () => {
    const { clock, state, changes, circuit, codes, run } = drive();
    state.postgres = "refuses";
    await clock.advance(3_000);
    state.postgres = "there";
    await clock.advance(PROBE_EVERY_MS);
    run(() => Promise.resolve("done"));
    await clock.settle();
    expect([circuit.isOpen(), codes, changes]).toEqual([false, ["done"], [true, false]]);
    expect(circuit.wasOpenWithin(5_000)).toBe(true);
    await clock.advance(6_000);
    expect(circuit.wasOpenWithin(5_000)).toBe(false);
    circuit.stop();
  });

  it("a command that failed makes it ask at once, and decides nothing", async () => {
    const { clock, state, circuit, codes, run } = drive();
    run(fails);
    await clock.settle();
    expect([state.probes, circuit.isOpen(), codes]).toEqual([1, false, ["unavailable"]]);
    state.postgres = "refuses";
    run(fails);
    await clock.settle();
    expect(circuit.isOpen()).toBe(true);
    circuit.stop();
  });

  it("commits a row once a second, and at once in doubt: who only answers questions is away", async () => {
    const { clock, state, asked, circuit, run } = drive();
    await clock.advance(4_000);
    const writes = asked.filter((what) => what === "write").length;
    expect([writes, asked.length > 3 * writes]).toEqual([4, true]);
    state.isFull = true;
    run(fails);
    await clock.advance(PROBE_EVERY_MS);
    expect([asked.at(-1), circuit.isOpen()]).toEqual(["write", true]);
    const before = asked.length;
    await clock.advance(2_000);
    expect(new Set(asked.slice(before)), "a question alone closes nothing").toEqual(
      new Set(["write"]),
    );
    expect(circuit.isOpen()).toBe(true);
    state.isFull = false;
    await clock.advance(PROBE_EVERY_MS);
    expect(circuit.isOpen()).toBe(false);
    circuit.stop();
  });

  it("one broken connection is no outage", async () => {
    const { clock, state, changes, circuit } = drive();
    state.refuseNext = 1;
    await clock.advance(2_000);
    expect(changes).toEqual([]);
    state.refuseNext = 2;
    await clock.advance(2_000);
    expect(changes).toEqual([true, false]);
    circuit.stop();
  });

  it("a probe that is late while commands are answered is a busy machine; once none is, it opens", async () => {
    const { clock, state, changes, run } = drive();
    await clock.advance(PROBE_EVERY_MS);
    state.postgres = "silent";
    for (let step = 0; step < 20; step++) {
      run(() => Promise.resolve("done"));
      await clock.advance(200);
    }
    expect(changes).toEqual([]);
    await clock.advance(2 * PROBE_TIMEOUT_MS);
    expect(changes).toEqual([true]);
  });

  it("a refusal of another kind is the command's own", async () => {
    const { clock, state, codes, run } = drive();
    run(() => Promise.reject(new DispatchError("overloaded")));
    await clock.settle();
    expect([codes, state.probes]).toEqual([["overloaded"], 0]);
  });

  it("asks no more once it is stopped", async () => {
    const { clock, state, circuit } = drive();
    await clock.advance(1_000);
    circuit.stop();
    const { probes } = state;
    await clock.advance(5_000);
    expect(state.probes).toBe(probes);
  });
});
