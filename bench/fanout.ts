/**
 * What it costs to show positions to many: N followers (50,000) over three gateway processes on one port, each following
 * one of 2,000 couriers, (a) with a new position of each every second, (b) with one every ten. Beside it, alternated in the
 * same run, bare loops on uWebSockets.js and on `ws` that send the same bytes to as many sockets as one gateway has:
 * what is left to win. Lag is from the position's arrival, as its node sends it, to the frame read by a follower.
 *
 * Last, a follower stops reading for a while: what it then reads first, and what it cost the gateways in memory.
 *
 * Socket.IO is measured where it can be loaded; it is no dependency of ours, so normally it is left out.
 *
 * Run: npx tsx bench/fanout.ts [--sockets 50000] [--gateways 3] [--couriers 2000] [--rounds 2] [--seconds 8] [--stall 20]
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { freePort } from "../scripts/services/ports.ts";
import { cpuSecondsOf } from "./cpu.ts";
import type { LoaderOrder, LoaderWord } from "./fanout-loader.ts";
import { SLICE_MS } from "./fanout-wire.ts";
import type { PeerOrder } from "./fanout-wire.ts";
import { residentBytes, startChild, startWorld } from "./fanout-world.ts";
import type { World } from "./fanout-world.ts";
import { median, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    sockets: { type: "string", default: "50000" },
    gateways: { type: "string", default: "3" },
    couriers: { type: "string", default: "2000" },
    rounds: { type: "string", default: "2" },
    seconds: { type: "string", default: "8" },
    stall: { type: "string", default: "20" },
  },
});
const SOCKETS = Number(values.sockets);
const GATEWAYS = Number(values.gateways);
const COURIERS = Number(values.couriers);
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const STALL_S = Number(values.stall);
const PER_GATEWAY = Math.ceil(SOCKETS / GATEWAYS);
const STALLED_SOCKETS = 200;
/** Slices between two positions of one courier. */
const MODES = { a: 1_000 / SLICE_MS, b: 10_000 / SLICE_MS } as const;
type Mode = keyof typeof MODES;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** A process full of followers, or several. */
class Load {
  readonly #loaders: readonly ChildProcess[];

  private constructor(loaders: readonly ChildProcess[]) {
    this.#loaders = loaders;
  }

  static async open(
    shares: readonly number[],
    port: number,
    follow: World["follow"] | null,
  ): Promise<Load> {
    const opening = shares.map(async (count, i) => {
      const from = `127.0.0.${i + 2}`;
      return startLoader({ do: "connect", port, from, follow, count });
    });
    return new Load(await Promise.all(opening));
  }

