/**
 * What happens when a gateway goes: N followers (20,000) with the SDK's clients on three gateways.
 * First one is told to stop and drains; then another, with about 10,000 of the sockets, is killed.
 * All the while couriers report statuses, positions flow, and somebody asks by REST. It shows how
 * fast they came back, what the others noticed of it (their requests, their positions), and that no
 * follower missed a status: each is told every number up to the present one.
 *
 * Run: npx tsx bench/storm.ts [--sockets 20000] [--deliveries 2000] [--ends-per-s 30] [--per-s 600]
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startChild, startWorld, tokenFor } from "./fanout-world.ts";
import type { World } from "./fanout-world.ts";
import { report } from "./report.ts";
import type { StormOrder, StormWord } from "./storm-loader.ts";

const { values } = parseArgs({
  options: {
    sockets: { type: "string", default: "20000" },
    deliveries: { type: "string", default: "2000" },
    "ends-per-s": { type: "string", default: "30" },
    "per-s": { type: "string", default: "600" },
  },
});
const SOCKETS = Number(values.sockets);
const DELIVERIES = Number(values.deliveries);
const ENDS_PER_S = Number(values["ends-per-s"]);
const PER_S = Number(values["per-s"]);
const GATEWAYS = 3;
const LOADERS = 4;
/**
 * In a process of their own, which is not busy with coming back: what the others notice is read off
 * them.
 */
const WITNESSES = 150;
const QUIET_S = 10;
const PROBE_MS = 40;
const MOVE_MS = 200;
/** Between two statuses of a delivery: both happen while a follower is away. */
const STATUSES_APART_MS = 300;
/** Each courier moves once in so long. */
const MOVE_EVERY_MS = 5_000;
const BACK_DEADLINE_MS = 60_000;
const BUCKET_MS = 500;
const FIRST_VERSION = 2;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
type Report = Extract<StormWord, { is: "report" }>;
type Checked = Extract<StormWord, { is: "checked" }>;

/** All the followers, and among them the witnesses. */
class Crowd {
  readonly #loaders: ChildProcess[] = [];
  readonly #connected: number[] = [];

  async open(world: World): Promise<void> {
    const shares = [...Array.from({ length: LOADERS }, () => SOCKETS / LOADERS), WITNESSES];
    for (const [i, count] of shares.entries()) {
      const loader = await startChild("./storm-loader.ts", []);
      this.#loaders.push(loader);
      this.#connected.push(0);
      loader.on("message", (word: StormWord) => {
        if (word.is === "opened") this.#connected[i] = word.count;
      });
      const url = `http://127.0.0.1:${world.port}`;
      const rest = { follow: world.follow, count, perS: PER_S / LOADERS };
      tell(loader, { do: "follow", url, from: `127.1.${i}`, ...rest });
    }
    await this.until(SOCKETS + WITNESSES, 600_000);
  }

  get connected(): number {
    return this.#connected.reduce((sum, count) => sum + count, 0);
  }

  /** Waits until so many are connected and says how far it is. */
  async until(count: number, deadlineMs: number): Promise<boolean> {
    const deadline = Date.now() + deadlineMs;
    for (let round = 1; this.connected < count; round++) {
      if (Date.now() > deadline) return false;
      if (round % 12 === 0) say(`${this.connected} of ${count} sockets are open`);
      await sleep(250);
    }
    return true;
  }

