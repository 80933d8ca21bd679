/**
 * What goes wrong, and when: drawn from the seed before the run begins, printed with it, and played
 * back without the one or other when a failing run is shortened. A plan is drawn in one of two
 * ways. `some`: not every run has every kind, because a fault is also found by what is absent
 * beside it (swarm testing; Groce and others, 2012). `all`: each kind of noise goes on all the
 * time, and no kind of fault comes again before all the others have come.
 */
import type { People } from "./app-ports.ts";
import type { StoreNoise } from "./fake-postgres.ts";
import { QUIET_STORE } from "./fake-postgres.ts";
import { QUIET } from "./network.ts";
import type { Noise } from "./network.ts";
import type { SeededRandom } from "./random.ts";

/** Kinds of single faults; what each does is in `injector.ts`. */
export const FAULT_KINDS = [
  "node_crash",
  "node_pause",
  "node_drain",
  "node_cut",
  "node_one_way",
  "nodes_apart",
  "node_no_store",
  "gateway_crash",
  "gateway_pause",
  "gateway_drain",
  "gateway_cut",
  "nats_down",
  "stream_leader",
  "cells_lost",
  "nats_credentials",
  "nats_closed",
  "streams_lost",
  "stream_wedged",
  "jetstream_off",
  "consumer_gone",
  "store_outage",
  "store_login",
  "store_errors",
  "store_commits",
  "store_read_only",
  "store_refusals",
  "store_table",
  "store_clock",
  "clock_step",
  "phone_vanish",
  "phone_offline",
  "phone_second",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** How a plan is drawn: some kinds of faults in each run, or all of them. */
export type Draw = "some" | "all";

export type Fault = {
  /** From the start of the run. */
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly lastsMs: number;
  /** Which node, gateway, courier or stream: taken modulo their number. */
  readonly target: number;
  /** For whatever else the kind needs to decide, 0 to 1. */
  readonly chance: number;
};

export type Plan = {
  readonly network: Noise;
  readonly store: StoreNoise;
  /** Of REST answers. */
  readonly answerLostRate: number;
  readonly people: People;
  readonly faults: readonly Fault[];
};

export const NO_PLAN: Plan = {
  network: QUIET,
  store: QUIET_STORE,
  answerLostRate: 0,
  people: { vanishRate: 0, standRate: 0 },
  faults: [],
};

/** How often a kind is drawn, beside the others, and how long it lasts, milliseconds. */
const KINDS: Readonly<Record<FaultKind, readonly [weight: number, minMs: number, maxMs: number]>> =
  {
    node_crash: [5, 100, 5_000],
    node_pause: [4, 200, 6_000],
    node_drain: [2, 100, 2_000],
    node_cut: [3, 300, 6_000],
    node_one_way: [3, 300, 6_000],
    nodes_apart: [3, 300, 8_000],
    node_no_store: [2, 500, 10_000],
    gateway_crash: [3, 500, 8_000],
    gateway_pause: [2, 200, 4_000],
    gateway_drain: [1, 100, 2_000],
    gateway_cut: [3, 300, 6_000],
    nats_down: [1, 500, 30_000],
    stream_leader: [3, 4_000, 9_000],
    cells_lost: [1, 0, 0],
    nats_credentials: [2, 500, 15_000],
    nats_closed: [2, 0, 0],
    streams_lost: [1, 0, 0],
    stream_wedged: [2, 1_000, 20_000],
    jetstream_off: [1, 1_000, 12_000],
    consumer_gone: [1, 0, 0],
    store_outage: [3, 1_000, 30_000],
    store_login: [3, 1_000, 20_000],
    store_errors: [4, 500, 20_000],
    store_commits: [2, 500, 15_000],
    store_read_only: [2, 500, 10_000],
    store_refusals: [1, 4_000, 20_000],
    store_table: [1, 20_000, 100_000],
    store_clock: [1, 0, 0],
    clock_step: [2, 0, 0],
    phone_vanish: [4, 5_000, 120_000],
    phone_offline: [5, 500, 60_000],
    phone_second: [3, 2_000, 60_000],
  };

const KIND_RATE = 0.7;
const MEAN_GAP_MIN_MS = 6_000;
/** With all kinds in turn less, so that each of them comes within ten minutes. */
const MEAN_GAP_MAX_MS: Readonly<Record<Draw, number>> = { some: 40_000, all: 12_000 };
/** The first seconds belong to the start. */
const FIRST_MS = 8_000;

/** Half of the time nothing of the sort, else up to `max`. With all faults on always something. */
function rateOf(random: SeededRandom, max: number, draw: Draw): number {
  if (draw === "all") return random.between(max / 10, max);
  return random.chance(0.5) ? random.between(0, max) : 0;
}

/** All that goes wrong in a run of so many minutes. */
export function drawPlan(random: SeededRandom, minutes: number, draw: Draw = "some"): Plan {
  const kinds = FAULT_KINDS.filter(() => random.chance(KIND_RATE) || draw === "all");
  const rate = (max: number): number => rateOf(random, max, draw);
  const network = {
    lostRate: rate(0.04),
    twiceRate: rate(0.04),
    slowRate: rate(0.03),
  };
  const store = {
    failRate: rate(0.02),
    unknownRate: rate(0.02),
    slowRate: rate(0.02),
  };
  const people = { vanishRate: rate(0.15), standRate: rate(0.1) };
  const answerLostRate = rate(0.05);
  const meanGapMs = random.between(MEAN_GAP_MIN_MS, MEAN_GAP_MAX_MS[draw]);
  const faults: Fault[] = [];
  const turn = new Set<FaultKind>();
  const endMs = minutes * 60_000;
  for (let atMs = FIRST_MS; ;) {
    atMs += random.between(0, 2) * meanGapMs;
    if (atMs >= endMs || kinds.length === 0) break;
    const left = kinds.filter((kind) => !turn.has(kind));
    const fault = drawFault(random, left, Math.round(atMs), endMs);
    faults.push(fault);
    if (draw === "all") turn.add(fault.kind);
    if (turn.size === kinds.length) turn.clear();
  }
  return { network, store, people, answerLostRate, faults };
}

function drawFault(
  random: SeededRandom,
  kinds: readonly FaultKind[],
  atMs: number,
  endMs: number,
): Fault {
  const total = kinds.reduce((sum, kind) => sum + KINDS[kind][0], 0);
  let left = random.between(0, total);
  const kind = kinds.find((one) => (left -= KINDS[one][0]) < 0) ?? (kinds[0] as FaultKind);
  const [, minMs, maxMs] = KINDS[kind];
  // Short ones are more frequent than long ones.
  const lastsMs = Math.round(minMs + (maxMs - minMs) * random.unit() ** 2);
  const target = random.whole(0, 999);
  return { atMs, kind, lastsMs: Math.min(lastsMs, endMs - atMs), target, chance: random.unit() };
}

/** One line for people. */
export const faultText = ({ atMs, kind, lastsMs, target }: Fault): string =>
  `${(atMs / 1_000).toFixed(1)} s ${kind} #${target} for ${(lastsMs / 1_000).toFixed(1)} s`;
