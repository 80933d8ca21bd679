/**
 * One replay from beginning to end: the world, the bots, the minutes of demand, the grace in which
 * open deliveries finish, the cleaning up, the check. It speaks to the system only through its
 * public doors, except for metrics and the final check.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DispatchError } from "../../proto/errors.ts";
import { CustomerClient } from "../../sdk/customer-client.ts";
import { RestClient, newKey } from "../../sdk/rest.ts";
import { Customers, end } from "./customers.ts";
import { readDataWorld } from "./data-world.ts";
import { FleetOfBots, inParallel, webSocket } from "./fleet-of-bots.ts";
import { makeWorld } from "./made-world.ts";
import { sampleMemory } from "./memory.ts";
import type { Sample } from "./memory.ts";
import type { ReplayOptions } from "./options.ts";
import { seeded } from "./random.ts";
import { scrape } from "./system.ts";
import type { System } from "./system.ts";
import { Tales } from "./tales.ts";
import type { Tale } from "./tales.ts";
import { WorldClock } from "./world-clock.ts";
import type { World } from "./world.ts";

/** The wall-clock milliseconds of the parts of a run. */
export type Phases = { startedAt: number; createdUntil: number; endedAt: number };
export type Run = {
  readonly options: ReplayOptions;
  readonly world: World;
  readonly addresses: boolean;
  readonly tales: Tales;
  readonly phases: Phases;
  readonly samples: readonly Sample[];
  /** What changed in the gateway's counters, by metric. */
  readonly gatewayCounters: ReadonlyMap<string, number>;
};

const CUSTOMERS_MAX = 50;
const SAMPLE_MS = 5_000;
const ASK_AT_ONCE = 16;

export type Say = {
  /** A line that stays. */
  readonly line: (text: string) => void;
  /** The one line that is refreshed. */
  readonly progress: (text: string) => void;
};

export async function runReplay(options: ReplayOptions, system: System, say: Say): Promise<Run> {
  const { seed, couriers, ordersPerDay, flat, startS } = options;
  if (options.data !== null) say.line(`reading ${options.data} ...`);
  const world =
    options.data === null
      ? makeWorld({ couriers, ordersPerDay, seed, startS })
      : await readDataWorld({ folder: options.data, couriers, ordersPerDay, seed, flat });
  const addresses = options.data !== null && (await knowsAddresses(system, world, options));
  const tales = new Tales();
  const clock = new WorldClock(startS, options.compression);
  const fleet = new FleetOfBots();
  say.line(`${world.name}: ${couriers} couriers, world time x ${options.compression}`);
  const before = await scrape(system.adminUrl);
  await fleet.open(system, world, clock, tales, options, (count) =>
    say.progress(`connecting couriers: ${count}/${couriers}`),
  );
  const phases: Phases = { startedAt: Date.now(), createdUntil: 0, endedAt: 0 };
  const customers = await openCustomers(system, world, clock, tales, options, addresses);
  const samples: Sample[] = [];
  const watch = setInterval(() => {
    void sample(system, fleet, tales).then((taken) => samples.push(taken));
  }, SAMPLE_MS);
  const show = (): void => say.progress(progressLine(tales, fleet, phases, options));
  try {
    await waitForCouriers(fleet);
    phases.startedAt = Date.now();
    await create(customers, phases.startedAt + options.minutes * 60_000, show);
    phases.createdUntil = Date.now();
    await letFinish(system, tales, fleet, customers, options, show);
    phases.endedAt = Date.now();
  } finally {
    clearInterval(watch);
    customers.close();
    await fleet.close(tales);
  }
  samples.push(await sample(system, fleet, tales));
  const after = await scrape(system.adminUrl);
  const gatewayCounters = difference(before, after);
  return { options, world, addresses, tales, phases, samples, gatewayCounters };
}

/** The first demand should find the fleet there: a moment for the first pings. */
async function waitForCouriers(fleet: FleetOfBots): Promise<void> {
  for (let i = 0; i < 30 && fleet.onShift < fleet.bots.length / 3; i++) await sleep(100);
  await sleep(500);
}

async function openCustomers(
  system: System,
  world: World,
  clock: WorldClock,
  tales: Tales,
  replay: ReplayOptions,
  addresses: boolean,
): Promise<Customers> {
  const count = Math.max(1, Math.min(CUSTOMERS_MAX, Math.ceil(replay.couriers / 10)));
  const clients = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const sub = `cus_replay_${i + 1}`;
      const token = await system.token("customer", sub);
      const getToken = (): string => token;
      const client = new CustomerClient({ url: system.publicUrl, getToken, webSocket });
      return { sub, client };
    }),
  );
  const random = seeded(replay.seed * 31 + 7);
  return new Customers({ clients, world, clock, tales, random, replay, addresses });
}

