/**
 * `npm run bench:dispatch -- --creates-per-s 50 --couriers 2000 --seconds 30`: create -> third
 * offer, measured by the gateway itself (`hexdispatch_offer_delay_seconds{ordinal="3"}`, from the
 * receipt of the POST to the frame handed to the socket). The same is measured from outside, from
 * the scheduled moment of the create to the frame's arrival at the courier: slower by both
 * generators' own delays, but complete, also for deliveries of which the gateway does not know when
 * they were received. The load is open: creates follow a schedule and wait for no answer, so a slow
 * system is not asked more slowly. Couriers live in a process of their own
 * (`dispatch-couriers.ts`), accept at once and deliver at once, so that they are free again. The
 * generator shares the machine with the system; its own lag is part of the figures.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findSystem, scrape } from "../scripts/replay/system.ts";
import type { System } from "../scripts/replay/system.ts";
import { quantile } from "../scripts/replay/stats.ts";
import { bucketsOf, bucketQuantile, subtractBuckets } from "./buckets.ts";
import type { Buckets } from "./buckets.ts";
import { cpuSecondsOf } from "./cpu.ts";
import { BOX } from "./dispatch-box.ts";
import type { CourierCounts } from "./dispatch-couriers.ts";
import { report, seeded } from "./report.ts";

const HISTOGRAM = "hexdispatch_offer_delay_seconds";
const TICK_MS = 4;
const SOCKETS_MAX = 128;
const WARM_UP_MS = 3_000;
/** After the last create: what is under way ends. */
const COOL_DOWN_MS = 4_000;

const whole = (text: string, name: string): number => {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} must be a number above 0`);
};

type Creates = {
  sent: number;
  readonly answers: Map<string, number>;
  /** Milliseconds from the scheduled moment to the answer. */
  readonly answerMs: number[];
  /** When the create of a delivery was due: milliseconds since 1970 with a fraction. */
  readonly dueAt: Map<string, number>;
  /** Milliseconds that the generator was late. */
  readonly lagMs: number[];
};

/** Sends creates at `perS` for `seconds`, then waits for the last answers. */
async function sendCreates(
  system: System,
  token: string,
  perS: number,
  seconds: number,
): Promise<Creates> {
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, scheduling: "fifo" });
  const creates: Creates = {
    sent: 0,
    answers: new Map(),
    answerMs: [],
    dueAt: new Map(),
    lagMs: [],
  };
  const random = seeded(7);
  const run = `${Date.now()}`;
  const startedAt = performance.now();
  const total = Math.round(perS * seconds);
  let waiting = 0;
  const sendOne = (): void => {
    const dueAt = startedAt + (creates.sent / perS) * 1_000;
    creates.lagMs.push(performance.now() - dueAt);
    const body = bodyOf(random);
    const headers = {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "idempotency-key": `bench-${run}-${creates.sent++}`,
    };
    waiting++;
    const done = (outcome: string): void => {
      waiting--;
      creates.answerMs.push(performance.now() - dueAt);
      creates.answers.set(outcome, (creates.answers.get(outcome) ?? 0) + 1);
    };
    const url = `${system.publicUrl}/v1/deliveries`;
    const call = request(url, { method: "POST", agent, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.once("end", () => {
        const id = /"delivery_id":"(\w+)"/.exec(text)?.[1];
        if (id !== undefined) creates.dueAt.set(id, performance.timeOrigin + dueAt);
        done(String(answer.statusCode));
      });
    });
    call.once("error", (error) => done((error as NodeJS.ErrnoException).code ?? "error"));
    call.end(body);
  };
  while (creates.sent < total) {
    const due = Math.min(total, ((performance.now() - startedAt) / 1_000) * perS);
    while (creates.sent < due) sendOne();
    await sleep(TICK_MS);
  }
  for (let i = 0; i < 1_000 && waiting > 0; i++) await sleep(10);
  agent.destroy();
  return creates;
}

function bodyOf(random: () => number): string {
  const lng = BOX.west + random() * (BOX.east - BOX.west);
  const lat = BOX.south + random() * (BOX.north - BOX.south);
  return `{"origin":{"lat":${lat},"lng":${lng}},"destination":{"lat":${lat + 0.01},"lng":${lng - 0.01}},"package_size":"small","phone":"+1-415-555-0100"}`;
}

async function offerDelays(system: System, ordinal: string): Promise<Buckets> {
  const metrics = await scrape(system.adminUrl);
  if (metrics === null)
    throw new Error(`no metrics at ${system.adminUrl}: run \`npm start\` first`);
  return bucketsOf(metrics, HISTOGRAM, { ordinal });
}

