/**
 * The followers of bench/fanout as a whole: loader processes, what they counted, and one
 * measurement of the servers that they follow.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuSecondsOf } from "./cpu.ts";
import type { LoaderOrder, LoaderWord, Speaks } from "./fanout-loader.ts";
import { residentBytes, startChild } from "./fanout-world.ts";
import type { Followable } from "./fanout-world.ts";
import { median } from "./report.ts";

export const say = (line: string): void => void process.stderr.write(`${line}\n`);

/**
 * Several loaders, because a process may open only so many files; each connects to all the ports in
 * turn.
 */
export type LoadOptions = {
  readonly name: string;
  readonly speaks: Speaks;
  readonly ports: readonly number[];
  readonly loaders: number;
  readonly perLoader: number;
  readonly follow: readonly Followable[];
  /** Sockets opened in a second, all loaders together. */
  readonly perS: number;
};

export type Counted = {
  readonly frames: number;
  readonly others: number;
  readonly bins: ReadonlyMap<number, number>;
  readonly resumed: readonly (readonly number[])[];
};
type Report = Extract<LoaderWord, { is: "report" }>;

const SAY_MS = 3_000;
const TICKS_PER_S = 100;
/** So that each has addresses of its own. */
let loads = 0;

export class Load {
  readonly #loaders: readonly ChildProcess[];
  readonly sockets: number;
  /** How long it took to open them all. */
  readonly openedInS: number;

  private constructor(loaders: readonly ChildProcess[], sockets: number, openedInS: number) {
    this.#loaders = loaders;
    this.sockets = sockets;
    this.openedInS = openedInS;
  }

  /** Opens all the sockets, paced, and says how far it is. */
  static async open(options: LoadOptions): Promise<Load> {
    const { name, ports, perLoader: count, perS } = options;
    const shares = Array.from({ length: options.loaders }, () => count);
    loads++;
    const loaders = await Promise.all(shares.map(() => startChild("./fanout-loader.ts", [])));
    const opened = shares.map(() => 0);
    const total = shares.length * count;
    const sayProgress = (): void =>
      say(`${name}: ${opened.reduce((sum, n) => sum + n, 0)} of ${total} sockets are open`);
    const timer = setInterval(sayProgress, SAY_MS);
    const since = performance.now();
    const opening = loaders.map(async (loader, i) => {
      const isOpen = new Promise<void>((resolve) => {
        loader.on("message", (word: LoaderWord) => {
          if (word.is === "opened") opened[i] = word.count;
          else if (word.is === "connected") resolve();
        });
      });
      const { speaks, follow } = options;
      const from = `127.${loads}.${i}`;
      const rest = { speaks, follow, count, perS: perS / shares.length };
      loader.send({ do: "connect", ports, from, ...rest } satisfies LoaderOrder);
      const failed = once(loader, "exit").then(() => Promise.reject(new Error("a loader ended")));
      failed.catch(() => undefined); // After it was open its end is ours.
      await Promise.race([isOpen, failed]);
    });
    await Promise.all(opening).finally(() => clearInterval(timer));
    const openedInS = (performance.now() - since) / 1_000;
    say(`${name}: ${total} sockets in ${openedInS.toFixed(1)} s`);
    return new Load(loaders, total, openedInS);
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
    const others = words.reduce((sum, word) => sum + word.others, 0);
    return { frames, others, bins, resumed: words.flatMap((word) => word.resumed) };
  }

  /** The sockets are gone with their processes. */
  close(): void {
    for (const loader of this.#loaders) loader.kill("SIGKILL");
  }

  /** CPU of the loaders so far, seconds. */
  cpuS(): number {
    return cpuOf(this.#loaders);
  }
}

const reportOf = (loader: ChildProcess): Promise<Report> =>
  new Promise((resolve) => {
    const onWord = (word: LoaderWord): void => {
      if (word.is !== "report") return;
      loader.off("message", onWord);
      resolve(word);
    };
    loader.on("message", onWord);
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

function cpuOf(processes: readonly ChildProcess[]): number {
  const pids = processes.map(({ pid }, i) => ({ name: String(i), pid: pid as number }));
  return Object.values(cpuSecondsOf(pids)).reduce((sum, s) => sum + s, 0);
}

export const memoryOf = (servers: readonly ChildProcess[]): number =>
  servers.reduce((sum, { pid }) => sum + residentBytes(pid as number), 0);

/** CPU of the whole machine so far, seconds: who else was at work. */
function machineS(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (
    readFileSync("/proc/stat", "utf8").split("\n")[0] ?? ""
  )
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_S;
}

export type Measured = {
  readonly frames: number;
  readonly others: number;
  readonly cpuUsPerFrame: number;
  readonly cores: number;
  readonly loadCores: number;
  readonly machineCores: number;
  readonly lagP50Ms: number;
  readonly lagP99Ms: number;
};

/** Runs one candidate for a while and counts. */
export async function measure(
  load: Load,
  servers: readonly ChildProcess[],
  run: (isOn: boolean) => void,
  seconds: number,
): Promise<Measured> {
  run(true);
  await sleep(2_000);
  load.tell({ do: "reset" });
  const [before, loadBefore, since] = [cpuOf(servers), load.cpuS(), performance.now()];
  const machineBefore = machineS();
  await sleep(seconds * 1_000);
  const tookS = (performance.now() - since) / 1_000;
  const [usedS, loadS] = [cpuOf(servers) - before, load.cpuS() - loadBefore];
  const allS = machineS() - machineBefore;
  const counted = await load.counted();
  run(false);
  await sleep(1_000);
  return {
    frames: counted.frames,
    others: counted.others,
    cpuUsPerFrame: round((usedS / counted.frames) * 1e6, 1),
    cores: round(usedS / tookS, 3),
    loadCores: round(loadS / tookS, 3),
    machineCores: round(allS / tookS, 3),
    lagP50Ms: quantileMs(counted, 0.5),
    lagP99Ms: quantileMs(counted, 0.99),
  };
}

export function mediansOf(all: readonly Measured[]): Measured {
  const of = (key: keyof Measured): number => median(all.map((figures) => figures[key]));
  return {
    frames: of("frames"),
    others: of("others"),
    cpuUsPerFrame: of("cpuUsPerFrame"),
    cores: of("cores"),
    loadCores: of("loadCores"),
    machineCores: of("machineCores"),
    lagP50Ms: of("lagP50Ms"),
    lagP99Ms: of("lagP99Ms"),
  };
}

export const round = (value: number, digits: number): number => Number(value.toFixed(digits));