async function create(customers: Customers, until: number, show: () => void): Promise<void> {
  let shownAt = 0;
  while (Date.now() < until) {
    customers.tick();
    if (Date.now() - shownAt >= 500) {
      show();
      shownAt = Date.now();
    }
    await sleep(20);
  }
}

/**
 * Waits until nothing is open, bounded; what still is then is canceled by the operator, so that
 * nothing is left behind.
 */
export async function letFinish(
  system: System,
  tales: Tales,
  fleet: FleetOfBots,
  customers: Customers,
  options: ReplayOptions,
  show: () => void,
): Promise<void> {
  const until = Date.now() + options.graceS * 1_000;
  const token = await system.token("operator", "ops_replay");
  const rest = new RestClient({ url: system.publicUrl, getToken: () => token });
  const open = (): Tale[] => openOf(tales);
  let askedAt = Date.now();
  while (Date.now() < until && (customers.waiting > 0 || open().length > 0)) {
    show();
    await sleep(500);
    if (Date.now() - askedAt < 5_000) continue;
    await askAfter(rest, open(), tales);
    askedAt = Date.now();
  }
  fleet.stopTaking();
  await askAfter(rest, open(), tales);
  await inParallel(open(), ASK_AT_ONCE, async (tale) => {
    tale.cutOff = true;
    tale.reason = tale.acceptedAt === null ? "waiting_at_end" : "under_way_at_end";
    try {
      await rest.cancel(tale.id, newKey());
    } catch (error) {
      tales.error("cancel at the end", error);
    }
  });
}

/** Reads how deliveries stand that nobody follows. */
async function askAfter(rest: RestClient, open: readonly Tale[], tales: Tales): Promise<void> {
  await inParallel(open, ASK_AT_ONCE, async (tale) => {
    try {
      const { body } = await rest.delivery(tale.id);
      if (body !== null) end(tale, body.status, body.status_reason);
      if (body !== null && tale.status === "open") tale.reason = body.status_reason;
    } catch (error) {
      tales.error("read", error);
    }
  });
}

/**
 * Asks for a delivery that no server takes, by an address: the refusal tells whether a city is
 * loaded.
 */
async function knowsAddresses(
  system: System,
  world: World,
  options: ReplayOptions,
): Promise<boolean> {
  const address = world.order(options.startS, seeded(options.seed)).origin.address;
  if (address === null) return false;
  const token = await system.token("customer", "cus_replay_1");
  const rest = new RestClient({ url: system.publicUrl, getToken: () => token });
  const nowhere = { lat: 0, lng: 0 };
  const phone = "+1-415-555-0100";
  try {
    const probe = { origin_address: address, destination: nowhere, phone };
    await rest.createDelivery({ ...probe, package_size: "small" }, newKey());
    return true;
  } catch (error) {
    if (!(error instanceof DispatchError)) throw error;
    const codes = [error.code, ...error.errors.map((field) => field.code)];
    return !codes.includes("city_not_loaded") && codes.includes("outside_service_area");
  }
}

async function sample(system: System, fleet: FleetOfBots, tales: Tales): Promise<Sample> {
  const memory = await sampleMemory(system);
  return {
    ...memory,
    at: Date.now(),
    open: openOf(tales).length,
    onShift: fleet.onShift,
    busy: fleet.busy,
    connected: fleet.connected,
  };
}

const openOf = (tales: Tales): Tale[] => tales.own().filter(({ status }) => status === "open");

function difference(
  before: ReadonlyMap<string, number> | null,
  after: ReadonlyMap<string, number> | null,
): Map<string, number> {
  const changes = new Map<string, number>();
  for (const [name, value] of after ?? []) {
    const total = /^hexdispatch_[a-z_]*_total(\{|$)/.test(name);
    const change = value - (before?.get(name) ?? 0);
    if (total && change > 0 && !name.startsWith("hexdispatch_process")) changes.set(name, change);
  }
  return changes;
}

function progressLine(
  tales: Tales,
  fleet: FleetOfBots,
  phases: Phases,
  options: ReplayOptions,
): string {
  const count = (name: string): number => tales.counts.get(name) ?? 0;
  const seconds = (Date.now() - phases.startedAt) / 1_000;
  const phase =
    phases.createdUntil > 0 ? "finishing" : `${Math.round(options.minutes * 60 - seconds)} s to go`;
  const errors = [...tales.errors.values()].reduce((sum, value) => sum + value, 0);
  return [
    `${seconds.toFixed(0)} s (${phase})`,
    `created ${tales.acknowledged.creates.length}`,
    `accepted ${count("accepts")}`,
    `delivered ${count("delivered")}`,
    `couriers ${fleet.busy} busy of ${fleet.onShift} on shift`,
    `${Math.round(count("pings") / Math.max(1, seconds))} pings/s`,
    `refused or failed ${errors}`,
  ].join(" | ");
}