/** Starts the couriers' process and waits until all are on shift. */
async function startCouriers(system: System, count: number): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL("./dispatch-couriers.ts", import.meta.url)), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  child.send({ url: system.publicUrl, couriers: count });
  const [ready] = (await Promise.race([
    once(child, "message"),
    once(child, "exit").then(() => {
      throw new Error("the couriers' process ended before it was ready");
    }),
  ])) as [unknown];
  if (ready !== "ready") throw new Error(`unexpected word of the couriers: ${String(ready)}`);
  return child;
}

async function countsOf(child: ChildProcess): Promise<CourierCounts> {
  child.send("stop");
  const [counts] = (await once(child, "message")) as [CourierCounts];
  return counts;
}

/** Milliseconds from the scheduled create to the arrival of its `ordinal`-th offer. */
function outsideDelaysMs(creates: Creates, counts: CourierCounts, ordinal: number): number[] {
  const delays: number[] = [];
  for (const [id, dueAt] of creates.dueAt) {
    const at = counts.offeredAt[id]?.[ordinal - 1];
    if (at !== undefined) delays.push(at - dueAt);
  }
  return delays;
}

const ms = (seconds: number | null): number | null =>
  seconds === null ? null : Math.round(seconds * 1e5) / 100;
const short = (value: number | null): number | null =>
  value === null ? null : Math.round(value * 100) / 100;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "creates-per-s": { type: "string", default: "50" },
      couriers: { type: "string", default: "2000" },
      seconds: { type: "string", default: "30" },
      url: { type: "string" },
      /** NAME=PID of a process that `npm start` does not know: its processor time is told, too. */
      pid: { type: "string", multiple: true, default: [] },
    },
  });
  const more = values.pid.map((text) => {
    const [name = "", pid = ""] = text.split("=");
    return { name, pid: whole(pid, "pid") };
  });
  const perS = whole(values["creates-per-s"], "creates-per-s");
  const couriers = whole(values.couriers, "couriers");
  const seconds = whole(values.seconds, "seconds");
  const system = findSystem(values.url ?? null);
  const token = await system.token("customer", "cus_bench");
  const child = await startCouriers(system, couriers);
  await sleep(WARM_UP_MS);
  const ordinals = ["1", "2", "3"] as const;
  const before = await Promise.all(ordinals.map((ordinal) => offerDelays(system, ordinal)));
  const cpuBefore = cpuSecondsOf([...system.processes, ...more]);
  const creates = await sendCreates(system, token, perS, seconds);
  await sleep(COOL_DOWN_MS);
  const after = await Promise.all(ordinals.map((ordinal) => offerDelays(system, ordinal)));
  const cpuAfter = cpuSecondsOf([...findSystem().processes, ...more]);
  const counts = await countsOf(child);
  const delays = ordinals.map((_, i) => subtractBuckets(after[i] as Buckets, before[i] as Buckets));
  const of = (delay: Buckets | undefined) => ({
    n: delay?.count ?? 0,
    p50: ms(bucketQuantile(delay, 0.5)),
    p95: ms(bucketQuantile(delay, 0.95)),
    p99: ms(bucketQuantile(delay, 0.99)),
  });
  const cpuMs = Object.fromEntries(
    Object.entries(cpuAfter).map(([name, cpuS]) => [
      name,
      short(((cpuS - (cpuBefore[name] ?? 0)) * 1_000) / Math.max(1, counts.delivered)),
    ]),
  );
  const outside = outsideDelaysMs(creates, counts, 3);
  const { offeredAt: _, ...couriersSaw } = counts;
  report("dispatch", {
    createsPerS: perS,
    couriers,
    seconds,
    offerDelayMs: { first: of(delays[0]), second: of(delays[1]), third: of(delays[2]) },
    thirdOfferFromOutsideMs: {
      n: outside.length,
      p50: short(quantile(outside, 0.5)),
      p95: short(quantile(outside, 0.95)),
      p99: short(quantile(outside, 0.99)),
    },
    createAnswerMs: {
      p50: short(quantile(creates.answerMs, 0.5)),
      p99: short(quantile(creates.answerMs, 0.99)),
    },
    creates: Object.fromEntries(creates.answers),
    couriersSaw,
    cpuMsPerDelivery: cpuMs,
    generatorLagMs: {
      p50: short(quantile(creates.lagMs, 0.5)),
      p99: short(quantile(creates.lagMs, 0.99)),
      max: short(quantile(creates.lagMs, 1)),
    },
  });
}

await main();
