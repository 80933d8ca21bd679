/**
 * What it costs to show positions to many: N followers (50,000) over three gateway processes on one
 * port, each following one of 2,000 couriers, (a) with a new position of each every second, (b)
 * with one every ten. Beside it, alternated in the same run, bare loops on uWebSockets.js, `ws` and
 * Socket.IO that send the same bytes to as many sockets from as many processes: what is left to
 * win. Lag is from the position's arrival, as its node sends it, to the frame read. With --whole
 * couriers ping over sockets of their own and a real node stands between: lag is then from the ping
 * sent to the frame read.
 *
 * Last, some followers stop reading for a while: what they then read first, and what it cost the
 * gateways in memory.
 *
 * Run: npx tsx bench/fanout.ts [--sockets 50000] [--gateways 3] [--couriers 2000] [--rounds 2]
 * [--seconds 8] [--stall 60]
 *   [--peers uws,ws,socket.io] [--per-s 1500] [--whole]
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { freePort } from "../scripts/services/ports.ts";
import { Load, measure, mediansOf, memoryOf, round, say } from "./fanout-load.ts";
import type { Measured } from "./fanout-load.ts";
import { SLICE_MS } from "./fanout-wire.ts";
import type { PeerOrder } from "./fanout-wire.ts";
import type { RiderOrder } from "./fanout-riders.ts";
import { startChild, startWorld, tokenFor } from "./fanout-world.ts";
import type { World } from "./fanout-world.ts";
import { median, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    sockets: { type: "string", default: "50000" },
    gateways: { type: "string", default: "3" },
    couriers: { type: "string", default: "2000" },
    rounds: { type: "string", default: "2" },
    seconds: { type: "string", default: "8" },
    stall: { type: "string", default: "60" },
    peers: { type: "string", default: "uws,ws,socket.io" },
    "per-s": { type: "string", default: "1500" },
    whole: { type: "boolean", default: false },
  },
});
const GATEWAYS = Number(values.gateways);
const COURIERS = Number(values.couriers);
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const STALL_S = Number(values.stall);
const PER_S = Number(values["per-s"]);
const WHOLE = values.whole;
const PEERS = values.peers.split(",").filter((name) => name !== "");
const PER_GATEWAY = Math.ceil(Number(values.sockets) / GATEWAYS);
const SOCKETS = PER_GATEWAY * GATEWAYS;
const STALLED_SOCKETS = 200;
/** Tens of thousands of sockets that were opened or closed keep the kernel busy for a while. */
const SETTLE_MS = 8_000;
/** A position of the second in which it is read, or of the one before. */
const FRESH_MS = 1_500;
/** Slices between two positions of one courier. */
const MODES = { a: 1_000 / SLICE_MS, b: 10_000 / SLICE_MS } as const;
type Mode = keyof typeof MODES;

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
  readonly bytesPerSocket: number;
  readonly run: (isOn: boolean, mode: Mode) => void;
};

/**
 * As many processes of a bare loop as there are gateways, with as many sockets, dealt out in the
 * same way.
 */
async function peer(name: string): Promise<Candidate & { readonly close: () => void }> {
  const ports: number[] = [];
  const servers: ChildProcess[] = [];
  for (let i = 0; i < GATEWAYS; i++) {
    const port = await freePort();
    ports.push(port);
    servers.push(await startChild("./fanout-peer.ts", [name, String(port)]));
  }
  const before = memoryOf(servers);
  const speaks = name === "socket.io" ? "socket.io" : "bare";
  const shares = { loaders: GATEWAYS, perLoader: PER_GATEWAY };
  const load = await Load.open({ name, speaks, ports, ...shares, follow: [], perS: 2 * PER_S });
  const bytesPerSocket = (memoryOf(servers) - before) / SOCKETS;
  const run = (isOn: boolean, mode: Mode): void => {
    const order: PeerOrder = { isOn, couriers: COURIERS, everySlices: MODES[mode] };
    for (const server of servers) server.send(order);
  };
  const close = (): void => {
    for (const server of servers) server.kill("SIGKILL");
    load.close();
  };
  return { name, load, servers, run, bytesPerSocket, close };
}

type Run = Candidate["run"];

function played(world: World): Run {
  const movement = new Movement(world);
  return (isOn, mode) => {
    movement.everySlices = MODES[mode];
    movement.isOn = isOn;
  };
}

/** Couriers with sockets of their own. */
async function riding({ port }: World): Promise<Run> {
  const all = Array.from({ length: COURIERS }, (_, n) => tokenFor("courier", `cur_${n}`));
  const tokens = await Promise.all(all);
  const riders = await startChild("./fanout-riders.ts", []);
  const tell = (order: RiderOrder): void => void riders.send(order);
  tell({ do: "connect", port, tokens });
  await once(riders, "message");
  say(`${COURIERS} couriers are connected`);
  return (isOn, mode) => {
    tell(isOn ? { do: "ride", everyMs: MODES[mode] * SLICE_MS } : { do: "stop" });
  };
}