  reset(): void {
    for (const loader of this.#loaders) tell(loader, { do: "reset" });
  }

  /** Of all, and of the witnesses. */
  async reports(): Promise<{ readonly all: readonly Report[]; readonly witnesses: Report }> {
    const all = await Promise.all(this.#loaders.map((l) => ask<Report>(l, { do: "report" })));
    return { all, witnesses: all.at(-1) as Report };
  }

  async check(versions: readonly number[]) {
    const order = { do: "check", versions } as const;
    const all = await Promise.all(this.#loaders.map((loader) => ask<Checked>(loader, order)));
    const sum = (of: (word: Checked) => number): number => all.reduce((n, w) => n + of(w), 0);
    return {
      followers: sum((word) => word.followers),
      statusesTold: sum((word) => word.told),
      wrong: sum((word) => word.wrong),
      gaps: sum((word) => word.gaps),
      example: all.map(({ example }) => example).find((text) => text !== "") ?? "",
    };
  }
}

const tell = (loader: ChildProcess, order: StormOrder): void => void loader.send(order);

function ask<T extends Report | Checked>(loader: ChildProcess, order: StormOrder): Promise<T> {
  return new Promise((resolve) => {
    const onWord = (word: StormWord): void => {
      if (word.is !== "report" && word.is !== "checked") return;
      loader.off("message", onWord);
      resolve(word as T);
    };
    loader.on("message", onWord);
    tell(loader, order);
  });
}

type Asked = { readonly status: number; readonly ms: number };

/**
 * One request over a connection of its own, as somebody new makes it. Status 0: the connection was
 * lost.
 */
function rest(port: number, method: string, path: string, token: string, body?: unknown) {
  const since = performance.now();
  return new Promise<Asked>((resolve) => {
    const done = (status: number): void => resolve({ status, ms: performance.now() - since });
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const options = { host: "127.0.0.1", port, method, path, headers, agent: false };
    const asked = request(options, (answer) => {
      answer.resume();
      answer.on("end", () => done(answer.statusCode ?? 0));
      answer.on("error", () => done(0));
    });
    asked.on("error", () => done(0));
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** What goes on all the while: positions, statuses, and requests whose time is taken. */
class Life {
  readonly versions: number[] = Array.from({ length: DELIVERIES }, () => FIRST_VERSION);
  readonly #world: World;
  readonly #timers: NodeJS.Timeout[] = [];
  #asked: Asked[] = [];
  #moved = 0;
  #next = 0;
  readonly #ending = new Set<Promise<void>>();

  constructor(world: World) {
    this.#world = world;
    this.#timers.push(setInterval(() => this.#move(), MOVE_MS));
    this.#timers.push(setInterval(() => void this.#probe(), PROBE_MS));
  }

  /** Couriers pick up and deliver, one delivery after the other. */
  startStatuses(): void {
    this.#timers.push(
      setInterval(() => {
        if (this.#next >= DELIVERIES - WITNESSES) return;
        // The witnesses follow the first ones, which live on.
        const ending = this.#endOf(DELIVERIES - 1 - this.#next++);
        this.#ending.add(ending);
        void ending.finally(() => this.#ending.delete(ending));
      }, 1_000 / ENDS_PER_S),
    );
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#ending);
  }

  /** Times of the requests since the last call, milliseconds. */
  taken() {
    const asked = this.#asked;
    this.#asked = [];
    const ms = asked.filter(({ status }) => status === 200).map((one) => one.ms);
    /** By status; 0: the connection was lost. */
    const refused: Record<number, number> = {};
    for (const { status } of asked)
      if (status !== 200) refused[status] = (refused[status] ?? 0) + 1;
    return { ...quantiles(ms), requests: asked.length, refused };
  }

  #move(): void {
    const share = Math.ceil((DELIVERIES * MOVE_MS) / MOVE_EVERY_MS);
    const moved = Array.from({ length: share }, () => this.#moved++ % DELIVERIES);
    this.#world.move(moved);
  }

  async #probe(): Promise<void> {
    const { port, follow } = this.#world;
    const { token, delivery } = follow[this.#asked.length % DELIVERIES] as World["follow"][number];
    this.#asked.push(await rest(port, "GET", `/v1/deliveries/${delivery}`, token));
  }

  async #endOf(n: number): Promise<void> {
    await this.#status(n, "picked_up");
    await sleep(STATUSES_APART_MS);
    await this.#status(n, "delivered");
  }

  /** As a courier's app does: until it is answered. */
  async #status(n: number, status: string): Promise<void> {
    const token = await tokenFor("courier", `cur_${n}`);
    const path = `/v1/deliveries/${this.#world.follow[n]?.delivery ?? ""}/status`;
    for (let attempt = 0; attempt < 100; attempt++) {
      const answer = await rest(this.#world.port, "POST", path, token, { status });
      if (answer.status === 200) {
        this.versions[n] = (this.versions[n] as number) + 1;
        return;
      }
      await sleep(200);
    }
    throw new Error(`the status of delivery ${n} was never taken`);
  }
}

function quantiles(all: readonly number[]) {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (share: number): number =>
    Number((sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN).toFixed(1));
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

/** What the others notice: their requests, and how late they read positions. */
async function noticed(crowd: Crowd, life: Life) {
  const { witnesses } = await crowd.reports();
  return { requests: life.taken(), positions: quantiles(witnesses.lags) };
}

/** A gateway goes, and everybody is back. */
async function goes(name: string, crowd: Crowd, life: Life, end: () => void) {
  crowd.reset();
  life.taken();
  const at = Date.now();
  end();
  await sleep(2_000); // The loss is noticed and told within a second.
  const isWhole = await crowd.until(SOCKETS + WITNESSES, BACK_DEADLINE_MS);
  const { all } = await crowd.reports();
  const lost = all.reduce((sum, word) => sum + word.lost, 0);
  const back = all.flatMap((word) => word.back).sort((a, b) => a - b);
  const perBucket: number[] = [];
  for (const when of back) {
    const bucket = Math.max(0, Math.floor((when - at) / BUCKET_MS));
    perBucket[bucket] = (perBucket[bucket] ?? 0) + 1;
  }
  const rate = Array.from(perBucket, (count) => Math.round((count ?? 0) / (BUCKET_MS / 1_000)));
  const during = await noticed(crowd, life);
  const allBackAfterMs = (back.at(-1) ?? at) - at;
  const figures = { lost, isWhole, allBackAfterMs, backPerS: rate, during };
  say(`${name}: ${JSON.stringify(figures)}`);
  return figures;
}

async function main(): Promise<void> {
  const world = await startWorld({ gateways: GATEWAYS, couriers: DELIVERIES, hasNode: true });
  try {
    const crowd = new Crowd();
    await crowd.open(world);
    say(`${crowd.connected} sockets are open`);
    const life = new Life(world);
    life.startStatuses();
    await sleep(2_000);
    crowd.reset();
    life.taken();
    await sleep(QUIET_S * 1_000);
    const before = await noticed(crowd, life);
    say(`before: ${JSON.stringify(before)}`);
    const [first, second] = world.gateways;
    const drained = await goes("drain", crowd, life, () => first?.kill("SIGTERM"));
    if (first?.exitCode === null) await once(first, "exit");
    await world.startGateway();
    await sleep(QUIET_S * 500);
    const killed = await goes("kill", crowd, life, () => second?.kill("SIGKILL"));
    await sleep(2_000);
    await life.stop();
    await sleep(3_000);
    const statuses = await crowd.check(life.versions);
    say(`statuses: ${JSON.stringify(statuses)}`);
    const sockets = SOCKETS + WITNESSES;
    report("storm", { sockets, deliveries: DELIVERIES, before, drained, killed, statuses });
  } finally {
    await world.close();
  }
}

await main();
process.exit(0);
