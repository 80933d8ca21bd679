/** What goes wrong with Postgres, and the faults of a plan as such troubles. */
import type { Fault } from "./faults.ts";
import type { Method } from "./fake-postgres.ts";
import { REFUSALS, groupsOf } from "./server-errors.ts";
import type { Group, Phase } from "./server-errors.ts";

export type Trouble = {
  readonly phase: Phase;
  /** Of which an error is drawn for each statement; null: there is no answer at all. */
  readonly group: Group | null;
  readonly hits: "all" | "writes" | Method;
  /** Of the statements that it hits. */
  readonly rate: number;
  /** Of the pools: their open sessions end when it begins. */
  readonly endsRate: number;
  /** Sessions that are opened meanwhile lead to a server that does not write, for ever. */
  readonly isReadOnly: boolean;
  /** It hits the same command so often and no more. */
  readonly once: Limit | null;
};

/** Counts how often a command was hit. */
export class Limit {
  readonly #timesMax: number;
  readonly #times = new Map<string, number>();

  constructor(timesMax: number) {
    this.#timesMax = timesMax;
  }

  isSpent(args: readonly unknown[]): boolean {
    const { job } = (args[0] ?? {}) as { readonly job?: { readonly id: string } };
    const name = job?.id ?? JSON.stringify(args);
    const times = this.#times.get(name) ?? 0;
    this.#times.set(name, times + 1);
    return times >= this.#timesMax;
  }
}

const QUIET: Omit<Trouble, "phase" | "group" | "hits"> = {
  rate: 1,
  endsRate: 0,
  isReadOnly: false,
  once: null,
};

const REFUSED: Group = { name: "refused", codes: ["ECONNREFUSED"] };
const READ_ONLY: Group = { name: "read-only", codes: ["25006"] };
const OUTAGES: readonly Trouble[] = [
  { ...QUIET, phase: "connect", group: REFUSED, hits: "all", endsRate: 1 },
  { ...QUIET, phase: "statement", group: null, hits: "all" },
  { ...QUIET, phase: "statement", group: READ_ONLY, hits: "writes" },
];
/** Grants and tables may be missing for one kind of statement alone. */
const METHODS: readonly Method[] = [
  ...["create", "accept", "status", "write", "outboxBatch", "outboxDone", "takeShards"],
  ...["courierSnapshot", "snapshot", "due", "keepAnswer", "delivery", "saveLastKnown"],
] as Method[];

const nth = <T>(items: readonly T[], n: number): T => items[n % items.length] as T;

/** The trouble that a fault of the store is. */
export function troubleOf({
  kind,
  target,
  chance,
}: Pick<Fault, "kind" | "target" | "chance">): Trouble {
  switch (kind) {
    case "store_outage":
      return nth(OUTAGES, target);
    case "store_login": {
      // Some sessions are kept: then one process sees an outage and another does not.
      const endsRate = chance < 0.3 ? 0.5 : 1;
      return {
        ...QUIET,
        phase: "connect",
        group: nth(groupsOf("connect"), target),
        hits: "all",
        endsRate,
      };
    }
    case "store_errors": {
      const hits = chance < 0.4 ? "all" : chance < 0.7 ? "writes" : nth(METHODS, target >> 4);
      const rate = chance * 10 - Math.floor(chance * 10) < 0.7 ? 1 : 0.5;
      return {
        ...QUIET,
        phase: "statement",
        group: nth(groupsOf("statement"), target),
        hits,
        rate,
      };
    }
    case "store_commits":
      return {
        ...QUIET,
        phase: "commit",
        group: nth(groupsOf("commit"), target),
        hits: "writes",
        rate: 0.3 + chance / 2,
      };
    case "store_read_only":
      return {
        ...QUIET,
        phase: "statement",
        group: null,
        hits: "all",
        rate: 0,
        endsRate: chance < 0.5 ? 1 : 0.6,
        isReadOnly: true,
      };
    case "store_refusals":
      return {
        ...QUIET,
        phase: "statement",
        group: REFUSALS,
        hits: "create",
        once: new Limit(1 + (target % 4)),
      };
    case "store_table":
      return {
        ...{ ...QUIET, phase: "statement", hits: "create" },
        group: nth(groupsOf("statement"), target),
      };
    default:
      throw new Error(`${kind} is no trouble of the store`);
  }
}

/**
 * A short outage first: it is what brings creates into the intake, where the trouble then meets
 * them.
 */
export const FIRST_AWAY_MS = 3_000;
export const FIRST_AWAY: Trouble = OUTAGES[0] as Trouble;
export const beginsWithAway = ({ hits }: Trouble): boolean => hits === "create";

/** For the history. */
export const troubleText = ({ phase, group, hits, rate, isReadOnly }: Trouble): string =>
  isReadOnly
    ? "new sessions are read-only"
    : `${group?.name ?? "no answer"} at ${phase}, ${hits}, ${Math.round(rate * 100)} %`;
