/** What simulated apps are given: a network, a clock, chance, and the ears of the checks. */
import type { Clock as SdkClock } from "../sdk/clock.ts";
import type { CustomerOptions } from "../sdk/customer-client.ts";
import type { Checks } from "./checks.ts";
import type { SimClock } from "./clock.ts";
import type { Doors, Phone } from "./doors.ts";
import type { History } from "./history.ts";
import { Machine } from "./machine.ts";
import type { SeededRandom } from "./random.ts";
import { ToldVersions } from "./told.ts";

/** How often people do what an app cannot foresee, of assignments, each 0 to 1. */
export type People = { readonly vanishRate: number; readonly standRate: number };

export type AppPorts = {
  readonly clock: SimClock;
  readonly doors: Doors;
  readonly checks: Checks;
  readonly history: History;
  readonly people: () => People;
  /** Customers come, and faults may happen. */
  readonly isOpen: () => boolean;
};

const SKEW_MAX_MS = 3_000;

/** A phone that has just been turned on. */
export function makePhone(
  owner: string,
  { clock, history }: AppPorts,
  random: SeededRandom,
  name = owner,
): Phone {
  const skew = { offsetMs: random.between(-SKEW_MAX_MS, SKEW_MAX_MS), driftPpm: 0 };
  const onFrame = (): void => undefined;
  return {
    name,
    owner,
    machine: new Machine(name, clock, skew),
    isOffline: false,
    sockets: new Set(),
    told: new ToldVersions(history, name),
    onFrame,
  };
}

/** How long a token of an app is good: many run out within a run. */
const TOKEN_TTL_MS = 240_000;

/**
 * The options of every client of the SDK on that phone. `who`: role and subject, `courier:cur_1`.
 */
export function sessionOptions(
  who: string,
  phone: Phone,
  { doors }: AppPorts,
  random: SeededRandom,
): CustomerOptions & { readonly fetch: typeof fetch } {
  return {
    url: "http://sim",
    getToken: () => `${who}:${phone.machine.now() + TOKEN_TTL_MS}`,
    webSocket: doors.socketOf(phone),
    fetch: doors.fetchOf(phone),
    clock: sdkClock(phone.machine),
    random: () => random.unit(),
    client: "sim",
  };
}

const sdkClock = ({ clock }: Machine): SdkClock => ({
  now: () => clock.now(),
  setTimer: (run, ms) => clock.after(ms, run),
  clearTimer: (cancel) => (cancel as () => void)(),
});