async function ourselves(world: World): Promise<Candidate> {
  const { gateways: servers, follow } = world;
  const before = memoryOf(servers);
  const ports = [world.port];
  const name = "gateways";
  const shares = { loaders: GATEWAYS, perLoader: PER_GATEWAY };
  const rest = { ports, ...shares, follow, perS: PER_S };
  const load = await Load.open({ name, speaks: "hexdispatch", ...rest });
  say(`${world.asking()} gateways ask for positions`);
  const run = WHOLE ? await riding(world) : played(world);
  return { name, load, servers, run, bytesPerSocket: (memoryOf(servers) - before) / SOCKETS };
}

/** Some followers read nothing for a while. */
async function stall({ load, servers, run }: Candidate) {
  run(true, "a");
  await sleep(3_000);
  const before = memoryOf(servers);
  load.tell({ do: "read", isOn: false, count: STALLED_SOCKETS });
  await sleep(STALL_S * 1_000);
  const grownBytes = memoryOf(servers) - before;
  load.tell({ do: "read", isOn: true, count: STALLED_SOCKETS });
  await sleep(4_000);
  const { resumed } = await load.counted();
  run(false, "a");
  /** How many old frames lay in the pipe before the first fresh one, and how old that one was. */
  const stale = resumed.map((ages) => ages.findIndex((age) => age < FRESH_MS));
  const firstFresh = resumed.map((ages) => ages.find((age) => age < FRESH_MS) ?? Number.NaN);
  return {
    seconds: STALL_S,
    sockets: resumed.length,
    gatewaysGrewBytes: grownBytes,
    neverFresh: stale.filter((count) => count < 0).length,
    staleFramesMin: Math.min(...stale),
    staleFramesMax: Math.max(...stale),
    firstFreshAgeMsMedian: median(firstFresh),
    firstFreshAgeMsMax: Math.max(...firstFresh),
  };
}

/** Figures by candidate and mode. */
class Book {
  readonly #all = new Map<string, Measured[]>();
  readonly bytesPerSocket: Record<string, number> = {};
  readonly openedPerS: Record<string, number> = {};

  async measure({ name, load, servers, run, bytesPerSocket }: Candidate, mode: Mode) {
    const figures = await measure(load, servers, (isOn) => run(isOn, mode), SECONDS);
    const key = `${name} ${mode}`;
    this.#all.set(key, [...(this.#all.get(key) ?? []), figures]);
    this.bytesPerSocket[name] = Math.round(bytesPerSocket);
    this.openedPerS[name] = Math.round(load.sockets / load.openedInS);
    say(`${key}: ${JSON.stringify(figures)}`);
  }

  medians(mode: Mode): Record<string, Measured> {
    const keys = [...this.#all.keys()].filter((key) => key.endsWith(` ${mode}`));
    return Object.fromEntries(
      keys.map((key) => [key.slice(0, -2), mediansOf(this.#all.get(key) ?? [])]),
    );
  }
}

/** In turn: the gateways, then each bare loop, opened for it and closed again. */
async function rounds(ours: Candidate, book: Book): Promise<void> {
  for (let no = 1; no <= ROUNDS; no++) {
    await book.measure(ours, "a");
    await book.measure(ours, "b");
    for (const name of PEERS) {
      const other = await peer(name);
      await sleep(SETTLE_MS);
      await book.measure(other, "a");
      await book.measure(other, "b");
      other.close();
      await sleep(SETTLE_MS);
    }
  }
}

async function main(): Promise<void> {
  say(`${SOCKETS} sockets, ${GATEWAYS} gateways, ${COURIERS} couriers`);
  const world = await startWorld({ gateways: GATEWAYS, couriers: COURIERS, hasNode: WHOLE });
  try {
    const ours = await ourselves(world);
    await sleep(SETTLE_MS);
    const book = new Book();
    await rounds(ours, book);
    const idle = await measure(ours.load, ours.servers, () => undefined, SECONDS);
    const stalled = STALL_S > 0 ? await stall(ours) : null;
    ours.load.close();
    const a = book.medians("a");
    const [gateways, bare] = [a["gateways"], a["uws"]];
    const over = (gateways?.cpuUsPerFrame ?? Number.NaN) / (bare?.cpuUsPerFrame ?? Number.NaN);
    const { openedPerS, bytesPerSocket } = book;
    report("fanout", {
      ...{ sockets: SOCKETS, gateways: GATEWAYS, couriers: COURIERS, whole: WHOLE },
      ...{ openedPerS, bytesPerSocket, a, aOverBareLoop: round(over, 2), b: book.medians("b") },
      ...{ idleCores: idle.cores, stalled },
    });
  } finally {
    await world.close();
  }
}

await main();
process.exit(0);
