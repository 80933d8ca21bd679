/**
 * Postgres as a process sees it: the store in memory behind a wire, with latency, outages, a standby that refuses writes,
 * and commits whose answer is lost. What the real client does by itself (it repeats a statement for a while, then says
 * `unavailable`) is done here too, so that callers meet the same outcomes: done, not done, unknown.
 */
import type { Store } from "../engine/store/port.ts";
import { DispatchError } from "../proto/errors.ts";
import type { SimClock } from "./clock.ts";
import type { FakeStore } from "./fake-store.ts";
import type { Machine } from "./machine.ts";
import type { SeededRandom } from "./random.ts";

export type StoreNoise = {
  /** Of statements: refused before anything was done. */
  readonly failRate: number;
  /** Of statements: done, but nobody hears of it. */
  readonly unknownRate: number;
  /** Of statements: 50 ms to 2 s late. */
  readonly slowRate: number;
};

export const QUIET_STORE: StoreNoise = { failRate: 0, unknownRate: 0, slowRate: 0 };

/** `refuses`: connections fail at once. `hangs`: nothing is answered. `reads`: writes are refused. */
export type Outage = "refuses" | "hangs" | "reads";

type Method = Exclude<keyof Store, "ping" | "close" | "appendHistory">;
type Call = {
  readonly machine: Machine;
  readonly method: Method;
  readonly args: readonly unknown[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  attempt: number;
};

/** Told of each call that was done, with its result. */
export type OnDone = (
  machine: Machine,
  method: Method,
  args: readonly unknown[],
  result: unknown,
) => void;

const WIRE_MIN_MS = 0.2;
const WIRE_MAX_MS = 1.5;
const SLOW_MIN_MS = 50;
const SLOW_MAX_MS = 2_000;
/** As `engine/io/postgres.ts` repeats. */
const RETRY_DELAYS_MS = [20, 60, 180, 540] as const;
const ANSWER_DEADLINE_MS = 3_000;

const WRITES: ReadonlySet<string> = new Set<Method>([
  "create",
  "accept",
  "status",
  "cancel",
  "putCourier",
  "keepAnswer",
  "takeShards",
  "write",
  "outboxDone",
  "saveLastKnown",
]);

export class FakePostgres {
  readonly counts = { calls: 0, failed: 0, unknown: 0, refused: 0 };
  noise: StoreNoise = QUIET_STORE;
  readonly #clock: SimClock;
  readonly #random: SeededRandom;
  readonly #fake: FakeStore;
  readonly #onDone: OnDone;
  readonly #outages: Outage[] = [];
  /** When nothing could be read: [from, until], until Infinity while it lasts. */
  readonly #away: [from: number, until: number][] = [];
  readonly #cutOff = new Map<string, number>();

  constructor(clock: SimClock, random: SeededRandom, fake: FakeStore, onDone: OnDone) {
    this.#clock = clock;
    this.#random = random;
    this.#fake = fake;
    this.#onDone = onDone;
  }

  begin(outage: Outage): void {
    this.#outages.push(outage);
    this.#noteAway();
  }

  end(outage: Outage): void {
    const at = this.#outages.indexOf(outage);
    if (at >= 0) this.#outages.splice(at, 1);
    this.#noteAway();
  }

  #noteAway(): void {
    const isAway = this.#outages.some((outage) => outage !== "reads");
    const last = this.#away.at(-1);
    const wasAway = last !== undefined && last[1] === Infinity;
    if (isAway && !wasAway) this.#away.push([this.#clock.now(), Infinity]);
    if (!isAway && wasAway) last[1] = this.#clock.now();
  }

  /** For how long since then nothing could be read. */
  awayMsSince(at: number): number {
    const now = this.#clock.now();
    const lengths = this.#away.map(([from, until]) => Math.min(until, now) - Math.max(from, at));
    return lengths.reduce((sum, ms) => sum + Math.max(0, ms), 0);
  }

  /** One process does not reach Postgres. */
  cut(name: string): void {
    this.#cutOff.set(name, (this.#cutOff.get(name) ?? 0) + 1);
  }

  heal(name: string): void {
    this.#cutOff.set(name, Math.max(0, (this.#cutOff.get(name) ?? 0) - 1));
  }

  /** The store as one run of one process has it. */
  storeOf(machine: Machine): Store {
    const quiet = () => Promise.resolve(undefined);
    const own: Record<string, unknown> = {
      appendHistory: quiet,
      // It asks whether writes are taken.
      ping: () =>
        this.#outages.includes("reads")
          ? Promise.reject(new DispatchError("unavailable"))
          : this.probeOf(machine)(),
      close: quiet,
    };
    return new Proxy({} as Store, {
      get: (_, name) =>
        typeof name === "string" && own[name] === undefined
          ? (own[name] = (...args: unknown[]) => this.#call(machine, name as Method, args))
          : own[name as string],
    });
  }

  /** The probe of a gateway: one small read on a connection of its own, not repeated. */
  probeOf(machine: Machine): () => Promise<void> {
    return () =>
      new Promise((resolve, reject) => {
        const delayMs = this.#random.between(WIRE_MIN_MS, WIRE_MAX_MS);
        this.#clock.after(delayMs, () => {
          const trouble = this.#troubleOf(machine, false);
          if (trouble === "hangs") return;
          const isRefused = trouble !== null || this.#random.chance(this.noise.failRate);
          machine.io(() => (isRefused ? reject(new Error("refused")) : resolve()));
        });
      });
  }

  #call(machine: Machine, method: Method, args: readonly unknown[]): Promise<unknown> {
    this.counts.calls += 1;
    return new Promise((resolve, reject) => {
      this.#try({ machine, method, args, resolve, reject, attempt: 0 });
    });
  }

  #try(call: Call): void {
    const { failRate, unknownRate, slowRate } = this.noise;
    const chance = this.#random.unit();
    const isSlow = chance > 1 - slowRate;
    const delayMs = isSlow
      ? this.#random.between(SLOW_MIN_MS, SLOW_MAX_MS)
      : this.#random.between(WIRE_MIN_MS, WIRE_MAX_MS);
    this.#clock.after(delayMs, () => {
      // A process that died before its statement left never sent it; one that died after has.
      if (call.machine.isDead && this.#random.chance(0.5)) return;
      const trouble = this.#troubleOf(call.machine, WRITES.has(call.method));
      if (trouble === "hangs") return this.#unavailable(call, ANSWER_DEADLINE_MS);
      if (trouble !== null) return this.#again(call);
      if (chance < failRate) {
        this.counts.failed += 1;
        return this.#again(call);
      }
      this.#do(call, chance < failRate + unknownRate);
    });
  }

  #troubleOf(machine: Machine, isWrite: boolean): Outage | null {
    if ((this.#cutOff.get(machine.name) ?? 0) > 0) return "hangs";
    if (this.#outages.includes("hangs")) return "hangs";
    if (this.#outages.includes("refuses")) return "refuses";
    return this.#outages.includes("reads") && isWrite ? "reads" : null;
  }

  #do(call: Call, isUnknown: boolean): void {
    const { machine, method, args } = call;
    let result: unknown;
    try {
      result = (this.#fake[method] as (...all: readonly unknown[]) => unknown)(...args);
    } catch (error) {
      return this.#answer(call, () => call.reject(error as Error));
    }
    this.#onDone(machine, method, args, result);
    if (!isUnknown) return this.#answer(call, () => call.resolve(result));
    this.counts.unknown += 1;
    if (this.#random.chance(0.5)) this.#again(call);
    else this.#unavailable(call, ANSWER_DEADLINE_MS);
  }

  #answer({ machine }: Call, run: () => void): void {
    this.#clock.after(this.#random.between(WIRE_MIN_MS, WIRE_MAX_MS), () => machine.io(run));
  }

  /** As the client does; then the caller is told. */
  #again(call: Call): void {
    const delayMs = RETRY_DELAYS_MS[call.attempt++];
    if (delayMs === undefined) return this.#unavailable(call, 1);
    this.#clock.after(delayMs, () => this.#try(call));
  }

  #unavailable(call: Call, afterMs: number): void {
    this.counts.refused += 1;
    this.#clock.after(afterMs, () =>
      call.machine.io(() => call.reject(new DispatchError("unavailable"))),
    );
  }
}
