/**
 * Turns the tales of a replay into the figures of its report: every definition of a measure stands
 * here.
 */
import { memoryByMinute } from "./memory.ts";
import type { MinuteOfMemory } from "./memory.ts";
import type { Run } from "./run.ts";
import { errorSummary, summary } from "./stats.ts";
import type { ErrorSummary, Summary } from "./stats.ts";
import type { Estimate, SeenViolation, Tale } from "./tales.ts";

export type Figures = {
  readonly wallS: number;
  readonly worldS: number;
  readonly created: number;
  readonly matched: number;
  readonly delivered: number;
  readonly canceled: number;
  /** Could not be handed over, and came back. */
  readonly returned: number;
  readonly unfilled: number;
  readonly unfilledBecause: Readonly<Record<string, number>>;
  /** Not taken when the replay ended, or under way then. */
  readonly cutOff: Readonly<Record<string, number>>;
  readonly createsPerS: number;
  /** Wall-clock seconds; a courier's own delay is in world time and divided by the compression. */
  readonly createAnswerS: Summary;
  readonly firstOfferS: Summary;
  readonly assignmentS: Summary;
  /** Create sent to first offer, plus accept sent to its answer: what the system itself takes. */
  readonly ownShareS: Summary;
  readonly acceptAnswerS: Summary;
  readonly pickupDistanceM: Summary;
  readonly offersPerAssignment: number | null;
  /** World seconds, estimate minus truth. */
  readonly eta: Readonly<Record<EtaName, ErrorSummary>>;
  readonly pings: number;
  /** Frames that the gateway sent, by its own counter; null where it cannot be read. */
  readonly framesOut: number | null;
  readonly counts: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly healed: Readonly<Record<string, number>>;
  readonly gatewayCounters: Readonly<Record<string, number>>;
  readonly memory: readonly MinuteOfMemory[];
  readonly violationsSeenByBots: readonly SeenViolation[];
};

export const ETA_NAMES = [
  "pickup at create",
  "arrival at create",
  "pickup at assignment",
  "arrival at assignment",
  "arrival at pickup",
] as const;
export type EtaName = (typeof ETA_NAMES)[number];

export const secondsBetween = (from: number | null, to: number | null): number | null =>
  from === null || to === null ? null : (to - from) / 1_000;

const present = (values: readonly (number | null)[]): number[] =>
  values.filter((value) => value !== null);

/** The samples behind the summaries, also plotted. */
export const samplesOf = (tales: readonly Tale[]) => ({
  // An offer may overtake the answer of its create: then there was no waiting at all.
  firstOfferS: present(tales.map((tale) => secondsBetween(tale.createdAt, tale.firstOfferAt))).map(
    (seconds) => Math.max(0, seconds),
  ),
  assignmentS: present(tales.map((tale) => secondsBetween(tale.createdAt, tale.acceptedAt))),
  createAnswerS: present(tales.map((tale) => secondsBetween(tale.createSentAt, tale.createdAt))),
  acceptAnswerS: present(tales.map((tale) => secondsBetween(tale.acceptSentAt, tale.acceptedAt))),
  ownShareS: present(tales.map(ownShareS)),
  pickupDistanceM: present(tales.map((tale) => tale.pickupDistanceM)),
});

function ownShareS(tale: Tale): number | null {
  const offer = secondsBetween(tale.createSentAt, tale.firstOfferAt);
  const accept = secondsBetween(tale.acceptSentAt, tale.acceptedAt);
  return offer === null || accept === null ? null : offer + accept;
}

/**
 * Estimate minus truth in world seconds. The server's clock runs on the wall: an estimate of D
 * seconds made at t is held against (what happened - t) x compression.
 */
export function etaErrorsS(tales: readonly Tale[], name: EtaName, compression: number): number[] {
  const delivered = tales.filter((tale) => tale.status === "delivered");
  const error = (
    estimate: Estimate | undefined,
    which: "pickupAt" | "arrivalAt",
    truth: number | null,
  ): number | null => {
    const promised = estimate?.[which] ?? null;
    if (estimate === undefined || promised === null || truth === null) return null;
    const { madeAt } = estimate;
    return (promised - madeAt) / 1_000 - ((truth - madeAt) * compression) / 1_000;
  };
  return present(
    delivered.map(({ estimates, pickedUpAt, endedAt }) => {
      switch (name) {
        case "pickup at create":
          return error(estimates.create, "pickupAt", pickedUpAt);
        case "arrival at create":
          return error(estimates.create, "arrivalAt", endedAt);
        case "pickup at assignment":
          return error(estimates.assigned, "pickupAt", pickedUpAt);
        case "arrival at assignment":
          return error(estimates.assigned, "arrivalAt", endedAt);
        case "arrival at pickup":
          return error(estimates.pickedUp, "arrivalAt", endedAt);
      }
    }),
  );
}

export function figuresOf(run: Run): Figures {
  const { tales, phases, options } = run;
  const own = tales.own();
  const ended = (status: Tale["status"]): number =>
    own.filter((tale) => tale.status === status).length;
  const matched = own.filter((tale) => tale.acceptedAt !== null);
  const samples = samplesOf(own);
  const creatingS = (phases.createdUntil - phases.startedAt) / 1_000;
  const offers = matched.reduce((sum, tale) => sum + tale.offers, 0);
  const eta = Object.fromEntries(
    ETA_NAMES.map((name) => [name, errorSummary(etaErrorsS(own, name, options.compression))]),
  ) as Record<EtaName, ErrorSummary>;
  return {
    wallS: (phases.endedAt - phases.startedAt) / 1_000,
    worldS: ((phases.endedAt - phases.startedAt) * options.compression) / 1_000,
    created: own.length,
    matched: matched.length,
    delivered: ended("delivered"),
    canceled: ended("canceled"),
    returned: ended("returned"),
    unfilled: ended("unfilled"),
    unfilledBecause: reasonsOf(own, "unfilled"),
    cutOff: reasonsOf(own, "open"),
    createsPerS: own.length / Math.max(1, creatingS),
    createAnswerS: summary(samples.createAnswerS),
    firstOfferS: summary(samples.firstOfferS),
    assignmentS: summary(samples.assignmentS),
    ownShareS: summary(samples.ownShareS),
    acceptAnswerS: summary(samples.acceptAnswerS),
    pickupDistanceM: summary(samples.pickupDistanceM),
    offersPerAssignment: matched.length === 0 ? null : offers / matched.length,
    eta,
    pings: tales.counts.get("pings") ?? 0,
    framesOut: framesOut(run.gatewayCounters),
    counts: Object.fromEntries(tales.counts),
    errors: Object.fromEntries(tales.errors),
    healed: Object.fromEntries(tales.healed),
    gatewayCounters: Object.fromEntries(run.gatewayCounters),
    memory: memoryByMinute(run.samples, phases.startedAt),
    violationsSeenByBots: tales.violations,
  };
}

/** How many tales in this status have each reason. */
export function reasonsOf(tales: readonly Tale[], status: Tale["status"]): Record<string, number> {
  const reasons: Record<string, number> = {};
  for (const tale of tales) {
    if (tale.status !== status) continue;
    const reason = tale.reason ?? "unknown";
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  }
  return reasons;
}

function framesOut(counters: ReadonlyMap<string, number>): number | null {
  let sum: number | null = null;
  for (const [name, change] of counters) {
    if (name.startsWith("hexdispatch_ws_frames_sent_total")) sum = (sum ?? 0) + change;
  }
  return sum;
}
