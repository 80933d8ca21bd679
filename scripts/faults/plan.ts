// The faults by name with their counts, and the order in which a run does them. Pure; what each one
// does is in deeds.ts.

/** How often each plan does a fault. */
export type Counts = {
  /** Each fault once or twice. */
  readonly quick: number;
  readonly full: number;
  /** Those whose number was promised when there were but these, within an hour. */
  readonly issue: number;
  /** 300 rounds over all kinds. */
  readonly issue10: number;
};

const counts = (quick: number, full: number, issue: number, issue10: number): Counts => ({
  ...{ quick, full, issue, issue10 },
});

export const FAULTS = [
  { name: "nothing", title: "nothing, for comparison", ...counts(1, 3, 3, 4) },
  { name: "node-kill", title: "kill -9 of a node", ...counts(3, 50, 50, 12) },
  {
    name: "node-nats-kill",
    title: "kill -9 of a node and its NATS server",
    ...counts(2, 50, 50, 12),
  },
  { name: "node-pause", title: "node frozen for 5 s (SIGSTOP)", ...counts(2, 20, 0, 8) },
  { name: "node-drain", title: "node drained (SIGTERM)", ...counts(2, 20, 20, 8) },
  { name: "gateway-kill", title: "kill -9 of a gateway", ...counts(2, 20, 0, 8) },
  { name: "nats-kill", title: "kill -9 of a NATS server", ...counts(2, 20, 20, 8) },
  { name: "leader-kill", title: "kill -9 of a stream leader", ...counts(2, 20, 20, 8) },
  { name: "gateway-pause", title: "gateway frozen for 5 s (SIGSTOP)", ...counts(1, 10, 0, 6) },
  { name: "nats-pause", title: "NATS server frozen for 5 s (SIGSTOP)", ...counts(1, 10, 0, 6) },
  { name: "nats-away", title: "all of NATS down for 30 s", ...counts(1, 3, 3, 3) },
  { name: "postgres-fast", title: "Postgres restart, fast", ...counts(1, 10, 0, 8) },
  { name: "postgres-immediate", title: "Postgres restart, immediate", ...counts(2, 20, 20, 10) },
  { name: "link-cut", title: "node cut off from NATS for 5 s", ...counts(1, 10, 0, 6) },
  { name: "link-half", title: "node half cut off from NATS, 5 s", ...counts(2, 10, 0, 6) },
  { name: "postgres-cut", title: "node cut off from Postgres for 5 s", ...counts(1, 10, 0, 6) },
  { name: "link-delay", title: "node's links 50 ms late, 8 s", ...counts(1, 5, 0, 3) },
  { name: "link-loss", title: "node's links lose 2 %, 8 s", ...counts(1, 5, 0, 3) },
  { name: "link-slow", title: "node's links at 20 kB/s, 8 s", ...counts(1, 5, 0, 3) },
  { name: "host-cut", title: "host's cable pulled for 5 s", ...counts(1, 10, 0, 6) },
  { name: "restart", title: "full restart after kill -9 of all", ...counts(1, 5, 0, 4) },
  { name: "postgres-login", title: "Postgres refuses logins for 4 s", ...counts(1, 10, 0, 16) },
  { name: "postgres-readonly", title: "Postgres read-only for 5 s", ...counts(2, 10, 0, 16) },
  { name: "postgres-limit", title: "one connection to Postgres for 5 s", ...counts(1, 10, 0, 12) },
  { name: "postgres-grants", title: "a grant or a table missing for 5 s", ...counts(1, 10, 0, 15) },
  { name: "postgres-ended", title: "sessions of Postgres ended for 5 s", ...counts(1, 10, 0, 12) },
  { name: "postgres-locked", title: "a row or a table locked for 4 s", ...counts(1, 10, 0, 10) },
  { name: "postgres-slow", title: "commits 100 ms late, 8 s", ...counts(1, 5, 0, 6) },
  { name: "postgres-disk", title: "Postgres's disk full for 6 s", ...counts(1, 10, 0, 10) },
  { name: "postgres-away", title: "node cut off from Postgres for 20 s", ...counts(1, 5, 0, 10) },
  { name: "nats-login", title: "NATS refuses our user for 5 s", ...counts(2, 10, 0, 16) },
  { name: "nats-store", title: "NATS servers with an empty disk", ...counts(2, 10, 0, 14) },
  { name: "nats-disk", title: "NATS's disks full for 6 s", ...counts(1, 10, 0, 10) },
  { name: "crash", title: "two crashes, started again at once", ...counts(1, 10, 0, 15) },
] as const;

export type FaultName = (typeof FAULTS)[number]["name"];
export const PLANS = ["quick", "full", "issue", "issue10"] as const;
export type PlanName = (typeof PLANS)[number];

/** What needs hosts with a cable. */
export const NEEDS_CABLES: readonly FaultName[] = ["host-cut"];
/** What needs disks that can be filled. */
export const NEEDS_DISKS: readonly FaultName[] = ["postgres-disk", "nats-disk"];
/**
 * Faults in which a node or gateway may end by itself, with code 1, to be started again by whoever
 * supervises it: a restart helps where NATS has thrown it out. In all others that is a violation.
 */
export const MAY_END: readonly FaultName[] = ["nats-login", "nats-store", "nats-disk", "crash"];
/** After these, events that nobody had been told of may be gone with the stream. */
export const LOSES_EVENTS: readonly FaultName[] = ["nats-store"];

export interface PlanItem {
  readonly fault: FaultName;
  readonly title: string;
  readonly count: number;
}

/**
 * The items of a plan; `only` picks some, `count` replaces every number. Throws on a name that is
 * not known.
 */
export function planOf(
  plan: PlanName,
  only: readonly string[],
  count: number | null,
): readonly PlanItem[] {
  for (const name of only) {
    if (FAULTS.some((fault) => fault.name === name)) continue;
    throw new Error(
      `there is no fault "${name}"; there are ${FAULTS.map((f) => f.name).join(", ")}`,
    );
  }
  return FAULTS.filter(({ name }) => only.length === 0 || only.includes(name))
    .filter((fault) => fault[plan] > 0 || only.length > 0)
    .map((fault) => ({
      fault: fault.name,
      title: fault.title,
      count: count ?? Math.max(1, fault[plan]),
    }));
}
