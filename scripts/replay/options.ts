/**
 * The command line of the replay, checked. Everything has a default, so that `npm run replay` alone
 * is a pleasant two minutes.
 */
import { parseArgs } from "node:util";

export type ReplayOptions = {
  /** Folder with the fleet's day, demand and addresses; null: a made-up city. */
  readonly data: string | null;
  readonly couriers: number;
  readonly ordersPerDay: number;
  readonly flat: boolean;
  /** World seconds in one second of the clock. */
  readonly compression: number;
  /** Minutes of the clock in which deliveries are created. */
  readonly minutes: number;
  /** Seconds of the clock that open deliveries have to finish after the last create. */
  readonly graceS: number;
  readonly seed: number;
  readonly json: boolean;
  /** Where the HTML page goes; null: reports/replay-<time>.html. */
  readonly report: string | null;
  /** World milliseconds from the offer to the tap. */
  readonly acceptDelayMs: { readonly p50: number; readonly p95: number };
  readonly declineRate: number;
  readonly ignoreRate: number;
  readonly cancelRate: number;
  readonly trackShare: number;
  readonly addressShare: number;
  readonly capacity: number;
  /** World time at which it begins, seconds since midnight. */
  readonly startS: number;
  /** Public door; null: the one that `npm start` opens. */
  readonly url: string | null;
  /** Whether to check Postgres and the events at the end. */
  readonly check: boolean;
};

export const USAGE = `npm run replay -- [options]   (the system must be running: npm start)
  --data DIR             real data (fleet day, demand, addresses); without: a made-up city
  --couriers N           default 60, with --data 377; up to 4000
  --orders-per-day N     default 70 a courier; with --data 25
  --flat                 the same rate at all hours
  --compression X        world seconds in a second, default 20, with --data 10
  --minutes M            of the clock, default 2
  --grace-s S            seconds for what is open at the end, default 45 min of world time
  --start HH:MM          world time at the start, default 12:00
  --seed S               default 1
  --accept-delay-ms A,B  median and 95 % of a courier's answer in world time, default 6000,18000
  --decline-rate R       default 0.1       --ignore-rate R    default 0.05
  --cancel-rate R        default 0.02      --track-share R    default 0.2
  --address-share R      deliveries given by address where the server has a city, default 0.3
  --capacity N           deliveries a courier carries at once, default 2
  --url URL              public door, default http://127.0.0.1:8080
  --report FILE          HTML page, default reports/replay-<time>.html
  --json                 the report as JSON on standard output, all else on standard error
  --no-check             do not check Postgres and the events at the end`;

/**
 * What is open after the last create has the longest usual delivery, and the time of a restart, to
 * finish.
 */
const GRACE_WORLD_S = 2_700;
const GRACE_WALL_S = 20;

/** Throws an Error whose message is for the user. */
export function parseReplayArgs(args: readonly string[]): ReplayOptions {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: text,
      couriers: text,
      "orders-per-day": text,
      flat: flag,
      compression: text,
      minutes: text,
      "grace-s": text,
      start: text,
      seed: text,
      "accept-delay-ms": text,
      "decline-rate": text,
      "ignore-rate": text,
      "cancel-rate": text,
      "track-share": text,
      "address-share": text,
      capacity: text,
      url: text,
      report: text,
      json: flag,
      "no-check": flag,
    },
  });
  const number = (name: keyof typeof values, usual: number, min: number, max: number): number => {
    const given = values[name];
    const value = given === undefined ? usual : Number(given);
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    throw new Error(`--${name} must be a number from ${min} to ${max}`);
  };
  const data = values.data ?? null;
  const couriers = Math.round(number("couriers", data === null ? 60 : 377, 1, 4_000));
  const orders = couriers * (data === null ? 70 : 25);
  const compression = number("compression", data === null ? 20 : 10, 0.1, 200);
  return {
    data,
    couriers,
    ordersPerDay: number("orders-per-day", orders, 0, 1e7),
    flat: values.flat ?? false,
    compression,
    minutes: number("minutes", 2, 0.05, 1_440),
    graceS: number("grace-s", GRACE_WALL_S + GRACE_WORLD_S / compression, 0, 86_400),
    seed: Math.round(number("seed", 1, 0, 2 ** 31)),
    json: values.json ?? false,
    report: values.report ?? null,
    acceptDelayMs: delayOf(values["accept-delay-ms"] ?? "6000,18000"),
    declineRate: number("decline-rate", 0.1, 0, 1),
    ignoreRate: number("ignore-rate", 0.05, 0, 1),
    cancelRate: number("cancel-rate", 0.02, 0, 1),
    trackShare: number("track-share", 0.2, 0, 1),
    addressShare: number("address-share", 0.3, 0, 1),
    capacity: Math.round(number("capacity", 2, 1, 20)),
    startS: timeOf(values.start ?? "12:00"),
    url: values.url ?? null,
    check: !(values["no-check"] ?? false),
  };
}

function delayOf(text: string): { p50: number; p95: number } {
  const [p50 = Number.NaN, p95 = Number.NaN] = text.split(",").map(Number);
  if (p50 > 0 && p95 > p50) return { p50, p95 };
  throw new Error("--accept-delay-ms is two numbers, median,95 %, the second greater: 6000,18000");
}

function timeOf(text: string): number {
  const match = /^(\d{1,2}):(\d{2})$/.exec(text);
  const [hours, minutes] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && hours < 24 && minutes < 60) return hours * 3_600 + minutes * 60;
  throw new Error("--start is a time of day such as 12:30");
}
