// The faults by name with their counts, and the order in which a run does them. Pure; what each one
// does is in deeds.ts.

/** `quick` and `full` do each fault; `issue` those whose number was promised, so often, within an hour. */
export const FAULTS = [
  { name: "nothing", title: "nothing, for comparison", quick: 1, full: 3, issue: 3 },
  { name: "node-kill", title: "kill -9 of a node", quick: 3, full: 50, issue: 50 },
  {
    name: "node-nats-kill",
    title: "kill -9 of a node and its NATS server",
    quick: 2,
    full: 50,
    issue: 50,
  },
  { name: "node-pause", title: "node frozen for 5 s (SIGSTOP)", quick: 2, full: 20, issue: 0 },
  { name: "node-drain", title: "node drained (SIGTERM)", quick: 2, full: 20, issue: 20 },
  { name: "gateway-kill", title: "kill -9 of a gateway", quick: 2, full: 20, issue: 0 },
  { name: "nats-kill", title: "kill -9 of a NATS server", quick: 2, full: 20, issue: 20 },
  { name: "leader-kill", title: "kill -9 of a stream leader", quick: 2, full: 20, issue: 20 },
  {
    name: "gateway-pause",
    title: "gateway frozen for 5 s (SIGSTOP)",
    quick: 1,
    full: 10,
    issue: 0,
  },
  {
    name: "nats-pause",
    title: "NATS server frozen for 5 s (SIGSTOP)",
    quick: 1,
    full: 10,
    issue: 0,
  },
  { name: "nats-away", title: "all of NATS down for 30 s", quick: 1, full: 3, issue: 3 },
  { name: "postgres-fast", title: "Postgres restart, fast", quick: 1, full: 10, issue: 0 },
  {
    name: "postgres-immediate",
    title: "Postgres restart, immediate",
    quick: 2,
    full: 20,
    issue: 20,
  },
  { name: "link-cut", title: "node cut off from NATS for 5 s", quick: 1, full: 10, issue: 0 },
  { name: "link-half", title: "node half cut off from NATS, 5 s", quick: 2, full: 10, issue: 0 },
  {
    name: "postgres-cut",
    title: "node cut off from Postgres for 5 s",
    quick: 1,
    full: 10,
    issue: 0,
  },
  { name: "link-delay", title: "node's links 50 ms late, 8 s", quick: 1, full: 5, issue: 0 },
  { name: "link-loss", title: "node's links lose 2 %, 8 s", quick: 1, full: 5, issue: 0 },
  { name: "link-slow", title: "node's links at 20 kB/s, 8 s", quick: 1, full: 5, issue: 0 },
  { name: "host-cut", title: "host's cable pulled for 5 s", quick: 1, full: 10, issue: 0 },
  { name: "restart", title: "full restart after kill -9 of all", quick: 1, full: 5, issue: 0 },
] as const;

export type FaultName = (typeof FAULTS)[number]["name"];
export const PLANS = ["quick", "full", "issue"] as const;
export type PlanName = (typeof PLANS)[number];

/** What needs hosts with a cable. */
export const NEEDS_CABLES: readonly FaultName[] = ["host-cut"];

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
