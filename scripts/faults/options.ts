// The command line of `npm run faults`, checked.

import { parseArgs } from "node:util";
import { parseReplayArgs } from "../replay/options.ts";
import type { ReplayOptions } from "../replay/options.ts";
import { PLANS, planOf } from "./plan.ts";
import type { PlanItem, PlanName } from "./plan.ts";

export interface FaultOptions {
  readonly plan: readonly PlanItem[];
  readonly planName: PlanName;
  readonly json: boolean;
  readonly nodes: number;
  readonly gateways: number;
  readonly shards: number;
  /** Whether to put hosts into network namespaces where that is allowed. */
  readonly namespaces: boolean;
  /** No fault begins later than this after the start, minutes. */
  readonly limitMin: number;
  /** Where the history goes as JSON lines; null: nowhere. */
  readonly history: string | null;
  /** Where the report goes as JSON after each round; null: nowhere. */
  readonly report: string | null;
  /** A folder for the logs of all processes; null: they are removed. */
  readonly keepLogs: string | null;
  readonly load: ReplayOptions;
}

export const USAGE = `npm run faults -- [options]   brings up its own cluster and breaks it
  --plan quick|full|issue|issue10  how often each fault is done, default quick
  --only NAME            only this fault; may be given more than once
  --count N              each fault N times
  --data DIR             the load is a replay of real data; without: of a made-up city
  --couriers N           default 60
  --orders-per-day N     default 80 a courier
  --compression X        world seconds in a second, default 20
  --seed S               default 1
  --nodes N              default 3          --gateways N     default 2
  --shards N             default 16; one probe courier each, room for 32
  --one-host             no network namespaces even where they are allowed
  --limit-min M          no fault begins later than this, default 30, full 240, issue 55,
                         issue10 180
  --history FILE         every request with its times and outcome, as JSON lines
  --report FILE          the report as JSON, written anew after each round
  --keep-logs DIR        where the logs of all processes go at the end
  --json                 the report as JSON on standard output, all else on standard error`;

const LIMIT_MIN: Readonly<Record<PlanName, number>> = {
  quick: 30,
  full: 240,
  issue: 55,
  issue10: 180,
};

const isPlan = (name: string): name is PlanName => (PLANS as readonly string[]).includes(name);

/** Throws an Error whose message is for the user. */
export function parseFaultArgs(args: readonly string[]): FaultOptions {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      plan: text,
      only: { type: "string", multiple: true },
      count: text,
      data: text,
      couriers: text,
      "orders-per-day": text,
      compression: text,
      seed: text,
      nodes: text,
      gateways: text,
      shards: text,
      "one-host": flag,
      "limit-min": text,
      history: text,
      report: text,
      "keep-logs": text,
      json: flag,
    },
  });
  const whole = (name: keyof typeof values, usual: number, min: number, max: number): number => {
    const value = values[name] === undefined ? usual : Number(values[name]);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new Error(`--${name} must be a whole number from ${min} to ${max}`);
  };
  const planName = values.plan ?? "quick";
  if (!isPlan(planName)) throw new Error(`--plan is ${PLANS.join(" or ")}`);
  const count = values.count === undefined ? null : whole("count", 1, 1, 1_000);
  const couriers = whole("couriers", 60, 2, 4_000);
  const orders = whole("orders-per-day", couriers * 80, 1, 10_000_000);
  return {
    plan: planOf(planName, values.only ?? [], count),
    planName,
    json: values.json ?? false,
    nodes: whole("nodes", 3, 1, 9),
    gateways: whole("gateways", 2, 1, 9),
    shards: whole("shards", 16, 1, 32),
    namespaces: !(values["one-host"] ?? false),
    limitMin: whole("limit-min", LIMIT_MIN[planName], 1, 1_440),
    history: values.history ?? null,
    report: values.report ?? null,
    keepLogs: values["keep-logs"] ?? null,
    load: parseReplayArgs([
      ...(values.data === undefined ? [] : ["--data", values.data]),
      ...["--couriers", String(couriers), "--orders-per-day", String(orders), "--flat"],
      ...["--compression", values.compression ?? "20", "--seed", values.seed ?? "1"],
      ...["--grace-s", "90"],
    ]),
  };
}