  tell(order: LoaderOrder): void {
    for (const loader of this.#loaders) loader.send(order);
  }

  /** What all of them have counted since the reset. */
  async counted(): Promise<Counted> {
    const words = await Promise.all(this.#loaders.map(reportOf));
    const bins = new Map<number, number>();
    for (const [bin, count] of words.flatMap((word) => word.bins)) {
      bins.set(bin, (bins.get(bin) ?? 0) + count);
    }
    const frames = words.reduce((sum, word) => sum + word.frames, 0);
    return { frames, bins, resumed: words.flatMap((word) => word.resumed) };
  }
}

type Counted = {
  readonly frames: number;
  readonly bins: ReadonlyMap<number, number>;
  readonly resumed: readonly (readonly number[])[];
};
type Report = Extract<LoaderWord, { is: "report" }>;

async function startLoader(order: LoaderOrder): Promise<ChildProcess> {
  const child = await startChild("./fanout-loader.ts", []);
  child.send(order);
  const failed = once(child, "exit").then(() => Promise.reject(new Error("a loader ended")));
  await Promise.race([once(child, "message"), failed]);
  return child;
}

const reportOf = (loader: ChildProcess): Promise<Report> =>
  new Promise((resolve) => {
    loader.once("message", (word: LoaderWord) => resolve(word as Report));
    loader.send({ do: "report" });
  });

/** Lag below which that share of the frames was read, milliseconds. */
function quantileMs({ frames, bins }: Counted, share: number): number {
  let left = frames * share;
  for (const [bin, count] of [...bins].sort(([a], [b]) => a - b)) {
    left -= count;
    if (left <= 0) return bin / 10;
  }
  return Number.NaN;
}

type Figures = {
  readonly frames: number;
  readonly cpuUsPerFrame: number;
  readonly cores: number;
  readonly lagP50Ms: number;
  readonly lagP99Ms: number;
};

/** Runs one candidate for a while and counts. */
async function measure(
  load: Load,
  servers: readonly ChildProcess[],
  run: (isOn: boolean) => void,
  seconds: number,
): Promise<Figures> {
  const pids = servers.map(({ pid }, i) => ({ name: String(i), pid: pid as number }));
  const cpuS = (): number => Object.values(cpuSecondsOf(pids)).reduce((sum, s) => sum + s, 0);
  run(true);
  await sleep(2_000);
  load.tell({ do: "reset" });
  const [before, since] = [cpuS(), performance.now()];
  await sleep(seconds * 1_000);
  const [usedS, tookS] = [cpuS() - before, (performance.now() - since) / 1_000];
  const counted = await load.counted();
  run(false);
  await sleep(500);
  return {
    frames: counted.frames,
    cpuUsPerFrame: (usedS / counted.frames) * 1e6,
    cores: usedS / tookS,
    lagP50Ms: quantileMs(counted, 0.5),
    lagP99Ms: quantileMs(counted, 0.99),
  };
}

/** Plays the nodes: each courier moves once in so many slices. */
class Movement {
  readonly #world: World;
  everySlices: number = MODES.a;
  isOn = false;
  #slice = 0;
  #next = Date.now();

  constructor(world: World) {
    this.#world = world;
    this.#tick();
  }

  #tick(): void {
    for (; this.#next <= Date.now(); this.#next += SLICE_MS) {
      this.#slice++;
      if (this.isOn) this.#world.move(this.#couriersOf(this.#slice));
    }
    setTimeout(() => this.#tick(), Math.max(0, this.#next - Date.now())).unref();
  }

  #couriersOf(slice: number): number[] {
    const moved: number[] = [];
    for (let n = slice % this.everySlices; n < COURIERS; n += this.everySlices) moved.push(n);
    return moved;
  }
}

type Candidate = {
  readonly name: string;
  readonly load: Load;
  readonly servers: readonly ChildProcess[];
  readonly run: (isOn: boolean, mode: Mode) => void;
};

async function peer(
  library: "uws" | "ws",
): Promise<Candidate & { readonly bytesPerSocket: number }> {
  const port = await freePort();
  const server = await startChild("./fanout-peer.ts", [library, String(port)]);
  const before = residentBytes(server.pid as number);
  const load = await Load.open([PER_GATEWAY], port, null);
  const bytesPerSocket = (residentBytes(server.pid as number) - before) / PER_GATEWAY;
  const run = (isOn: boolean, mode: Mode): void => {
    const order: PeerOrder = { isOn, couriers: COURIERS, everySlices: MODES[mode] };
    server.send(order);
  };
  return { name: library, load, servers: [server], run, bytesPerSocket };
}

const memoryOf = (servers: readonly ChildProcess[]): number =>
  servers.reduce((sum, { pid }) => sum + residentBytes(pid as number), 0);

/** Some followers read nothing for a while. */
async function stall(load: Load, movement: Movement, servers: readonly ChildProcess[]) {
  movement.everySlices = MODES.a;
  movement.isOn = true;
  await sleep(3_000);
  const before = memoryOf(servers);
  load.tell({ do: "read", isOn: false, count: STALLED_SOCKETS });
  await sleep(STALL_S * 1_000);
  const grownBytes = memoryOf(servers) - before;
  load.tell({ do: "read", isOn: true, count: STALLED_SOCKETS });
  await sleep(3_000);
  const { resumed } = await load.counted();
  movement.isOn = false;
  /** How many old frames lay in the pipe before the first fresh one, and how old that one was. */
  const stale = resumed.map((ages) => ages.findIndex((age) => age < 1_500));
  const firstFresh = resumed.map((ages) => ages.find((age) => age < 1_500) ?? Number.NaN);
  return {
    seconds: STALL_S,
    sockets: resumed.length,
    gatewaysGrewBytes: grownBytes,
    staleFramesMax: Math.max(...stale),
    staleFramesMin: Math.min(...stale),
    firstFreshAgeMsMedian: median(firstFresh),
  };
}

async function main(): Promise<void> {
  say(`${SOCKETS} sockets, ${GATEWAYS} gateways, ${COURIERS} couriers`);
  const world = await startWorld(GATEWAYS, COURIERS);
  try {
    const before = memoryOf(world.gateways);
    const connectingSince = performance.now();
    const shares = Array.from({ length: GATEWAYS }, () => PER_GATEWAY);
    const load = await Load.open(shares, world.port, world.follow);
    const connectedPerS = (PER_GATEWAY * GATEWAYS) / ((performance.now() - connectingSince) / 1e3);
    const bytesPerSocket = (memoryOf(world.gateways) - before) / (PER_GATEWAY * GATEWAYS);
    say(`connected, ${Math.round(connectedPerS)} a second; ${world.asking()} gateways ask`);
    const movement = new Movement(world);
    const ours: Candidate = {
      name: "gateways",
      load,
      servers: world.gateways,
      run: (isOn, mode) => {
        movement.everySlices = MODES[mode];
        movement.isOn = isOn;
      },
    };
    const peers = [await peer("uws"), await peer("ws")];
    const rounds = new Map<string, Figures[]>();
    for (let round = 1; round <= ROUNDS; round++) {
      for (const { name, load: its, servers, run } of [ours, ...peers]) {
        const figures = await measure(its, servers, (isOn) => run(isOn, "a"), SECONDS);
        rounds.set(name, [...(rounds.get(name) ?? []), figures]);
        say(`round ${round} ${name} (a): ${JSON.stringify(figures)}`);
      }
    }
    const idle = await measure(load, world.gateways, () => undefined, SECONDS);
    const b = await measure(load, world.gateways, (isOn) => ours.run(isOn, "b"), 2 * SECONDS);
    say(`(b): ${JSON.stringify(b)}; with nobody moving ${idle.cores.toFixed(3)} cores`);
    const stalled = STALL_S > 0 ? await stall(load, movement, world.gateways) : null;
    report("fanout", {
      sockets: PER_GATEWAY * GATEWAYS,
      gateways: GATEWAYS,
      couriers: COURIERS,
      connectedPerS,
      bytesPerSocket: {
        gateways: bytesPerSocket,
        ...Object.fromEntries(peers.map((p) => [p.name, p.bytesPerSocket])),
      },
      a: Object.fromEntries([...rounds].map(([name, all]) => [name, mediansOf(all)])),
      aOverBareLoop: medianOf(rounds, "gateways") / medianOf(rounds, "uws"),
      b,
      idleCores: idle.cores,
      stalled,
      leftOut: { "socket.io": "not a dependency; measured at 50 us a frame before" },
    });
  } finally {
    await world.close();
  }
}

const medianOf = (rounds: ReadonlyMap<string, readonly Figures[]>, name: string): number =>
  median((rounds.get(name) ?? []).map((figures) => figures.cpuUsPerFrame));

function mediansOf(all: readonly Figures[]): Figures {
  const of = (key: keyof Figures): number => median(all.map((figures) => figures[key]));
  return {
    frames: of("frames"),
    cpuUsPerFrame: of("cpuUsPerFrame"),
    cores: of("cores"),
    lagP50Ms: of("lagP50Ms"),
    lagP99Ms: of("lagP99Ms"),
  };
}

await main();
process.exit(0);
